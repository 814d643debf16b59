"""What the relevance paper says in sections 4.3 and 4.4: windows, and what action models learn (see findings.py)."""

import numpy as np

from ..findings import UNTRAINED, Finding
from . import architectures, class_statistics, ensembles, partial, pooled, split
from .pooled import avg, datasets_of, largest, networks, rests_on, role_of

CLASSES = 174  # of Something-Something-V2, of which Figure 8 speaks
FEW = 2  # the fewest that are "a few frames" (Figure 16)


def of_windows(measured, figure):
    """Return the findings of Figure 6 (`fig6`) or 14 (`fig14`); measured: {checkpoint: windows.measure}."""
    needing = partial.needing_windows(measured)
    why = f"single frames suffice: none of its networks loses more than {partial.LOSS} points with windows of one frame"

    def finding(name, some, quantity):
        values = partial.values(some, quantity)
        if not values:
            return Finding(f"tr.{figure}.{name}", None, why, datasets_of(measured))
        return _of_videos(f"tr.{figure}.{name}", values)

    found = [
        finding("saturated", needing, partial.change),
        finding("sized", needing, partial.sized),
        finding("partial", needing, partial.narrowed),
    ]
    return found + ([finding("empty", measured, partial.emptied)] if figure == "fig6" else [])


def _of_videos(id, values, of=None):
    """Return the Finding of a statistic (`pooled.pool`) of what windows do to accuracy, of `partial.values`."""
    seen = pooled.words(map(len, values.values()), [len(runs[0]) for runs in values.values()], "video")
    return Finding(id, pooled.pool(values, of, span=100.0), seen, datasets_of(values))


def of_few_frames(measured):
    """Return the findings of Figure 16: whether very few frames suffice on both kinds of data sets."""
    lost = partial.values(measured, lambda found, _: -partial.change(found, FEW))
    right_with_few = partial.values(measured, lambda found, _: partial.right(found["fixed"][_few(found)], found))
    sets = {role: [name for name in lost if role_of(name) == role] for role in ("SSV2", "Kinetics")}
    ids = "tr.fig16.ssv2-more", "tr.fig16.kinetics-few"
    if not all(sets.values()):
        return [Finding(id, None, UNTRAINED) for id in ids]

    def more(mean):
        ssv2, kinetics = (np.mean([mean(name) for name in sets[role]]) for role in ("SSV2", "Kinetics"))
        return ssv2 - kinetics

    kinetics = {name: right_with_few[name] for name in sets["Kinetics"]}
    return [_of_videos(ids[0], lost, more), _of_videos(ids[1], kinetics)]


def _few(found):
    """Return which of the measured widths is closest to `FEW` frames."""
    return int(np.abs(found["widths"] - FEW).argmin())


def of_correlation(ours):
    """Return the finding of Figure 7, over networks. ours: `architectures.described`."""
    sets = ours.groupby("dataset", sort=False).size()
    if sets.min() < 4:
        return [Finding("tr.fig7.correlation", None, "fewer than 4 networks of a data set are trained here")]
    accuracy, relevance = (lambda part: part.accuracy), (lambda part: part.avg_atr)
    interval = architectures.over_networks(ours, relevance, accuracy, ranks=False)
    runs, clips = (pooled.counted(ours[f"{what}s"], what) for what in ("run", "clip"))
    seen = f"{runs} each of {' and '.join(map(str, sets))} networks, {clips} each"
    return [Finding("tr.fig7.correlation", interval, seen, ", ".join(sets.index))]


def of_classes(explained, figure):
    """Return the findings of Figure 8 (`fig8`) or 15 (`fig15`): how far classes differ beyond the noise of clips."""
    ((network, runs),) = networks(explained).items()
    by_mean, by_largest = (class_statistics.spread(runs, quantity) for quantity in (avg, largest))
    if figure == "fig8":  # the range of as many classes as the paper has, if they are normally distributed
        by_largest = tuple(class_statistics.expected_range(CLASSES) * end for end in by_largest)
    seen = f"{_classes(explained)}, {rests_on(explained)}"
    values = {"avg": by_mean, "max": by_largest}
    return [Finding(f"tr.{figure}.{name}", value, seen, split(network)[0]) for name, value in values.items()]


def of_overlap(explained):
    """Return the findings of Table 3: whether the classes of largest ATR are those that people call temporal."""
    found = class_statistics.with_both_kinds(explained)
    ids = "tr.table3.disagree", "tr.table3.especially"
    if not found:
        return [Finding(id, None, "no data set has five classes of each kind with explained clips") for id in ids]
    overlap = class_statistics.over_classes(found, class_statistics.agreement, ("avg", "max"))
    seen = f"{_classes(found)}, {rests_on(found)}"
    why = "every class is temporal or static here, so that both overlaps are one event"
    return [Finding(ids[0], overlap, seen, datasets_of(found)), Finding(ids[1], None, why, datasets_of(found))]


def of_sorted(explained):
    """Return the findings of Figure 9: where temporal and static classes lie in the order by avg-ATR."""
    found = class_statistics.with_both_kinds(explained)
    functions = {"scattered": class_statistics.larger_than_static, "many-static": class_statistics.static_above_median}
    if not found:
        why = "no data set has five classes of each kind with explained clips"
        return [Finding(f"tr.fig9.{name}", None, why) for name in functions]
    seen = f"{_classes(found)}, {rests_on(found)}"
    return [
        Finding(f"tr.fig9.{name}", class_statistics.over_classes(found, function), seen, datasets_of(found))
        for name, function in functions.items()
    ]


def _classes(explained):
    """Return how many classes of explained clips there are, in words."""
    counts = sorted({len(np.unique(found.labels)) for found in explained.values()})
    return f"{counts[0]} classes" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} classes"


def of_ensemble(explained, used):
    """Return the finding of Figure 10; used: `ensembles.rows_used`."""
    few = [network for network in used if network != ensembles.of_all(used)]
    if not few:
        return [Finding("tr.fig10.fewer", None, UNTRAINED)]
    values, full = ensembles.values(explained, used), ensembles.of_all(used)
    # its runs are the same ones on all sets of rows, so they stand in the table once
    values[full] = np.mean([values.pop(ensembles.same_rows(network)) for network in few], axis=0)

    def of(mean):
        return np.mean([mean(network) for network in few]) - mean(full)

    return [Finding("tr.fig10.fewer", pooled.pool(values, of), rests_on(explained), datasets_of(explained))]
