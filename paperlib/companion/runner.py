"""Regenerate the figures: choose the notebooks, let Snakemake execute what is not up to date, report.

Why not `snakemake` alone: with nothing to execute it need not even be imported, and it would bury how each notebook
ended among its own lines; killed or interrupted, it would leave kernels behind. It keeps the graph, the order and the
places at work.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch

from ..errors import InputError, meant
from ..storage import locks, paths, processes
from . import prefork, schedule, sockets, stale
from .execute import MARK, environment

SNAKEFILE = paths.of_project("Snakefile")
QUIET = 60  # seconds without news after which the user is told what is running
MANY = 4  # notebooks from which on it pays to import what they need once, for all of them
LOGS = 20  # of Snakemake's own logs are kept


@dataclass
class Result:
    """How one notebook ended: `ok`, `up to date`, `skipped` or `failed`, with a message for the last two."""

    name: str
    status: str
    seconds: float | None = None
    message: str = ""


def select(patterns):
    """Return the notebooks that match any of the names or globs (none: all), in order."""
    known = stale.notebooks()
    if not known:
        paths.need_project("the notebooks")
        raise InputError(f"there are no notebooks in {paths.NOTEBOOKS}")
    chosen = set()
    for pattern in patterns:
        pattern = pattern.removeprefix("./").removeprefix("notebooks/").rstrip("/").removesuffix(".ipynb")
        found = {
            name
            for name in known
            if fnmatch(name, pattern) or fnmatch(name.split("/")[1], pattern) or name.split("/")[0] == pattern
        }
        if not found:
            near = [name for name in known if pattern in name][:4]
            hint = f"; did you mean {' or '.join(near)}?" if near else meant(pattern, known)
            raise InputError(f"no notebook matches {pattern!r}{hint or '; run_all.sh --list shows their names'}")
        chosen |= found
    return sorted(chosen) if patterns else known


def useful_jobs():
    """Return how many notebooks to execute at a time: one per core, as far as there are notebooks."""
    return max(1, min(processes.cores(), len(stale.notebooks())))


def threads_each():
    """Return the threads of one kernel: its share of the cores with `useful_jobs()` running.

    It does not follow --jobs: sums in another order differ in the last bits, and the tables should not.
    """
    return max(1, processes.cores() // useful_jobs())


@contextmanager
def lock(folder=None):
    """Hold the checkout, or another folder, for one run; a second one waits and says so.

    The system drops it if we are killed.
    """
    file = (folder or paths.CACHE / "runs") / "lock"
    if locks.busy(file):
        other = file.read_text(encoding="utf-8").strip() or "just started"
        print(f"another run ({other}) is at work in {folder or 'this checkout'}; waiting for it to end", flush=True)
    with locks.only_one(file):
        file.write_text(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}", encoding="utf-8")
        yield


def run(names, options, jobs=None, force=False, retrain=False, train=False):
    """Bring the given notebooks up to date; prints progress and returns one Result per notebook.

    train: also train the checkpoints that are missing; retrain: train all that are used anew, first.
    """
    with lock():
        tidy()
        if retrain:
            train_again(names, options)
        outdated = [name for name in names if force or stale.why_stale(name, options)]
        results = {name: Result(name, "up to date") for name in names}
        while outdated:
            at_once = min(jobs or useful_jobs(), len(outdated))
            print(f"{len(outdated)} of {len(names)} notebooks to execute, {at_once} at a time", flush=True)
            seconds = schedule.expected(outdated, options)
            if train:
                remove_damaged(outdated, options)
            for name in outdated:
                stale.record(name, options).unlink(missing_ok=True)
            results.update(execute_all(seconds, options, at_once, train))
            waiting = [name for name in names if results[name].status == "up to date"]  # it may rest on a changed table
            outdated = [name for name in waiting if stale.rests_on(name, options) and stale.why_stale(name, options)]
        return [results[name] for name in names]


def tidy():
    """Remove what killed runs left behind, and all of Snakemake's logs but the last LOGS."""
    sockets.sweep()
    paths.sweep([*paths.ROOT.glob(f"{paths.FIGURES.name}*"), paths.ROOT / "data"])
    for log in sorted((paths.ROOT / ".snakemake" / "log").glob("*.log"))[:-LOGS]:
        log.unlink(missing_ok=True)


def train_again(names, options):
    """Train anew every checkpoint that the given notebooks use; one is replaced only by a better one."""
    keys = sorted({key for name in names for key in stale.checkpoints(name, options)} & stale.recipes().keys())
    if not keys:
        print("the chosen notebooks use no checkpoint that is trained here; nothing to train", flush=True)
        return
    done = subprocess.run(
        [sys.executable, "-m", "paperlib.cli", "zoo", "train", *keys, "--device", options.device],
        cwd=paths.ROOT,
        check=False,
    )
    if done.returncode:
        said = f"training failed (see above); {len(keys)} checkpoints are as they were or better"
        if done.returncode == 2:  # what was asked for makes no sense
            raise InputError(said)
        raise SystemExit(f"paperlib run: {said}")  # exit code 1


def remove_damaged(names, options):
    """Remove what is no checkpoint, under the name of one that can be trained: Snakemake takes any file for present."""
    from ..training import checkpoints

    for key in sorted({key for name in names for key in stale.checkpoints(name, options)} & stale.recipes().keys()):
        try:
            if stale.checkpoint(key).is_file():
                checkpoints.meta(stale.checkpoint(key))
        except checkpoints.Damaged as error:
            print(f"{error}; it is trained now", flush=True)
            stale.checkpoint(key).unlink()


