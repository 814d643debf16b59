"""Training runs of one network together; quantities of several networks with intervals over clips and runs."""

import numpy as np

from ...storage.zoo_lists import without_seed
from ..findings import UNTRAINED, Finding, of_several, runs_each
from ..stand_ins import STANDS_FOR
from ..statistics import at_once, crossed_interval
from . import dataset_for, split


def avg(found):
    """Return the avg-ATR of the explained clips [n], frames."""
    return found.avg


def largest(found):
    """Return the max-ATR of the explained clips [n], frames."""
    return found.max


def right(found):
    """Return 100 for every scored video that is classified right, else 0: [considered], percent."""
    return 100.0 * found.correct


def networks(explained):
    """Return {network: [its runs]} of {checkpoint: Explained}; a network has the name of its run with seed 0."""
    found = {}
    for checkpoint, one in explained.items():
        found.setdefault(without_seed(checkpoint)[0], []).append(one)
    return found


def first(explained):
    """Return {network: Explained} of one run each, to draw."""
    return {network: runs[0] for network, runs in networks(explained).items()}


def table(runs, quantity):
    """Return a quantity's values of a network's runs by video, [runs, videos, ...]; NaN where a run has no value.

    quantity: function of an Explained that gives a value, or an array of values, per explained clip [n, ...] or per
    scored video [considered, ...].
    """
    found = [np.asarray(quantity(one), dtype=float) for one in runs]
    rows = np.full((len(runs), max(one.considered for one in runs), *found[0].shape[1:]), np.nan)
    for row, one, values in zip(rows, runs, found, strict=True):
        row[one.videos if len(values) == len(one.videos) else slice(one.considered)] = values
    return rows


def tables(explained, quantity):
    """Return {network: `table` of its runs}."""
    return {network: table(runs, quantity) for network, runs in networks(explained).items()}


def pool(values, of=None, span=None, of_run=lambda run: np.nanmean(run, axis=0), among=1):
    """Return a statistic of networks' means with its 95 % interval over videos and training runs.

    values: {`<data set>/<name>`: [runs, videos, ...]} as from `tables`; videos of one data set are compared one by one
    where networks share them. of: function of `mean`, where mean(name) is the mean over a network's runs of what
    of_run gives for the run's [videos, ...], by default the mean over videos; `of` is by default the mean over
    networks. span: as in `crossed_interval`. among: of how many comparisons this is the extreme one; the interval then
    covers all of them at once.
    """
    blocks, place = [], {}
    for dataset in dict.fromkeys(split(name)[0] for name in values):
        names = [name for name in values if split(name)[0] == dataset]
        width = max(values[name].shape[1] for name in names)
        block = [_widened(values[name], width) for name in names]
        seen = np.any([np.isfinite(model).reshape(len(model), width, -1).any((0, 2)) for model in block], axis=0)
        place.update({name: (len(blocks), k) for k, name in enumerate(names)})
        blocks.append([model[:, seen] for model in block])

    def statistic(means):
        def mean(name):
            at, k = place[name]
            return float(means[at][k])

        return of(mean) if of else float(np.mean([mean(name) for name in values]))

    return crossed_interval(statistic, blocks, level=at_once(among), span=span, of_run=of_run)


def _widened(table, width):
    """Return a table [runs, videos, ...] with NaN behind its videos, so that there are `width` of them."""
    behind = [(0, width - size if axis == 1 else 0) for axis, size in enumerate(table.shape)]
    return np.pad(table, behind, constant_values=np.nan)


def compared(id, explained, pairs, quantity=avg, weights=None):
    """Return the Finding of a quantity's difference, a minus b, pooled over pairs of networks [(a, b)].

    weights: of the pairs, by default those of a mean. Without pairs the statement is not testable.
    """
    if not pairs:
        return Finding(id, None, UNTRAINED)
    weights = [1 / len(pairs)] * len(pairs) if weights is None else weights
    chosen = only(explained, [name for pair in pairs for name in pair])

    def of(mean):
        return sum(weight * (mean(a) - mean(b)) for weight, (a, b) in zip(weights, pairs, strict=True))

    span = 100.0 if quantity is right else None
    return Finding(id, pool(tables(chosen, quantity), of, span), rests_on(chosen, quantity), datasets_of(chosen))


def level(id, explained, names, quantity):
    """Return the Finding of a quantity's mean over networks."""
    if not names:
        return Finding(id, None, UNTRAINED)
    chosen = only(explained, names)
    return Finding(id, pool(tables(chosen, quantity)), rests_on(chosen, quantity), datasets_of(chosen))


def of_means(id, explained, names, of, quantity=avg, among=1):
    """Return the Finding of any statistic of networks' means; among: as in `pool`."""
    if not names:
        return Finding(id, None, UNTRAINED)
    chosen = only(explained, names)
    interval = pool(tables(chosen, quantity), of, among=among)
    return Finding(id, interval, of_several(rests_on(chosen), among), datasets_of(chosen))


def role_of(network):
    """Return the data set of the paper that a network's data set is or stands for."""
    return STANDS_FOR.get(split(network)[0], "")


def of_role(explained, role):
    """Return the networks of data sets that stand for one of the paper's."""
    return [network for network in networks(explained) if role_of(network) == role]


def across(explained, a, b):
    """Return [(network, the same model on another data set)] for data sets that stand for `a` and for `b`."""
    names = networks(explained)
    other = dataset_for(b, [split(name)[0] for name in names])
    found = [(name, f"{other}/{split(name)[1]}") for name in of_role(explained, a)]
    return [(first, second) for first, second in found if second in names]


def same_but(explained, one, other, role=None):
    """Return [(network, other network)] that differ in this part of the model's name, `one` in the first."""
    names = networks(explained)
    found = [
        (name, f"{split(name)[0]}/{split(name)[1].replace(one, other, 1)}") for name in names if one in split(name)[1]
    ]
    return [(a, b) for a, b in found if b in names and a != b and (role is None or role_of(a) == role)]


def only(explained, names):
    """Return those explained checkpoints that are runs of the networks named."""
    return {key: found for key, found in explained.items() if without_seed(key)[0] in names}


def rests_on(explained, quantity=avg):
    """Return in words how many runs of how many networks, and how many clips of each, a comparison sees."""
    found = networks(explained)
    scored = quantity is right
    each = [len(one.correct) if scored else len(one.videos) for runs in found.values() for one in runs]
    once, more = ({runs[0].matrix.shape[2] for runs in found.values() if (len(runs) > 1) == many} for many in (0, 1))
    others = "the others" if scored or once <= more else "the others, of another length"  # relevance is in frames
    return words(map(len, found.values()), each, "video" if scored else "clip", others)


def words(runs, each, what, others="the others"):
    """Return `1 run each of 2 networks, 30 to 32 clips each` for the runs of every network and the clips of each.

    others: as in `runs_each`.
    """
    runs = list(runs)
    return f"{runs_each(runs, len(runs), others)}, {counted(each, what)} each"


def counted(counts, what):
    """Return `3 clips`, or `3 to 5 clips` where counts differ."""
    counts = sorted(set(counts))
    ends = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{ends} {what}{'' if counts[-1] == 1 else 's'}"


def datasets_of(explained):
    """Return the names of the data sets of explained checkpoints, in words."""
    return ", ".join(dict.fromkeys(split(checkpoint)[0] for checkpoint in explained))
