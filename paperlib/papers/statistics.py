"""Intervals, tests and effect sizes that the notebooks report beside the papers' numbers (all from scipy)."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import stats

from ..errors import InputError, number, whole

ROUNDING = 1e-12  # of the largest value: what lies no farther apart is the same


class Interval(NamedTuple):
    """A statistic's estimate with the two ends of its bootstrap interval."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Two samples compared: Welch's t-test, effect sizes, each sample's mean, standard deviation and size."""

    t: float
    df: float
    p: float
    cohen_d: float
    hedges_g: float
    mean_a: float
    mean_b: float
    std_a: float
    std_b: float
    n_a: int
    n_b: int


def bootstrap_interval(values, statistic=np.mean, level=0.95, seed=0, units=None, method="BCa", resamples=9999):
    """Return the statistic of `values` with its bootstrap interval, as `Interval(value, low, high)`.

    values: [n] numbers. statistic: a function of one array that returns a number; with an `axis` argument
    (`np.mean`, `np.median`, `np.std`) many resamples are computed at once. level: coverage, 0.95 by default.
    method: "BCa" (bias-corrected and accelerated) or "percentile".
    units: [n] labels; whole units (say, the clip to which a frame belongs, or the subject) are drawn instead
    of single values, because frames of one clip are not independent. `resamples` draws from `seed`.

    A sample without spread gives low == high == value; one value (or unit) alone gives NaN for both ends.
    Where BCa is undefined (no spread among the jackknife values) the percentile interval is returned.
    Raises InputError for an empty sample, values that are not finite, or units of another length.
    """
    return _bootstrap([values], None if units is None else [units], statistic, level, seed, method, resamples)


def bootstrap_difference(
    a, b, statistic=np.mean, level=0.95, seed=0, units=None, paired=False, method="BCa", resamples=9999
):
    """Return statistic(a) - statistic(b) with its bootstrap interval, as `Interval(value, low, high)`.

    a, b: [n] and [m] numbers, drawn independently; units: (labels of a, labels of b) or None, as in
    `bootstrap_interval`. paired=True (n == m, the same clips seen by two models) draws clips once and reads
    both; there `units` is one list of labels for the pairs.
    """
    if not paired:
        units = None if units is None else _per_sample(units, 2, "the labels of a and those of b")
        return _bootstrap([a, b], units, statistic, level, seed, method, resamples)
    a, b = _finite(a), _finite(b)
    if len(a) != len(b):
        raise InputError(f"a paired comparison needs two samples of one length, not {len(a)} and {len(b)}")

    def difference(rows):
        index = rows.astype(int)
        return statistic(a[index]) - statistic(b[index])

    units = None if units is None else [units]
    return _bootstrap([np.arange(len(a))], units, difference, level, seed, method, resamples)


def share_interval(successes, trials, level=0.95):
    """Return the share successes / trials with its exact (Clopper-Pearson) interval, as `Interval`.

    0 of 8 gives [0, 0.37]: a share that never varied is not certain. Raises InputError for counts that are no whole
    numbers, no trials, and more successes than trials.
    """
    successes, trials = whole("successes", successes, 0), whole("trials", trials)
    if successes > trials:
        raise InputError(f"{successes} successes of {trials} trials are no share; there must be as many trials or more")
    _check_level(level)
    low, high = stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    return Interval(successes / trials, float(low), float(high))


def accuracy_interval(correct):
    """Return the mean of answers [runs, n] (bool) in percent with its 95 % interval: exact for one run."""
    if len(correct) == 1:
        return Interval(*(100 * x for x in share_interval(int(correct.sum()), correct.size)))
    value, low, high = crossed_interval(lambda blocks: 100 * blocks[0][0].mean(), [[correct]], span=100)
    return Interval(value, max(0.0, low), min(100.0, high))


def mean_interval(values, level=0.95):
    """Return the mean of a few independent values (the seeds' means, say) with its t interval, as `Interval`.

    Of 3 values a percentile bootstrap at 95 % covers 81 %, a t interval 95 %. One value gives NaN for both ends.
    """
    _check_level(level)
    values = _finite(values)
    if len(values) < 2:
        return Interval(float(values[0]), float("nan"), float("nan"))
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        return Interval(*[float(values.mean())] * 3)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def mean_of_independent(intervals, together=None):
    """Return the mean of independent estimates, each (value, low, high), with its interval, as `Interval`.

    The distances to the ends add as errors do: the root of their sum of squares, over how many there are. together: a
    label for each estimate; those of one label (of the same clips, say) may err together, so theirs are summed first.
    """
    values, low, high = np.array(list(intervals), float).T
    mean, n = values.mean(), len(values)
    groups = np.arange(n) if together is None else np.asarray(together)
    one = groups == np.unique(groups)[:, None]  # [groups, n]
    below, above = (np.sqrt(((one @ distance) ** 2).sum()) / n for distance in (values - low, high - values))
    return Interval(float(mean), float(mean - below), float(mean + above))


