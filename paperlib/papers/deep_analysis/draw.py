"""The figures of the CVPR 2021 paper's benchmark, drawn from a table of models."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...explanation import plotting
from .. import published
from . import DATASETS, METRICS, MODULES

MODULE_COLOUR = {module: plotting.MODULES[module] for module in ("I3D", "S3D", "TAM", "TSN")}
BACKBONE_MARK = {"InceptionV1": "^", "ResNet18": "s", "ResNet50": "o"}
METRIC_TITLE = {
    "phi": r"spatial contribution $\bar\Phi_a$",
    "psi_ta": r"temporal improvement $\bar\Psi_a^{ta}$",
    "psi_ta_tp": r"with pooling $\bar\Psi_a^{ta+tp}$",
}


def legend(figure, models, extra=()):
    """Put the legend of the table's modules (colour) and backbones (mark) under the panels."""
    handles = [
        Line2D([], [], color=colour, marker="o", ms=5, label=module)
        for module, colour in MODULE_COLOUR.items()
        if module in set(models.module)
    ]
    handles += [
        Line2D([], [], color="0.4", marker=mark, ls="none", ms=5, label=backbone)
        for backbone, mark in BACKBONE_MARK.items()
        if backbone in set(models.backbone)
    ]
    handles += list(extra)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)


def table07(cells, exchanged):
    """Draw Table 7: recomputed means with intervals and printed values; below, printed minus recomputed.

    cells, exchanged: `compare` with the table as printed and with two columns exchanged.
    """
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 4.6), sharex=True, height_ratios=[1.4, 1])
    pairs = [t.set_index(["dataset", "metric", "module"]) for t in (cells, exchanged)]
    for column, metric in enumerate(METRICS):
        above, below = axes[:, column]
        below.axhspan(-0.005, 0.005, color="0.88", lw=0, zorder=0)
        for d, dataset in enumerate(DATASETS):
            for m, module in enumerate(MODULES):
                cell, swapped = (t.loc[dataset, metric, module] for t in pairs)
                x, colour = d + (m - 1) * 0.27, MODULE_COLOUR[module]
                plotting.interval_bar(above, x - 0.06, cell.recomputed, cell.low, cell.high, colour, ms=4)
                plotting.published_mark(above, x + 0.08, cell.printed)
                below.plot(x, cell.printed - cell.recomputed, "D", color=colour, ms=5)
                below.plot(x, swapped.printed - swapped.recomputed, "o", mfc="none", mec="k", ms=7, mew=0.8)
        above.axhline(0, color="0.8", lw=0.8, zorder=0)
        above.set_title(METRIC_TITLE[metric])
        below.set_ylim(-0.033, 0.033)
        below.set_xticks(range(3), [x.replace("mini-", "mini-\n") for x in DATASETS])
    axes[0, 0].set_ylabel("share (no unit)")
    axes[0, 0].set_ylim(0.4, 1.02)
    axes[1, 0].set_ylabel("printed minus\nrecomputed")
    handles = [Line2D([], [], color=MODULE_COLOUR[x], marker="o", ms=5, label=x) for x in MODULES]
    handles += [
        Line2D([], [], color="k", marker="D", mfc="none", ls="none", ms=5, label="printed"),
        Line2D([], [], color="0.4", marker="D", ls="none", ms=5, label="difference"),
        Line2D([], [], color="k", marker="o", mfc="none", ls="none", ms=7, label="with I3D, S3D exchanged"),
        Patch(color="0.88", label="rounding"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=7, columnspacing=1.0, handletextpad=0.4)
    return figure


def accuracy(models, datasets=DATASETS):
    """Draw Figure 4: top-1 without temporal pooling against frames (top) and against cost (bottom).

    models needs the column gmacs (multiply-accumulates of one clip, in thousand millions); low and high, where there,
    are drawn as intervals.
    """
    plain = models[models.temporal_pooling == 0]
    datasets = [d for d in datasets if d in set(plain.dataset)]
    frames = sorted(plain.num_frames.unique())
    figure, axes = plt.subplots(2, len(datasets), figsize=(7.2, 4.8), sharey="col", squeeze=False)
    for column, dataset in enumerate(datasets):
        for (module, backbone), line in plain[plain.dataset == dataset].groupby(["module", "backbone"]):
            line = line.sort_values("num_frames")
            look = dict(color=MODULE_COLOUR[module], marker=BACKBONE_MARK[backbone], ms=4, lw=0.8, alpha=0.9)
            if "low" in line:
                look |= {"yerr": np.stack([line.top1 - line.low, line.high - line.top1]), "elinewidth": 0.5}
            place = list(MODULE_COLOUR).index(module) - 1.5 + 0.3 * (list(BACKBONE_MARK).index(backbone) - 1)
            aside = 1.03**place if "low" in line else 1.0  # so that intervals stand side by side
            for axis, x in ((axes[0, column], line.num_frames * aside), (axes[1, column], line.gmacs)):
                (axis.errorbar if "low" in line else axis.plot)(x, line.top1, **look)
        for axis, label, base in ((axes[0, column], "input frames", 2), (axes[1, column], "GMACs per clip", 10)):
            axis.set_xscale("log", base=base)
            axis.set_xlabel(label)
        axes[0, column].set_xticks(frames, frames)
        axes[0, column].set_xlim(frames[0] * 0.85, frames[-1] * 1.18)
        plotting.log_ticks(axes[1, column].xaxis)
        axes[0, column].set_title(f"own: {dataset}" if "low" in plain else dataset)
        axes[0, column].minorticks_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("top-1 accuracy (%)")
    legend(figure, plain)
    return figure


def pooling(gain):
    """Draw Figure 6: what temporal pooling changes in top-1, per module, backbone and frame count.

    Dashed: the gains of TSN that the text names (above 20 points; 3 to 5 points).
    """
    named = published.table("deep_analysis_fig06").query("column.str.contains('gain of')")
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.0))
    frames = sorted(gain.num_frames.unique())
    for axis, dataset in zip(axes, DATASETS, strict=True):
        part = gain[gain.dataset == dataset]
        axis.axhline(0, color="0.5", lw=0.8)
        for value in named[named.dataset == dataset].value:
            axis.axhline(value, color=MODULE_COLOUR["TSN"], lw=1, ls="--")
        for m, module in enumerate(MODULE_COLOUR):
            for b, backbone in enumerate(BACKBONE_MARK):
                line = part[(part.module == module) & (part.backbone == backbone)].sort_values("num_frames")
                x = np.arange(len(frames)) + (m - 1.5) * 0.2 + (b - 1) * 0.05
                axis.plot(x, line.gain, BACKBONE_MARK[backbone], color=MODULE_COLOUR[module], ms=4)
        axis.set_xticks(range(len(frames)), frames)
        axis.set_xlabel("input frames")
        axis.set_title(dataset)
    axes[0].set_ylabel("change of top-1 with\ntemporal pooling (points)")
    legend(figure, gain, [Line2D([], [], color=MODULE_COLOUR["TSN"], ls="--", label="TSN, as in the text")])
    return figure
