"""How far classes differ in temporal relevance beyond the noise of few clips, and whether it follows people's flags."""

import numpy as np
from scipy import integrate, stats

from ..statistics import Interval, crossed_interval
from . import heatmaps, pooled, split

FEWEST = 5  # classes of each kind that a data set needs for its temporal and static ones to be told apart


def components(values, labels):
    """Return (variance between classes, variance of clips within a class) of a one-way analysis of variance.

    values: [n] or [n, ...], of which components are summed; labels [n]. The first is that of the classes' true means,
    the clips' noise taken off, so it may come out below 0. Both are NaN where no class has two clips.
    """
    values = np.asarray(values, float).reshape(len(values), -1)
    names, which = np.unique(labels, return_inverse=True)
    count, n, k = np.bincount(which), len(values), len(names)
    if n == k or k < 2:
        return np.nan, np.nan
    sums = np.zeros((k, values.shape[1]))
    np.add.at(sums, which, values)
    means = sums / count[:, None]
    within = ((values - means[which]) ** 2).sum() / (n - k)
    between = (count[:, None] * (means - values.mean(0)) ** 2).sum() / (k - 1)
    return float((between - within) / ((n - (count**2).sum() / n) / (k - 1))), float(within)


def spread(runs, quantity):
    """Return the standard deviation of a network's class means, the clips' noise taken off, with its interval.

    The 95 % interval is over classes, all clips of one left out together, and over runs; ends below 0 become 0.
    """
    values = pooled.table(runs, quantity)
    labels = np.full(values.shape[1], -1.0)
    for found in runs:
        labels[found.videos] = found.labels
    values, labels = values[:, labels >= 0], labels[labels >= 0]

    def variance(blocks):
        (values, labels), known = blocks[0], np.isfinite(blocks[0][0])
        return np.mean([components(row[there], labels[0, there])[0] for row, there in zip(values, known, strict=True)])

    squared = crossed_interval(variance, [[values, labels[None]]], [labels])
    return Interval(*np.sqrt(np.maximum(0, squared)))


def expected_range(count):
    """Return how far apart the largest and smallest of `count` standard normal values lie on average."""

    def outside(x):
        below = stats.norm.cdf(x)
        return 1 - below**count - (1 - below) ** count

    return integrate.quad(outside, -10, 10)[0]


def heatmaps_vary(explained):
    """Return the share of heatmaps' variance over clips that lies between classes (omega squared), with its interval.

    explained: {checkpoint: Explained}; the share is averaged over runs, then networks.
    """

    def labelled(found):
        return np.column_stack([found.labels, heatmaps.normalised(found).reshape(len(found.labels), -1)])

    def share(run):
        there = run[np.isfinite(run[:, 0])]
        between, within = components(there[:, 1:], there[:, 0])
        return between / (between + within)

    return pooled.pool(pooled.tables(explained, labelled), of_run=share)


def with_both_kinds(explained):
    """Return those explained of data sets in which `FEWEST` classes of each kind, temporal and static, have clips."""

    def enough(found):
        if found.temporal is None:
            return False
        kinds = np.bincount(found.temporal[np.unique(found.labels)].astype(int), minlength=2)
        return kinds.min() >= FEWEST

    return {checkpoint: found for checkpoint, found in explained.items() if enough(found)}


def over_classes(explained, function, metrics=("avg",), seed=0, resamples=2000):
    """Return a mean over networks, runs and metrics with its 95 % percentile interval over classes.

    function(means [C], temporal [C]) -> number, of a network's class means. Classes are drawn anew within both kinds,
    the same ones for all networks of a data set; their clips' noise is part of how they vary.
    """
    rng, sets = np.random.default_rng(seed), {}
    for checkpoint, found in explained.items():
        sets.setdefault(split(checkpoint)[0], []).append(found)
    tables = []
    for members in sets.values():
        names = sorted(set.intersection(*(set(found.labels.tolist()) for found in members)))
        flags = np.asarray(members[0].temporal, bool)[names]
        means = [
            [getattr(found, metric)[found.labels == name].mean() for name in names]
            for found in members
            for metric in metrics
        ]
        tables.append((np.array(means), flags))

    def mean(drawn):
        return float(np.mean([function(row, flags) for means, flags in drawn for row in means]))

    def draw(means, flags):
        kinds = [np.flatnonzero(flags == kind) for kind in (True, False)]
        picked = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
        return means[:, picked], flags[picked]

    values = [mean([draw(*table) for table in tables]) for _ in range(resamples)]
    return Interval(mean(tables), *(float(end) for end in np.percentile(values, [2.5, 97.5])))


def hits(means, chosen):
    """Return how many of k chosen classes are among the k of largest mean.

    Classes of equal mean on the border count by the part of them that fits in.
    """
    k = int(chosen.sum())
    border = np.sort(means)[::-1][k - 1]
    above, on = means > border, means == border
    return float(chosen[above].sum() + chosen[on].mean() * (k - above.sum()))


def agreement(means, temporal):
    """Return the overlap of the temporal classes with as many of largest mean, less chance: 1 all, 0 chance."""
    k = int(temporal.sum())
    chance = k / len(means)
    return float((hits(means, temporal) / k - chance) / (1 - chance))


def larger_than_static(means, temporal):
    """Return the probability that a temporal class has a larger mean than a static one; ties count half."""
    difference = np.subtract.outer(means[temporal], means[~temporal])
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def static_above_median(means, temporal):
    """Return the share of static classes above the median class; ties count half."""
    static = means[~temporal] - np.median(means)
    return float((static > 0).mean() + 0.5 * (static == 0).mean())