def at_once(comparisons, level=0.95):
    """Return the level at which each of so many intervals has to be, for all to cover at once (Bonferroni).

    For the best, worst or farthest of several comparisons, which was chosen by the values themselves. Where "better
    than all" holds, each interval at its own level would do, as all have to agree; the other end needs this one, which
    is taken for both and makes it hold somewhat too rarely.
    """
    return 1 - (1 - level) / max(1, comparisons)


def crossed_interval(statistic, blocks, units=None, level=0.95, span=None, of_run=None):
    """Return a statistic of several models, each trained in several runs, with an interval over runs and clips.

    blocks: one entry per set of clips; an entry lists the models scored on it, each [runs, clips] (or [clips] for one
    run), so models of an entry are compared clip by clip. statistic: function of such blocks, smooth in the values
    (means, their differences and ratios, correlations); one number that pools all it speaks of. units: per entry, a
    label for each clip or None; whole units (a person's clips) are left out together. of_run: what a run's [clips, ...]
    come to, a number or an array; the statistic is then of blocks of the models' means of that over their runs.

    Clips and each model's runs vary independently: the variance is the sum of jackknife variances, one of clips for
    each entry and one of runs for each model that has more than one, and the interval is Student's t with
    Satterthwaite's degrees of freedom. Few runs give few degrees of freedom, so a wide interval; with one run of each
    model it says something about these networks only. With `of_run`, models trained once among others trained more
    often are taken to vary from run to run as those do (their pooled variance, too small where it is of networks whose
    values are smaller, as those of fewer frames are in frames). What is left of an answer once clip and
    run are known is counted with both, so intervals are if anything too wide.

    Where leaving out makes no difference at all there is no spread to estimate: with `span`, the most that one clip
    can move the statistic's clip-wise value, the interval is as wide as a share of which none of n clips (or units) was
    seen may be; without it both ends are NaN.
    """
    blocks = [[np.atleast_2d(np.asarray(model, dtype=float)) for model in block] for block in blocks]
    _check_level(level)
    units = [None] * len(blocks) if units is None else _per_sample(units, len(blocks), "labels or None for each entry")

    def come_to(block):
        return block if of_run is None else [np.nanmean([of_run(run) for run in model], axis=0) for model in block]

    seen = [come_to(block) for block in blocks]
    value, terms, counts = float(statistic(seen)), [], []
    added = _by_those_trained_once(statistic, blocks, seen, of_run) if of_run else {}
    for at, (block, labels) in enumerate(zip(blocks, units, strict=True)):
        clips = block[0].shape[1]
        if any(model.shape[1] != clips for model in block):
            raise InputError(f"models that are compared need the same clips, not {[m.shape[1] for m in block]} of them")
        groups = _groups(np.arange(clips), range(clips) if labels is None else labels)
        counts.append(len(groups))

        def replaced(block, at=at):
            return float(statistic([*seen[:at], block, *seen[at + 1 :]]))

        terms.append(_jackknife([replaced(come_to([np.delete(m, g, axis=1) for m in block])) for g in groups]))
        for k, model in enumerate(block):
            fewer = [np.delete(model, r, axis=0) for r in range(len(model))] if len(model) > 1 else []
            now = seen[at]
            part, df = _jackknife([replaced([*now[:k], *come_to([one]), *now[k + 1 :]]) for one in fewer])
            terms.append((part + added.get((at, k), 0.0), df))
    variance = sum(part for part, _ in terms)
    if not variance > 0:
        half = span * share_interval(0, min(counts), level).high if span else float("nan")
    else:
        freedom = variance**2 / sum(part**2 / df for part, df in terms if part > 0)
        half = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return Interval(value, value - half, value + half)


def _by_those_trained_once(statistic, blocks, seen, of_run):
    """Return {(entry, model): variance} for models of several runs: what models of one run, which vary as they do, add.

    The squared deviations of all runs are pooled over their degrees of freedom; each model answers for its own part.
    """
    models = [(i, k) for i, block in enumerate(blocks) for k in range(len(block))]
    once = [(i, k) for i, k in models if len(blocks[i][k]) == 1]
    freedom = sum(len(blocks[i][k]) - 1 for i, k in models)
    value = float(statistic(seen))

    def moved(i, k, step):
        step = step if np.shape(step) == np.shape(seen[i][k]) else np.nanmean(step)
        block = [*seen[i][:k], seen[i][k] + step, *seen[i][k + 1 :]]
        return float(statistic([*seen[:i], block, *seen[i + 1 :]])) - value

    added = {}
    for i, k in (place for place in models if place not in once):
        steps = [of_run(run) - seen[i][k] for run in blocks[i][k]]
        added[i, k] = float(np.nansum([moved(*one, step) ** 2 for one in once for step in steps])) / freedom
    return added