def execute_all(seconds, options, jobs, train=False):
    """Let Snakemake execute notebooks, and train what they lack if asked to; returns {name: Result}.

    seconds: {name: seconds that it is expected to take}.
    """
    folder = stale.records(options)
    folder.mkdir(parents=True, exist_ok=True)
    names = schedule.order(seconds, jobs)
    config = {
        "profile": options.profile,
        "data_root": options.data_root,
        "device": options.device,
        "threads": threads_each(),
        "notebooks": names,
        "train": train,
    }
    with paths.atomic(folder / "options.json") as temporary:
        temporary.write_text(json.dumps(config), encoding="utf-8")
    command = [
        *processes.snakemake(SNAKEFILE, paths.ROOT, folder / "options.json", SNAKEFILE.parent / "profiles/default"),
        "--cores",
        str(jobs),
        "--nocolor",
        # Each finished job leaves a timer that looks for work once per timespan: at its one second, 15 % of a core
        # after 40 notebooks, at four 9 % in the mean of 69. The process ends one timespan after its last job.
        "--max-jobs-per-timespan",
        f"1000/{max(4, len(names) // 5)}s",
        *(paths.relative(stale.record(name, options)) for name in names),
    ]
    log = folder / "snakemake.log"
    with prefork_server(len(names)) as address, open(log, "w", encoding="utf-8") as opened:
        process = subprocess.Popen(
            command,
            cwd=paths.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **address, "PAPERLIB_RUNNER": str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            preexec_fn=processes.die_with_parent,
            start_new_session=True,
        )
        results = follow(process, opened, schedule.Clock(seconds, jobs))
    for name in names:
        if name not in results:
            why = "; ".join(["was not executed", *lacking(name, results, options)])
            results[name] = Result(name, "failed", None, f"{why}, see {paths.relative(log)}")
    return {name: results[name] for name in names}


def lacking(name, results, options):
    """Return in words which failed trainings left a notebook without a checkpoint, or without what one starts from."""
    recipes, keys = stale.recipes(), stale.checkpoints(name, options)
    for key in keys:  # which grows by what they start from, as far back as that goes
        if recipes.get(key) and recipes[key] not in keys:
            keys.append(recipes[key])
    return [f"{key} failed to train ({results[key].message})" for key in keys if key in results]


@contextmanager
def prefork_server(notebooks):
    """Start the process that many notebooks are forked from; yields the variables by which they find it.

    On Linux only: elsewhere system libraries do not survive a fork.
    """
    if notebooks < MANY or sys.platform != "linux":
        yield {}
        return
    folder = sockets.private_folder()
    address = f"{folder}/prefork"
    with environment(threads_each()):  # as the forks' own: part of it counts when Python or a library starts
        server = subprocess.Popen(
            prefork.command("serve", address),
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=processes.die_with_parent,
            start_new_session=True,
        )
    try:
        yield {prefork.ADDRESS: address}
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def follow(process, log, clock):
    """Print progress from the events in a process's output until it ends; returns {name: Result}.

    Of the notebooks that `clock` knows, and of the trainings that failed.
    """
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    results, total, interrupted = {}, len(clock.seconds), False

    def count():
        return f"{len(results.keys() & clock.seconds.keys())}/{total}"

    while True:
        try:
            line = lines.get(timeout=QUIET)
        except queue.Empty:
            running = ", ".join(f"{name} ({since:.0f} s)" for name, since in clock.since().items()) or "nothing yet"
            print(f"  {count()}  running: {running}; {schedule.minutes(clock.left())} left", flush=True)
            continue
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL if interrupted else signal.SIGINT)
            interrupted = True
            print("\ninterrupted: stopping the notebooks that run (Ctrl-C again to kill them)", flush=True)
            continue
        if line is None:
            break
        said, mark, event = line.partition(MARK)  # Snakemake ends its lines in a second write: ours may follow its text
        if said:
            log.write(said + "\n" * bool(mark))
        log.write(event.lstrip("\t"))
        log.flush()
        if not mark:
            continue
        _, event, name, *rest = event.rstrip("\n").split("\t")
        if event == "start":
            clock.start(name)
            print(f"  start  {name}", flush=True)
            continue
        status, seconds, message = rest[0], float(rest[1]), rest[2]
        clock.end(name, seconds if status == "ok" else None)
        if status == "trained":
            print(f"  trained  {name}  {seconds:.1f} s", flush=True)
            continue
        results[name] = Result(name, status, seconds, message)
        done = count() if name in clock.seconds else "training"
        left = "" if clock.seconds.keys() <= results.keys() else f"; {schedule.minutes(clock.left())} left"
        print(f"  {done}  {name}: {status}, {seconds:.1f} s  {message}".rstrip() + left, flush=True)
    process.wait()
    for name in clock.running:
        results[name] = Result(name, "failed", None, "interrupted" if interrupted else "its process was killed")
    if interrupted:
        raise KeyboardInterrupt
    return results


def table(results, options):
    """Return the closing table: notebook, status, seconds, figure, log."""
    rows = [("notebook", "status", "seconds", "figure", "log")]
    for result in results:
        log = stale.record(result.name, options).with_suffix(".log")
        failed = result.status == "failed"  # whose pictures are those of an earlier run
        there = [] if failed else stale.results(result.name, paths.figures(options.profile))
        figures = [file for file in there if file.suffix == ".png"]
        why = result.message.split(": ")[0]  # "no checkpoint"; the whole sentence was printed when it was skipped
        status = f"skipped: {why}" if result.status == "skipped" else result.status
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        shown = [paths.relative(file) if file and file.is_file() else "-" for file in (*figures[:1], log)]
        rows.append((result.name, status, seconds, *["-"] * (2 - len(shown)), *shown))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
