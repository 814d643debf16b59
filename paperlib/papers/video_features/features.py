"""Tables 3 and 4 and Figure 4: blobs and masks of both models, their distributions and differences."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ...explanation import plotting
from ...gradcam import blobs
from ...training import evaluation
from .. import published
from ..statistics import bootstrap_difference, bootstrap_interval, compare
from . import COLOURS, paper_name, study

MEASURES = {
    "blob_count": "blob count per frame",
    "blob_size": "blob size (pixels)",
    "center_distance": "distance to the centre (pixels)",
    "mask_length": "mask length (frames)",
    "drop_ratio": "drop ratio",
    "drop_difference": "drop difference",
    "one_grid": "blob count per frame, maps on one grid",
    "one_grid_size": "blob size, maps on one grid (pixels)",
    "one_grid_distance": "distance to the centre, maps on one grid (pixels)",
}
SIX = tuple(name for name in MEASURES if not name.startswith("one_grid"))
OF_BLOBS = SIX[:3]
OF_MASKS = ("mask_length", "drop_ratio", "drop_difference")  # of clips whose score freezing lowers
SHARES = {
    "blob_size": "blob size / side of the frame",
    "center_distance": "distance to the centre / side",
    "mask_length": "mask length / frames of the clip",
    "one_grid_size": "blob size / side, maps on one grid",
    "one_grid_distance": "distance to the centre / side, one grid",
}
SIDES = {"SSV2": 224}  # pixels of the paper's frames; of KTH it has the videos' 160 x 120, not what its networks see
PRINTED = {
    "blob_count": ("table03", "blob count"),
    "blob_size": ("table03", "blob size"),
    "center_distance": ("table03", "center distance"),
    "mask_length": ("table04", "mask length"),
    "drop_ratio": ("table04", "drop ratio"),
    "drop_difference": ("table04", "drop difference"),
}


def measure_all(studied, detector=None):
    """Return the measures of every clip of every checkpoint in one table (see `study.measures`)."""
    return pd.concat([study.measures(each, detector) for each in studied.values()], ignore_index=True)


def printed(model, dataset, measure):
    """Return the paper's (mean, standard deviation), NaN where it has none."""
    if measure not in PRINTED:
        return np.nan, np.nan
    name, column = PRINTED[measure]
    table = published.table(f"video_features_{name}")
    found = table[(table.row == model) & (table.column == column) & (table.dataset == paper_name(dataset))]
    return tuple(map(float, found[["value", "spread"]].iloc[0])) if len(found) else (np.nan, np.nan)


def table03(studied, detector=None, seed=0):
    """Return our Table 3: blob count per frame, size and centre distance over all blobs.

    Mean and standard deviation as in the paper (over frames for the count, over blobs for the others), the
    interval of the mean with whole clips drawn, and the paper's values. Sizes are in pixels of our frames; `scale` and
    `scale_paper` are the frames' sides, by which the figure divides both (NaN where the paper has none). `one_grid` is
    measured once the maps of both models of a data set have the pixels of the coarser ones: what is left of a
    difference then is not the grid's.
    """
    rows = []
    for name, same in on_one_grid(studied).items():
        own = studied[name]
        for each, measures in (
            (own, ("blob_count", "blob_size", "center_distance")),
            (same, ("one_grid", "one_grid_size", "one_grid_distance")),
        ):
            cams = each.cams.astype(np.float32)
            found, frames = blobs.detect(cams, detector), blobs.measure(cams, detector)
            columns = frames["count"], found["size"], found["center_distance"]
            clips = frames["clip"], found["clip"], found["clip"]
            for measure, values, units in zip(measures, columns, clips, strict=True):
                rows.append(_row(each, measure, values, units, seed) | {"map_side": own.side, "grid": same.side})
                if measure != measures[0]:
                    rows[-1] |= {"scale": cams.shape[-1], "scale_paper": SIDES.get(paper_name(each.dataset), np.nan)}
    return pd.DataFrame(rows)


