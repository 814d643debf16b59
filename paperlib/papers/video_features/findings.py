"""What the ACCV paper says about the two models, decided from scores, masks and maps of the same clips.

Intervals are over training runs (where there are several) and over clips, or persons where the data are of persons.
"""

import numpy as np

from ... import data
from ...training import evaluation
from ..findings import UNTRAINED, Finding, of_several
from ..statistics import at_once, crossed_interval, mean_interval, share_interval
from . import COLOURS, features, paper_name, performance, short, shown, study

I3D, CLSTM = COLOURS
LOW = 0.1  # section 5.3: the score is "brought close to, or below, 0.1"; one that starts there cannot be
MAP_SIDE = 4  # pixels that a Grad-CAM map needs at least: of 2 x 2, a blob is a corner
SYMMETRICAL = ("boxing", "handclapping", "handwaving")  # one cycle of these looks the same backwards, no step does
NO_TRUTH = "nothing says when in these videos the action starts, and where hands, objects and people are"
DIRECTION = {"blob_count": -1, "blob_size": 1, "center_distance": -1, "drop_ratio": 1, "drop_difference": 1}


def of_reversing(run, predicted):
    """Return the findings of Table 1; predicted: of `performance.predict_all`."""
    sets = {}
    for checkpoint, tables in predicted.items():
        model, dataset = short(checkpoint)
        sets.setdefault(paper_name(dataset), {}).setdefault(model, []).append((checkpoint, *tables))
    sets = {name: models for name, models in sets.items() if set(models) == set(COLOURS)}
    blocks = {name: _answers(models) for name, models in sets.items()}
    units = {name: _persons(run, models) for name, models in sets.items()}

    def finding(id, names, statistic):
        if not set(names) <= set(blocks):
            return Finding(id, None, UNTRAINED)
        chosen = [blocks[name] for name in names]
        interval = crossed_interval(statistic, chosen, [units[name] for name in names], span=1.0)
        rests = "; ".join(_rests_on(sets[name][I3D], len(blocks[name][0][0]), units[name]) for name in names)
        return Finding(id, interval, rests, ", ".join(sets[name][I3D][0][0].partition("/")[0] for name in names))

    def lost(block):
        labels, *models = block
        return np.mean([1 - reversed_ / forward for forward, reversed_ in (_both_f1(labels[0], one) for one in models)])

    def ahead(blocks):
        labels, i3d, clstm = blocks[0]
        return _both_f1(labels[0], i3d)[0] - _both_f1(labels[0], clstm)[0]

    return [
        finding("vf.table1.reversed-ssv2", ["SSV2"], lambda blocks: lost(blocks[0])),
        finding("vf.table1.reversed-kth", ["KTH"], lambda blocks: lost(blocks[0])),
        finding("vf.table1.time-critical", ["SSV2", "KTH"], lambda blocks: lost(blocks[0]) - lost(blocks[1])),
        finding("vf.table1.i3d-higher", ["SSV2"], ahead),
    ]


def _answers(models):
    """Return [labels [1, clips], the answers of I3D, of C-LSTM], answers [runs, clips, 2] forward and reversed."""
    labels = next(iter(models.values()))[0][1]["label"].to_numpy()
    answers = [
        np.stack([np.column_stack([table["predicted"] for table in both]) for _, *both in models[model]])
        for model in COLOURS
    ]
    return [labels[None], *answers]


def _persons(run, models):
    """Return the person of each clip where the data set knows it, else None."""
    checkpoint, forward, _ = models[I3D][0]
    if paper_name(short(checkpoint)[1]) != "KTH":
        return None
    videos = study.open_checkpoint(run, checkpoint)[2]
    persons = getattr(videos, "subjects", None)
    return None if persons is None else np.asarray(persons)[forward["clip"]]


def _both_f1(labels, answers):
    """Return macro F1, forward and reversed, of answers [runs, clips, 2]: the mean over runs and classes that occur."""
    labels, answers = labels.astype(int), answers.astype(int)
    classes = int(max(labels.max(), answers.max())) + 1
    f1 = [[evaluation.f1_scores(labels, way, classes) for way in run.T] for run in answers]
    return np.nanmean(f1, axis=2).mean(0)


def _rests_on(runs, clips, units):
    """Return in words how many runs, clips and persons a comparison of the two models sees."""
    each = f"{_counted(runs)} each"
    who = "" if units is None or len(np.unique(units)) == clips else f" of {len(np.unique(units))} persons"
    return f"{each}, {clips} clips{who}"


def _counted(runs):
    """Return how many training runs there are, in words."""
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}"