def _jackknife(left_out):
    """Return (variance, degrees of freedom) from a statistic's values with one of n parts left out each time."""
    n = len(left_out)
    if n < 2:
        return 0.0, 1
    spread = float(np.sum((np.asarray(left_out) - np.mean(left_out)) ** 2))
    return (spread * (n - 1) / n if spread > 1e-24 * max(1.0, np.mean(left_out) ** 2) * n else 0.0), n - 1


def compare(a, b):
    """Return Welch's t-test (two-sided) and the effect sizes of a against b, as `Comparison`.

    This is the test of the ACCV paper's section 5.1. Cohen's d is (mean a - mean b) over the pooled
    standard deviation; Hedges' g is d with its small-sample correction. The test takes the values as
    independent: average frames or blobs per clip first. Raises InputError below two values in either sample.
    """
    a, b = _finite(a), _finite(b)
    if min(len(a), len(b)) < 2:
        raise InputError(f"a t-test needs at least two values on each side, not {len(a)} and {len(b)}")
    freedom = len(a) + len(b) - 2
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom)
    difference = a.mean() - b.mean()
    if pooled == 0:  # both samples constant: scipy would warn and return NaN or infinity
        t = d = 0.0 if difference == 0 else float(np.inf * difference)
        df, p = float(freedom), float(difference == 0)
    else:
        test = stats.ttest_ind(a, b, equal_var=False)
        t, df, p, d = test.statistic, test.df, test.pvalue, difference / pooled
    g = d * (1 - 3 / (4 * freedom - 1))
    moments = a.mean(), b.mean(), a.std(ddof=1), b.std(ddof=1)
    return Comparison(*map(float, (t, df, p, d, g, *moments)), len(a), len(b))


def _bootstrap(samples, units, statistic, level, seed, method, resamples):
    """Bootstrap statistic(sample), or the difference of two samples' statistics, with scipy."""
    if method not in ("BCa", "percentile"):
        raise InputError(f"unknown bootstrap method {method!r}: use 'BCa' or 'percentile'")
    _check_level(level)
    whole("resamples", resamples)
    samples = [_finite(sample) for sample in samples]
    data, draw = samples, [lambda rows: rows] * len(samples)
    vectorized = None
    if units is not None:
        grouped = [_groups(sample, labels) for sample, labels in zip(samples, units, strict=True)]
        data = [np.arange(len(groups)) for groups in grouped]
        draw = [lambda rows, groups=groups: np.concatenate([groups[i] for i in rows.astype(int)]) for groups in grouped]
        vectorized = False
    elif len(samples) == 2:
        vectorized = False

    def combined(*rows):
        parts = [statistic(pick(row)) for pick, row in zip(draw, rows, strict=True)]
        return parts[0] if len(parts) == 1 else parts[0] - parts[1]

    value = float(combined(*data))
    if min(len(rows) for rows in data) < 2:
        return Interval(value, float("nan"), float("nan"))
    if units is None and all(np.ptp(sample) == 0 for sample in samples):
        return Interval(value, value, value)

    def interval(method):
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.bootstrap(
                data,
                statistic if vectorized is None else combined,
                n_resamples=resamples,
                confidence_level=level,
                method=method,
                vectorized=vectorized,
                batch=max(1, 10_000_000 // max(map(len, data))),
                rng=np.random.default_rng(seed),
            ).confidence_interval

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        low, high = interval(method)
        if not (np.isfinite(low) and np.isfinite(high)):
            low, high = interval("percentile")
    if high - low <= ROUNDING * max(np.abs(sample).max() for sample in samples):
        return Interval(value, value, value)
    return Interval(value, float(low), float(high))


def _check_level(level):
    number("level of the interval", level, "between 0 and 1, for example 0.95", lambda level: 0 < level < 1)


def _per_sample(units, count, what):
    """Return `units`, of `count` samples, as a list; InputError where they are the labels of one sample alone."""
    several = isinstance(units, list | tuple | np.ndarray) and len(units) == count
    if not several or any(np.ndim(labels) != 1 for labels in units if labels is not None):
        raise InputError(f"units must be a list of {count}: {what}")
    return list(units)


def _groups(values, labels):
    """Return the values of each unit as a list of arrays, in the order of the sorted labels."""
    labels = np.asarray(labels)
    if labels.shape != (len(values),):
        raise InputError(
            f"units must be a flat list of {len(values)} labels, one per value, not of shape {labels.shape}"
        )
    _, index = np.unique(labels, return_inverse=True)
    order = np.argsort(index, kind="stable")
    return np.split(values[order], np.cumsum(np.bincount(index))[:-1])


def _finite(values):
    """Return the values as a float array [n]; InputError where it is empty, not flat, or not finite."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise InputError(f"a sample must be a non-empty flat list of numbers, not of shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite; "
            "remove them and report how many"
        )
    return values
