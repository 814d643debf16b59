"""Which statements about video transformers are decided, by what."""

import numpy as np

from ....storage.zoo_lists import without_seed
from ... import published
from ...findings import UNTRAINED, Finding, declare
from ...temporal_relevance import architectures, partial, pooled, split
from . import COMPOSITES, ROLLOUT, attends, matched, plain, table

HALF = 4  # of 8 frames
FEW = 4  # networks, below which a correlation over them says nothing


def untested(run):
    """Enter every statement of the notebook as not testable here."""
    ids = [id for id in published.statements().id if id.startswith("transformers.")]
    datasets = ", ".join(dict.fromkeys(split(key)[0] for key in run.settings["models"]))
    return declare(run, [Finding(id, None, UNTRAINED, datasets) for id in ids])


def findings(found, measured):
    """Return all findings; found: of `reaches`, measured: {checkpoint: windows.measure}."""
    own = {key: one for key, one in found["attnlrp"].items() if attends(key)}
    usual = {key: one for key, one in own.items() if plain(key)}
    compared = pooled.compared
    return [
        *(farther(f"transformers.avg-{rules}", found, pooled.avg, [rules]) for rules in COMPOSITES),
        farther("transformers.max", found, pooled.largest, COMPOSITES),
        compared("transformers.temporal", usual, pooled.across(usual, "SSV2", "Kinetics")),
        attention_farther("transformers.rollout", usual, found[ROLLOUT]),
        compared("transformers.positions", own, _pairs(own, "-nopos", "")),
        compared("transformers.tubelets", own, _pairs(own, "-tubelet2", "") + _pairs(own, "", "-tubelet1")),
        compared("transformers.window", own, _pairs(own, "-window2", "")),
        saturated("transformers.saturated", measured),
        correlation("transformers.correlation", own),
    ]


def _pairs(explained, first, second):
    """Return [(network + first suffix, network + second suffix)] of the networks that are there in both forms."""
    names = pooled.networks(explained)
    bases = dict.fromkeys(name.removesuffix(first or second) for name in names if name.endswith(first or second))
    return [(base + first, base + second) for base in bases if {base + first, base + second} <= names.keys()]


def farther(id, found, quantity, composites):
    """Return the Finding of a quantity of transformers minus that of CNNs of the same accuracy, run by run.

    Runs are paired by `matched`; what one composite or several give is averaged for each clip.
    """
    pairs = matched(found[composites[0]])
    if not pairs:
        return Finding(id, None, "no CNN is as accurate as one of the transformers that are trained here")
    values, datasets = {}, list(dict.fromkeys(split(key)[0] for key, _ in pairs))
    for dataset in datasets:
        here = [pair for pair in pairs if split(pair[0])[0] == dataset]
        for side, name in enumerate(("transformers", "CNNs")):
            tables = [pooled.table([found[rules][pair[side]] for pair in here], quantity) for rules in composites]
            values[f"{dataset}/{name}"] = np.mean(tables, axis=0)

    def of(mean):
        return float(np.mean([mean(f"{name}/transformers") - mean(f"{name}/CNNs") for name in datasets]))

    ours, others = ([len({split(without_seed(pair[side])[0])[1] for pair in pairs})] for side in (0, 1))
    sides = f"{pooled.counted(ours, 'transformer')} and {pooled.counted(others, 'CNN')}"
    clips = pooled.counted([len(found[composites[0]][key].videos) for pair in pairs for key in pair], "clip")
    rests_on = f"{pooled.counted([len(pairs)], 'pair')} of runs, of {sides}, {clips} each"
    return Finding(id, pooled.pool(values, of), rests_on, ", ".join(datasets))


def attention_farther(id, explained, rollout):
    """Return the Finding of rollout's avg-ATR minus relevance's, on the same clips of the same runs."""
    if not explained:
        return Finding(id, None, UNTRAINED)
    of_attention = pooled.tables({key: rollout[key] for key in explained}, pooled.avg)
    of_relevance = pooled.tables(explained, pooled.avg)
    values = {name: of_attention[name] - of_relevance[name] for name in of_relevance}
    return Finding(id, pooled.pool(values), pooled.rests_on(explained), pooled.datasets_of(explained))


def saturated(id, measured):
    """Return the Finding of the accuracy that windows of half of the frames lose, of transformers that need windows."""
    own = partial.needing_windows({key: one for key, one in measured.items() if attends(key)})
    if not own:
        return Finding(id, None, "none of the transformers trained here predicts every frame and needs more than one")
    values = partial.values(own, lambda found, _: partial.change(found, HALF))
    runs = pooled.words(map(len, values.values()), [len(one["labels"]) for one in own.values()], "video")
    return Finding(id, pooled.pool(values, span=100.0), runs, pooled.datasets_of(own))


def correlation(id, explained):
    """Return the Finding of the correlation of accuracy and avg-ATR over transformers, mean of the data sets.

    Of those on which enough are trained: two networks are always in line.
    """
    rows = table({"attnlrp": explained})
    rows = rows[rows.groupby("dataset").model.transform("size") >= FEW] if len(rows) else rows
    if len(rows):
        r = architectures.over_networks(rows, lambda part: part.avg_atr, lambda part: part.accuracy, ranks=False)
        clips = [len(one.videos) for key, one in explained.items() if split(key)[0] in set(rows.dataset)]
        seen = f"{pooled.counted(rows.runs, 'run')} each of {len(rows)} networks, {pooled.counted(clips, 'clip')} each"
        return Finding(id, r, seen, ", ".join(rows.dataset.unique()))
    return Finding(id, None, f"fewer than {FEW} transformers are trained on one data set")