def of_classes(predicted, table):
    """Return the findings of Table 2; table: of `performance.table02`, predicted: of `performance.predict_all`."""
    forward, dataset = performance.forward(predicted), short(next(iter(predicted)))[1]
    names = list(next(iter(predicted.values()))[0].attrs["classes"])
    f1 = {model: performance.mean_f1(runs) for model, runs in forward.items()}
    eleven = study.eleven(names)
    every = [(m, k) for m in f1 for k in eleven]
    model, worst = min(every, key=lambda at: f1[at[0]][at[1]])
    runs = forward[model]
    labels, answers = runs[0]["label"].to_numpy()[None], np.stack([run["predicted"] for run in runs])

    def times_chance(labels, found):
        return evaluation.f1_scores(labels, found, len(names))[worst] * len(names)

    def mean_times_chance(blocks):
        labels, answers = (one.astype(int) for one in blocks[0])
        return np.mean([times_chance(labels[0], run) for run in answers])

    each = " and ".join(dict.fromkeys(map(_counted, forward.values())))
    apart = (table[I3D] - table[CLSTM]).dropna()
    of_worst = f"{_counted(runs)}, {(labels == worst).sum()} clips of the class {names[worst]!r} ({model})"
    of_all = f"{each} each, {len(apart)} classes, {np.isin(labels, eleven).sum()} clips"
    interval = crossed_interval(mean_times_chance, [[labels, answers]], level=at_once(len(every)))
    return [
        Finding("vf.table2.above-chance", interval, of_several(of_worst, len(every)), dataset),
        Finding("vf.table2.similar", mean_interval(apart), of_all, dataset),
    ]


def grouped(studied):
    """Return {data set: {model: [Studied of each run]}} of the data sets on which both models were studied."""
    found = {}
    for each in studied.values():
        found.setdefault(each.dataset, {}).setdefault(each.model, []).append(each)
    return {dataset: models for dataset, models in found.items() if set(models) == set(COLOURS)}


def compared(id, groups, which, datasets, statistic=None, keep=None, among=1, of=None):
    """Return the finding of a measure of both models on the same clips, pooled over data sets.

    which: Studied -> [n], NaN where a clip has no value. statistic: (values of I3D, of C-LSTM) -> number, by default
    the difference of their means. of: Studied -> bool [n], the clips that the statement is about, by default all. keep:
    Studied -> bool [n]; of those only clips that every run keeps are compared. among: of how many measures this is the
    extreme one, all of which the interval then covers at once.
    """
    statistic = statistic or difference_of_means
    blocks, units, said = [], [], []
    if not datasets:
        return Finding(id, None, UNTRAINED)
    for dataset in datasets:
        models = groups[dataset]
        everything = [each for runs in models.values() for each in runs]
        about = of(everything[0]) if of else np.ones(len(everything[0].videos), bool)
        kept = about & np.all([keep(each) for each in everything], axis=0) if keep else about
        block = [np.stack([np.asarray(which(each), float)[kept] for each in models[model]]) for model in COLOURS]
        if min(int(np.isfinite(values).all(0).sum()) for values in block) < 3:
            return Finding(id, None, "fewer than three clips have a value", dataset)
        blocks.append(block)
        units.append(everything[0].units[kept])
        lost = int((about & ~kept).sum())
        left_out = f" ({lost} left out: no freezing lowers their score)" if lost else ""
        said.append(_rests_on(models[I3D], int(kept.sum()), units[-1]) + left_out)
    interval = crossed_interval(
        lambda found: np.mean([statistic(*block) for block in found]), blocks, units, at_once(among)
    )
    return Finding(id, interval, of_several("; ".join(said), among), ", ".join(datasets))


def difference_of_means(a, b):
    """Return the mean of a minus the mean of b, NaN left out."""
    return np.nanmean(a) - np.nanmean(b)


def standardised(a, b):
    """Return Cohen's d of a against b, NaN left out: their difference in pooled standard deviations."""
    spread = np.sqrt((np.nanvar(a, ddof=1) + np.nanvar(b, ddof=1)) / 2)
    return difference_of_means(a, b) / spread if spread > 0 else 0.0


def named(groups, paper):
    """Return the names of the grouped data sets that stand for one of the paper's."""
    return [dataset for dataset in groups if paper_name(dataset) == paper]


