"""In which order notebooks are executed, and what the user is told while they are: how many are done, minutes left.

Why not Snakemake's own: it counts finished jobs without knowing how long one takes, and its order, largest inputs
first, has the longest notebooks before any figure. The order here goes to it as priorities. Times come from the last
run's records and, where there is none, from `seconds.csv` (`paperlib gallery --seconds` writes it); they are scaled by
what most of this run's notebooks took so far: one that computes what others share takes many times as long as it
takes where they were there first.
"""

import csv
import heapq
import time
from bisect import bisect_left, bisect_right
from itertools import accumulate
from pathlib import Path

from ..errors import InputError
from ..storage import paths
from . import stale

SHIPPED = Path(__file__).with_name("seconds.csv")  # with empty caches, on two cores
UNKNOWN = 30  # seconds of a notebook that is in no table
FIRST = 30  # seconds for which quick notebooks go first, so that there is something to look at
DOUBT = 20  # seconds of notebooks that have to be seen before the times seen count as much as those expected


def shipped():
    """Return {notebook: seconds} as they come with the project."""
    with open(SHIPPED, encoding="utf-8", newline="") as opened:
        return {row["notebook"]: float(row["seconds"]) for row in csv.DictReader(opened)}


def last(names, options):
    """Return {notebook: seconds} of those that have a record of a run that went well."""
    records = {name: stale.read_record(name, options) for name in names}
    return {name: float(done["seconds"]) for name, done in records.items() if done and done["status"] == "ok"}


def expected(names, options):
    """Return {notebook: seconds} as far as one knows beforehand."""
    known = {**shipped(), **last(names, options)}
    return {name: known.get(name, UNKNOWN) for name in names}


def ship(options):
    """Write what the notebooks took when they were last executed into the table; returns its path.

    Raises InputError where that is not what the table holds: times of the default profile, of this project's notebooks.
    """
    if paths.ROOT.resolve() != paths.CHECKOUT or options.profile != "mini":
        raise InputError(
            f"{SHIPPED.name} holds times of the profile mini in the clone {paths.CHECKOUT} that it comes with, not of "
            f"{options.profile} in {paths.ROOT}"
        )
    names = stale.notebooks()
    table = {name: seconds for name, seconds in {**shipped(), **last(names, options)}.items() if name in names}
    with paths.atomic(SHIPPED) as temporary, open(temporary, "w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["notebook", "seconds"])
        writer.writerows((name, f"{table[name]:.0f}") for name in sorted(table))
    return SHIPPED


def order(seconds, jobs):
    """Return notebooks in the order of their start: quick ones for the first half minute, then the longest first.

    seconds: {notebook: seconds}. Fewer quick ones go first, but always one, where the whole would take 1 % longer.
    """
    longest_first = sorted(seconds, key=lambda name: (-seconds[name], name))
    chosen = longest_first[-1:] + longest_first[:-1]
    limit = 1.01 * whole(seconds, chosen, jobs)
    for count in range(2, len(chosen) + 1):
        quick = longest_first[: -count - 1 : -1]
        tried = quick + longest_first[:-count]
        if sum(seconds[name] for name in quick) > FIRST * jobs or whole(seconds, tried, jobs) > limit:
            break
        chosen = tried
    return chosen


def whole(seconds, names, jobs):
    """Return how many seconds it takes if each notebook, in this order, starts as soon as there is a place for it."""
    ends = [0.0] * jobs
    for name in names:
        heapq.heapreplace(ends, ends[0] + seconds[name])
    return max(ends)


class Clock:
    """How far a run is: told what starts and ends, it says how many seconds are left."""

    def __init__(self, seconds, jobs, now=time.monotonic):
        self.seconds, self.jobs, self.now = dict(seconds), jobs, now
        self.waiting, self.running = set(seconds), {}
        # (how many times longer than expected, weight) of all that ended. The weight is the shorter of both times: a
        # long notebook that found computed what it shares says as little of the others as one that computed it for all.
        self.seen = [(1.0, DOUBT)]

    def start(self, name):
        """Note that a notebook, or a training, has started."""
        self.waiting.discard(name)
        self.running[name] = self.now()

    def end(self, name, took=None):
        """Note that it has ended; took: its seconds where they say something about the others'."""
        self.waiting.discard(name)
        self.running.pop(name, None)
        if took is not None and self.seconds.get(name):
            self.seen.append((took / self.seconds[name], min(took, self.seconds[name])))

    def since(self):
        """Return {what runs: seconds since its start}."""
        return {name: self.now() - began for name, began in self.running.items()}

    def left(self):
        """Return about how many seconds the rest takes: all of it shared between the jobs, or the longest one alone."""
        scale = weighted_median(self.seen)
        rest = [self.seconds[name] * scale for name in self.waiting]
        rest += [max(self.seconds.get(name, 0) * scale - since, 0) for name, since in self.since().items()]
        return max(sum(rest) / self.jobs, max(rest, default=0))


def weighted_median(pairs):
    """Return the value that half of the weight of (value, weight) lies below; between two, their mean."""
    values, weights = zip(*sorted(pairs), strict=True)
    sums = list(accumulate(weights))
    half = sums[-1] / 2
    return (values[bisect_left(sums, half)] + values[bisect_right(sums, half)]) / 2


def minutes(seconds):
    """Return a duration as one says it: `less than a minute`, `about 12 minutes`."""
    whole = round(seconds / 60)
    return "less than a minute" if seconds < 50 else f"about {whole} minute{'s' if whole > 1 else ''}"