def on_one_grid(studied):
    """Return the Studied with their maps on the grid of the coarsest of their data set (`on_grid`)."""
    sides = {}
    for each in studied.values():
        sides.setdefault(each.dataset, set()).add(each.side)

    def moved(each):
        side = min(sides[each.dataset])
        return replace(each, cams=on_grid(each.cams.astype(np.float32), side), side=side)

    return {name: each if len(sides[each.dataset]) == 1 else moved(each) for name, each in studied.items()}


def on_grid(cams, side):
    """Return maps [n, T, H, W] averaged over a grid of side x side pixels, interpolated back and scaled per frame."""
    height, width = cams.shape[2:]
    coarse = F.adaptive_avg_pool2d(torch.from_numpy(cams), (side, side))
    maps = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    maps = maps - maps.amin((2, 3), keepdim=True)
    return (maps / maps.amax((2, 3), keepdim=True).clamp(min=1e-12)).numpy()


def table04(studied, seed=0):
    """Return our Table 4: mask length, drop ratio and drop difference, over the clips whose score freezing lowers.

    `empty` counts the other clips: their best mask is empty, which says nothing about its length or about reversing.
    `blended` is the mean with the code's blend of frames in place of whole ones; `removed` what the paper's filter took
    out of the ratio. The figure divides lengths by `scale` frames. What another start gives: see `study.starts`.
    """
    rows = []
    for each in studied.values():
        keep, frames = each.lowered, each.mask.shape[1]
        whole, blended = (
            evaluation.drops(each.original[keep], each.freeze[keep], scores[keep])
            for scores in (each.whole, each.reverse)
        )
        for measure, values, more in (
            ("mask_length", each.length[keep], {}),
            ("drop_ratio", whole.ratio, {"blended": blended.ratio.mean(), "removed": whole.removed}),
            ("drop_difference", whole.difference, {"blended": blended.difference.mean()}),
        ):
            rows.append(_row(each, measure, values, None, seed) | {"empty": int((~keep).sum()), **more})
            if measure == "mask_length":
                rows[-1] |= {
                    "scale": frames,
                    "scale_paper": frames,
                    "length_at_0.5": (each.mask[keep] > 0.5).sum(1).mean(),
                }
    return pd.DataFrame(rows)


def _row(each, measure, values, units, seed):
    """Return one line of Table 3 or 4; a measure without any value has NaN."""
    values = np.asarray(values, dtype=float)
    mean, spread = printed(each.model, each.dataset, measure)
    row = {
        "model": each.model,
        "dataset": each.dataset,
        "measure": measure,
        "values": len(values),
        "mean": np.nan,
        "sd": np.nan,
        "low": np.nan,
        "high": np.nan,
        "paper": mean,
        "paper_sd": spread,
        "scale": 1,
        "scale_paper": 1,
    }
    if len(values):
        found = bootstrap_interval(values, units=units, seed=seed, resamples=1999)
        row |= {"mean": found.value, "sd": values.std(), "low": found.low, "high": found.high}
    return row


def as_printed(table):
    """Return Table 3 or 4 in the paper's form, mean ± standard deviation, ours beside the paper's."""

    def form(mean, spread):
        return "" if np.isnan(mean) else f"{mean:.3g} ± {spread:.2g}"

    shown = pd.DataFrame(
        {
            "model": table.model + " (" + table.dataset + ")",
            "measure": table.measure.map(MEASURES),
            "ours": [form(*pair) for pair in zip(table["mean"], table.sd, strict=True)],
            "95 % of the mean": [f"{low:.3g} to {high:.3g}" for low, high in zip(table.low, table.high, strict=True)],
            "paper": [form(*pair) for pair in zip(table.paper, table.paper_sd, strict=True)],
        }
    )
    return shown.set_index(["measure", "model"])


# column of `study.starts` -> mark and name of a start's mean length
STARTS = {
    "window_length": ("s", "windows that some of them start from"),
    "released_length": ("v", "the same clips' masks from the released start"),
}