def of_blobs(studied):
    """Return the findings of Table 3 and its figures, with both models' maps on one grid: a finer one alone has more
    and smaller blobs.

    Not testable where a model's maps have fewer than `MAP_SIDE` pixels a side.
    """
    studied = features.on_one_grid(studied)
    groups, clips = grouped(studied), features.measure_all(studied)
    measured = {checkpoint: part.set_index("video") for checkpoint, part in clips.groupby("checkpoint")}

    def which(measure):
        def values(each):
            of_frame = 1 if measure == "blob_count" else each.cams.shape[-1]
            return measured[each.checkpoint].loc[each.videos, measure].to_numpy(float) / of_frame

        return values

    found = []
    for paper in ("SSV2", "KTH"):
        sets = named(groups, paper)
        for word, measure in (("count", "blob_count"), ("size", "blob_size"), ("distance", "center_distance")):
            id, coarse = f"vf.table3.{word}-{paper.lower()}", too_coarse(groups, sets)
            found.append(
                Finding(id, None, coarse, ", ".join(sets)) if coarse else compared(id, groups, which(measure), sets)
            )
    if coarse := too_coarse(groups, named(groups, "SSV2")):
        return [*found, Finding("vf.fig4.spatial", None, coarse, ", ".join(named(groups, "SSV2")))]
    return [*found, smallest("vf.fig4.spatial", groups, which, ("blob_count", "blob_size", "center_distance"))]


def too_coarse(groups, datasets):
    """Return why a model's Grad-CAM maps on these data sets say nothing about places, or "" where they do."""
    side = min((each.side for dataset in datasets for runs in groups[dataset].values() for each in runs), default=0)
    if side >= MAP_SIDE:
        return ""
    return f"a model's maps have {side} x {side} pixels; to place anything it takes {MAP_SIDE} x {MAP_SIDE}"


def smallest(id, groups, which, measures):
    """Return the finding of the measure whose standardised difference is the smallest, signed as the paper's tables."""
    options = []
    for measure in measures:
        sign = DIRECTION[measure]

        def signed(a, b, sign=sign):
            return sign * standardised(a, b)

        keep = (lambda each: each.lowered) if measure.startswith("drop") else None
        options.append(compared(id, groups, which(measure), named(groups, "SSV2"), signed, keep, len(measures)))
    decided = [one for one in options if one.interval is not None]
    return min(decided, key=lambda one: one.interval.value) if len(decided) == len(options) else options[0]


def drop(measure):
    """Return the function Studied -> drop ratio or difference [n], the ratio NaN where the paper's filter applies."""

    def values(each):
        drops = each.drops()
        if measure == "drop_difference":
            return drops.difference
        ratio = np.full(len(each.videos), np.nan)
        ratio[drops.kept] = drops.ratio
        return ratio

    return values


def of_masks(studied):
    """Return the findings of Table 4 and section 5.3 that masks and scores decide."""
    groups = grouped(studied)
    lowered = {"keep": lambda each: each.lowered}
    found = []
    for paper in ("SSV2", "KTH"):
        sets, name = named(groups, paper), paper.lower()
        found += [
            compared(f"vf.table4.length-{name}", groups, lambda each: each.length, sets, **lowered),
            compared(f"vf.table4.ratio-{name}", groups, drop("drop_ratio"), sets, **lowered),
            compared(f"vf.table4.difference-{name}", groups, drop("drop_difference"), sets, **lowered),
        ]
    both = [*named(groups, "SSV2"), *named(groups, "KTH")]
    ssv2 = named(groups, "SSV2")
    return [
        *found,
        compared("vf.table4.footnote", groups, _explosion, ssv2, lambda a, b: np.nanmean([a.mean(), b.mean()])),
        compared("vf.sec4.losses", groups, lambda each: each.loss, both),
        compared("vf.sec5.scores-lower", groups, lambda each: (each.freeze + each.whole) / 2, both, **lowered),
        *_of_freezing(groups, ssv2),
    ]


def _explosion(each):
    """Return by how much a clip changes the mean drop ratio if the threshold is 1e-9 instead of 0.001 [n]."""
    shares = []
    for threshold in (1e-9, 1e-3):
        drops = each.drops(threshold)
        share = np.zeros(len(each.videos))
        share[drops.kept] = drops.ratio * len(share) / max(1, len(drops.ratio))
        shares.append(share)
    return shares[0] - shares[1]


def _of_freezing(groups, datasets):
    """Return section 5.3's findings on C-LSTM's freeze scores, of its first run."""
    if not datasets:
        return [Finding(f"vf.sec5.{what}", None, UNTRAINED) for what in ("too-short", "nearly-full")]
    found = []
    for dataset in datasets:
        each = groups[dataset][CLSTM][0]
        asked = each.original > LOW
        low = asked & (each.freeze <= LOW)
        above = share_interval(int((asked & ~low).sum()), int(asked.sum()))
        found.append(Finding("vf.sec5.too-short", above, f"1 run, {int(asked.sum())} clips", dataset))
        if low.sum() < 3:
            why = f"C-LSTM's freeze score falls to {LOW} in {int(low.sum())} clips only"
            found.append(Finding("vf.sec5.nearly-full", None, why, dataset))
        else:
            share = mean_interval(each.length[low] / each.mask.shape[1])
            found.append(Finding("vf.sec5.nearly-full", share, f"1 run, {int(low.sum())} clips", dataset))
    return found


def of_tests(studied):
    """Return the finding of the paper's t-tests on drop ratio and drop difference."""
    return [smallest("vf.fig4.ttest", grouped(studied), drop, ("drop_ratio", "drop_difference"))]


def of_examples(run, studied):
    """Return the findings that the paper reads from Figures 2 and 3, over all clips studied."""
    groups = grouped(features.on_one_grid(studied))
    sets = named(groups, "SSV2")
    truths = known(run, groups, sets)

    def told(quantity):
        return lambda each: quantity(each, truths[each.dataset])

    def of_lstm(_, lstm):
        return np.nanmean(lstm)

    places = {
        "centre": (early_distance, None),
        "hands": (told(shown.hands_over_objects), of_lstm),
        "both-objects": (told(shown.one_blob_on_both), None),
    }
    found, coarse = [], too_coarse(groups, sets)
    for name, (quantity, statistic) in places.items():
        why = coarse or ("" if name == "centre" or truths else NO_TRUTH)
        id = f"vf.sec5.{name}"
        found.append(
            Finding(id, None, why, ", ".join(sets)) if why else compared(id, groups, quantity, sets, statistic)
        )
    agnostic = told(shown.intensity_before)
    return [
        *found,
        compared("vf.sec5.agnostic", groups, agnostic, sets, of_lstm)
        if truths
        else Finding("vf.sec5.agnostic", None, NO_TRUTH, ", ".join(sets)),
    ]


def known(run, groups, datasets):
    """Return {data set: `shown.Shown` of the clips studied}; empty where one of the data sets does not know them."""
    found = {name: shown.shown(groups[name][CLSTM][0], run.data_root) for name in datasets}
    return found if all(one is not None for one in found.values()) else {}


def early_distance(each):
    """Return how far the first quarter's maps have their centre of mass from the centre, as a share of the side [n]."""
    cams = each.cams[:, : max(1, each.cams.shape[1] // 4)].astype(np.float64).mean(1)
    height, width = cams.shape[1:]
    total = cams.sum((1, 2))
    total = np.where(total > 0, total, np.nan)
    y = (cams.sum(2) * np.arange(height)).sum(1) / total - (height - 1) / 2
    x = (cams.sum(1) * np.arange(width)).sum(1) / total - (width - 1) / 2
    return np.hypot(x, y) / width


def of_cycles(run, studied):
    """Return the findings of section 5.2 on KTH: of actions whose cycle is `SYMMETRICAL` in time, masks cover a cycle
    and reversing costs little; of running, masks show the runner."""
    groups = grouped(studied)
    sets = named(groups, "KTH")

    def mean_of_both(a, b):
        return (np.nanmean(a) + np.nanmean(b)) / 2

    def symmetrical(each):
        return np.isin(np.array(each.classes)[each.labels], SYMMETRICAL)

    lowered = {"statistic": mean_of_both, "keep": lambda each: each.lowered, "of": symmetrical}
    timed = {}
    for dataset in sets:
        videos = data.load(dataset, split="val", size=64, root=run.data_root or None)
        if hasattr(videos, "cycle"):
            timed[dataset] = videos
    covers = Finding("vf.sec5.cycle", None, "the length of a cycle is unknown", ", ".join(sets))
    if sets and set(timed) == set(sets):
        covers = compared("vf.sec5.cycle", groups, lambda one: shown.cycles(one, timed[one.dataset]), sets, **lowered)
    return [
        covers,
        compared("vf.sec5.reverse-little", groups, lambda each: each.original - each.whole, sets, **lowered),
        _of_runners(known(run, groups, sets), groups, sets, mean_of_both),
    ]


def _of_runners(truths, groups, datasets, statistic):
    """Return whether masks pick the frames with the runner in them, of clips that have such frames and others."""
    id, where = "vf.sec5.runner", ", ".join(datasets)
    if not truths:
        return Finding(id, None, NO_TRUTH, where)
    if all(one.person.all() for one in truths.values()):
        return Finding(id, None, "the runner is in every frame of these videos", where)

    def quantity(each):
        return shown.masked_frames_with_person(each, truths[each.dataset], each.classes.index("running"))

    return compared(
        id, groups, quantity, datasets, statistic, of=lambda each: each.labels == each.classes.index("running")
    )