def draw_means(table, measures, starts=None):
    """Draw means of measures per model and data set: ours with 95 % intervals, the paper's means as diamonds.

    Lengths, sizes and distances are shares of the clip's frames or the frame's side; drop ratios are on a log axis.
    starts: table of `study.starts`, whose mean lengths are drawn beside those of the masks.
    """
    lines = 1 if len(measures) < 5 else 2
    columns = -(-len(measures) // lines)
    figure, axes = plt.subplots(lines, columns, figsize=(2.7 * columns, 2.7 * lines + 0.3), squeeze=False)
    datasets, models = list(dict.fromkeys(table.dataset)), list(COLOURS)
    for axis, measure in zip(axes.flat, measures, strict=True):
        for row in table[table.measure == measure].itertuples():
            x = datasets.index(row.dataset) + 0.4 * (models.index(row.model) - 0.5)
            mean, low, high = (value / row.scale for value in (row.mean, row.low, row.high))
            first = row.dataset == datasets[0]
            plotting.interval_bar(
                axis, x - 0.05, mean, low, high, COLOURS[row.model], f"{row.model}, ours" if first else None
            )
            if np.isfinite(row.paper / row.scale_paper):
                plotting.published_mark(
                    axis, x + 0.08, row.paper / row.scale_paper, label="paper" if first and not x > 0 else None
                )
            if measure == "mask_length" and starts is not None:
                own = starts[(starts.model == row.model) & (starts.dataset == row.dataset)]
                for column, (marker, label) in STARTS.items():
                    look = {"color": COLOURS[row.model], "mfc": "none", "ls": "none", "ms": 4}
                    label = label if first and not x > 0 else None
                    axis.plot(x - 0.13, own[column].mean() / row.scale, marker, label=label, **look)
        axis.set_xticks(range(len(datasets)), [f"{d}\n({paper_name(d)})" for d in datasets], fontsize=7)
        axis.set_title(SHARES.get(measure, MEASURES[measure]), fontsize=8)
        axis.set_xlim(-0.6, len(datasets) - 0.4)
        if measure in ("drop_ratio", "blob_count"):
            axis.set_yscale("log")
            axis.margins(y=0.1)
            plotting.log_ticks(axis.yaxis)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


PARAMETERS = {  # of `blobs.Detector`, in words
    "low": "lowest threshold",
    "high": "highest threshold",
    "step": "step between thresholds",
    "repeatability": "thresholds it is found at",
    "min_distance": "least distance, share of side",
    "min_area": "least area, share of frame",
    "max_area": "largest area, share of frame",
    "min_circularity": "least circularity (1: circle)",
    "min_convexity": "least convexity (1: convex)",
    "min_inertia": "least ratio of axes (1: circle)",
}


def sensitivity(studied, clips=12):
    """Return `blobs.sensitivity` for each checkpoint's first clips, with the columns model and dataset."""
    tables = [
        blobs.sensitivity(each.cams[:clips].astype(np.float32)).assign(model=each.model, dataset=each.dataset)
        for each in studied.values()
    ]
    return pd.concat(tables, ignore_index=True)


def draw_sensitivity(table):
    """Draw the blob count against every detector parameter, one panel each; the dotted line is our choice."""
    parameters = list(dict.fromkeys(table.parameter))
    figure, axes = plt.subplots(2, -(-len(parameters) // 2), figsize=(10, 4.2), sharey=True)
    for axis, name in zip(axes.flat, parameters, strict=False):
        for k, ((model, dataset), own) in enumerate(table[table.parameter == name].groupby(["model", "dataset"])):
            look = {"ls": "-" if paper_name(dataset) == "SSV2" else "--", "mfc": "none", "lw": 1}
            look |= {"marker": plotting.MARKERS[k], "ms": 3 + 1.5 * k}  # lines that coincide are still all seen
            axis.plot(own.value, own["count"], color=COLOURS[model], label=f"{model}, {dataset}", **look)
        ours = table[(table.parameter == name) & table.ours].value
        axis.axvline(ours.iloc[0], color="0.5", ls=":", lw=1)
        axis.set_xlabel(PARAMETERS.get(name, name))
        if name in ("min_area", "min_distance"):
            axis.set_xscale("log")
            plotting.log_ticks(axis.xaxis)
    for axis in axes[:, 0]:
        axis.set_ylabel("blobs per frame")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def per_clip(clips, dataset, measure):
    """Return {model: its values by video}, the mean over runs; of masks where freezing lowers the score in both."""
    own = clips[clips.dataset == dataset]
    if measure in OF_MASKS:
        lowered = own.groupby("video").lowered.all()
        own = own[own.video.map(lowered)]
    return {model: own[own.model == model].groupby("video")[measure].mean() for model in COLOURS}


def differences(clips, dataset, measures=SIX, seed=0):
    """Return I3D minus C-LSTM for each measure: paired interval over clips, Welch's t-test, effect size.

    clips: the table of `measure_all`. A clip without any blob leaves the paired difference. The drop ratio is not
    paired: the filter removes other clips of either model. The t-test takes all values of each model, as the paper's.
    """
    rows = []
    for measure in measures:
        i3d, lstm = per_clip(clips, dataset, measure).values()
        pairs = pd.concat([i3d, lstm], axis=1, keys=COLOURS).dropna()
        row = {
            "dataset": dataset,
            "measure": measure,
            "clips": f"{i3d.count()} and {lstm.count()}",
            "I3D": i3d.mean(),
            "C-LSTM": lstm.mean(),
        }
        paired = measure != "drop_ratio"
        if min(i3d.count(), lstm.count()) > 1 and (len(pairs) > 1 or not paired):
            test = compare(i3d.dropna(), lstm.dropna())
            sides = (pairs["I3D"], pairs["C-LSTM"]) if paired else (i3d.dropna(), lstm.dropna())
            found = bootstrap_difference(*sides, paired=paired, seed=seed)
            row |= {
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "t": test.t,
                "p": test.p,
                "d": test.cohen_d,
            }
        rows.append(row)
    columns = ["dataset", "measure", "clips", "I3D", "C-LSTM", "difference", "low", "high", "t", "p", "d"]
    return pd.DataFrame(rows, columns=columns)


def draw_histograms(clips, dataset, seed=0):
    """Draw Figure 4: normalised histograms of the six measures with Welch's p and Cohen's d in the titles."""
    figure, axes = plt.subplots(2, 3, figsize=(8.5, 4.6))
    tests = differences(clips, dataset, seed=seed).set_index("measure")
    for axis, measure in zip(axes.flat, SIX, strict=True):
        title = MEASURES[measure]
        values = {model: own.dropna() for model, own in per_clip(clips, dataset, measure).items()}
        everything = np.concatenate(list(values.values()))
        if len(everything):
            low, high = np.percentile(everything, (0, 97.5 if measure == "drop_ratio" else 100))
            bins = np.linspace(low, high if high > low else low + 1, 9)
            if measure == "mask_length":  # whole frames in the middle of their bars
                step = np.ceil((high - low + 1) / 10)
                bins = low - 0.5 + step * np.arange(np.ceil((high - low + 1) / step) + 1)
            if everything.max() > bins[-1]:
                title += f" (last bar: {bins[-2]:.3g} and more)"
            for model, own in values.items():
                weights = np.full(len(own), 1 / max(len(own), 1))
                axis.hist(
                    np.clip(own, None, bins[-1]),
                    bins,
                    weights=weights,
                    color=COLOURS[model],
                    alpha=0.55,
                    label=model,
                )
        test = tests.loc[measure]
        counts = " and ".join(str(len(own)) for own in values.values())
        axis.set_title(f"{title}\np = {test.p:.1g}, d = {test.d:.2f}, n = {counts}", fontsize=8)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS))
    for axis in axes[:, 0]:
        axis.set_ylabel("share of clips")
    figure.suptitle(f"{dataset} (for {paper_name(dataset)})", fontsize=9)
    return figure
