"""Figures 4, 7, 10 and 12, Table 2: backbone, depth, temporal kernel and ensemble against temporal relevance."""

import re

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from ...explanation import plotting
from ...training import checkpoints
from ..stand_ins import STANDS_FOR
from ..statistics import Interval, crossed_interval
from . import pooled
from .datasets import heading, summary

SIZES = {8: 22, 16: 50, 32: 95}  # areas of Figure 7's marks by number of frames


def temporal_convolutions(model):
    """Return how many convolutions of a model, its first one left out, look beyond one frame (Figure 4 a)."""
    import torch

    return sum(
        isinstance(layer, torch.nn.Conv3d) and layer.kernel_size[0] > 1
        for name, layer in model.named_modules()
        if not name.startswith("conv1")
    )


def described(explained):
    """Return `datasets.summary` with what each architecture is: temporal convolutions, depth, kernel, ensemble."""
    table = summary(explained)
    models = [checkpoints.load(network) for network in pooled.networks(explained)]
    table["temporal_convolutions"] = [temporal_convolutions(model) for model, _ in models]
    table["kernel_size"] = [model.config.get("kernel_size", 3) for model, _ in models]
    table["ensemble"] = [header["recipe"].get("ensemble", 0) or model.num_frames for model, header in models]
    backbones = [model.config["name"].split("-")[1] for model, _ in models]
    table["backbone"] = backbones
    table["module"] = [model.config["name"].split("-")[0] for model, _ in models]
    table["depth"] = [int(b[1:]) if b[1:].isdigit() else np.nan for b in backbones]
    return table


def kernels_beside(ours, printed):
    """Return our table with Table 2's values of the same frames and kernel beside each number."""
    table = ours.copy()
    for name, column in (("accuracy", "accuracy"), ("avg_atr", "avg-ATR"), ("max_atr", "max-ATR")):
        table[f"{name}_paper"] = [
            printed[
                (printed.row == f"TAM2D-R50-f{row.frames}")
                & (printed.column == column)
                & (printed.kernel_size.astype(str) == str(row.kernel_size))
            ].value.squeeze()
            for row in ours.itertuples()
        ]
    return table


def over_networks(ours, x, y, ranks=True):
    """Return the correlation of two columns over networks, averaged over data sets, with its 95 % interval.

    x, y: functions of the part of `described` that is of one data set, giving a value per row. Correlations are
    averaged by Fisher's z; intervals are jackknifed over architectures, each left out of all data sets at once, and no
    narrower than `_back` says.
    """

    def z(columns):
        return np.mean([_z(a, b, ranks) for a, b in zip(columns[::2], columns[1::2], strict=True)])

    columns = _columns(ours, (x, y))
    if not columns:
        return Interval(np.nan, np.nan, np.nan)
    interval = crossed_interval(lambda blocks: z([column[0] for column in blocks[0]]), [columns])
    return _back(interval, columns[0].size, ranks)


def two_orders(ours):
    """Return the rank correlation of avg-ATR on two data sets over the architectures that both have, as `Interval`."""
    first, second = (column[0] for column in _columns(ours, (lambda part: part.avg_atr,)))
    both = np.isfinite(first) & np.isfinite(second)
    blocks = [[first[None, both], second[None, both]]]
    return _back(crossed_interval(lambda blocks: _z(blocks[0][0][0], blocks[0][1][0], True), blocks), both.sum(), True)


def explains_better(ours):
    """Return by how much avg-ATR's correlation with temporal convolutions exceeds the size of that with accuracy."""
    quantities = [lambda part: part.avg_atr, lambda part: part.temporal_convolutions, lambda part: part.accuracy]

    def statistic(blocks):
        columns = [column[0] for column in blocks[0]]
        found = [np.tanh([_z(a, number), _z(a, right)]) for a, number, right in zip(*[iter(columns)] * 3, strict=True)]
        return float(np.mean([number - abs(right) for number, right in found]))

    return crossed_interval(statistic, [_columns(ours, quantities)])


def _columns(ours, quantities):
    """Return [1, architectures] per data set and quantity, NaN where a data set lacks an architecture."""
    models = list(dict.fromkeys(ours.model))
    found = []
    for _, part in ours.groupby("dataset", sort=False):
        part = part.set_index("model")
        found += [quantity(part).reindex(models).to_numpy(float)[None] for quantity in quantities]
    return found


def _by_frames(model):
    """Return a key that sorts models by name, those of fewer frames first."""
    name, _, frames = model.rpartition("-")
    return name, [int(number) for number in re.findall(r"\d+", frames)]


def _z(a, b, ranks=True):
    """Return Fisher's z of the correlation of two samples where both are known."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = (stats.rankdata(x[both]) if ranks else x[both] for x in (a, b))
    if len(a) < 2 or not np.ptp(a) or not np.ptp(b):
        return 0.0  # one value alone, or no differences, go with nothing
    return float(np.arctanh(np.clip(np.corrcoef(a, b)[0, 1], -0.9999, 0.9999)))


def _back(interval, networks, ranks):
    """Return an interval of Fisher's z as one of the correlation, over `networks` of them; ranks: whether of ranks.

    It is no narrower than if z had a standard error of 1 / sqrt(n - 3), as Fisher's, of ranks sqrt(1.06 / (n - 3)), as
    Fieller's, however well the networks happen to line up: of so few, the jackknife's own error is large. It has none
    (NaN) where they line up whichever is left out, and z has no end there: the interval is then around half an exchange
    of two neighbours less, and ends at the correlation itself.
    """
    arm = stats.norm.ppf(0.975) * np.sqrt((1.06 if ranks else 1) / (networks - 3)) if networks > 3 else np.inf
    most = np.arctanh(1 - 6 / (networks * (networks**2 - 1))) if networks > 1 else 0.0
    middle = np.clip(interval.value, -most, most)
    low, high = np.fmin(interval.low, middle - arm), np.fmax(interval.high, middle + arm)
    ends = interval.value, np.fmin(low, interval.value), np.fmax(high, interval.value)
    return Interval(*(float(np.tanh(end)) for end in ends))


def draw_backbones(ours):
    """Draw Figure 4 (a): avg-ATR sorted per data set; above each bar its temporal convolutions, inside its accuracy."""
    datasets = list(dict.fromkeys(ours.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.6 * len(datasets) + 0.4, 3.2), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = ours[ours.dataset == dataset].sort_values("avg_atr", ascending=False)
        for x, (_, row) in enumerate(part.iterrows()):
            colour = plotting.colour_of(row.module)
            interval = row.avg_atr, row.avg_atr_low, row.avg_atr_high
            plotting.bar_with_interval(axis, x, *interval, 0.75, colour, capsize=3)
            axis.text(x, row.avg_atr_high + 0.15, f"{row.temporal_convolutions}", ha="center", fontsize=8)
            look = {"fontsize": 7, "rotation": 90, "color": "white" if row.module == "I3D" else "black"}
            axis.text(x, 0.25, f"{row.accuracy:.1f} %", ha="center", va="bottom", **look)
        axis.set_xticks(range(len(part)), [m.rpartition("-")[0].replace("-", "\n") for m in part.model], fontsize=7)
        title = f"{dataset} (for mini-{STANDS_FOR.get(dataset, dataset)})"
        axis.set(title=title, ylim=(0, 1.15 * ours.avg_atr_high.max()))
    axes[0, 0].set_ylabel("avg-ATR, frames")
    figure.supxlabel("number above: temporal convolutions; inside: accuracy", fontsize=8)
    return figure


def draw_lines(ours, x, label, xlabel, limit=None):
    """Draw avg-ATR over the column `x` with 95 % intervals, one line per value of `label`, and accuracy beside it.

    What the paper prints is black and has its family's kind of line. The axis covers what is measured and printed, so
    that differences of a few tenths of a frame can be seen.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.3), width_ratios=[1.5, 1])
    levels = np.unique(ours[x])
    families = ours[label].nunique()
    seen = set()  # colours: a second family of a module is dashed and hollow
    for k, (name, part) in enumerate(ours.groupby(label, sort=False)):
        colour = plotting.colour_of(name, k)
        part = part.sort_values(x)
        places = np.searchsorted(levels, part[x]) + 0.08 * (k - (families - 1) / 2)
        look = {"fmt": plotting.MARKERS[k], "color": colour, "ms": 5, "capsize": 2, "lw": 1.2}
        look |= {"ls": "--", "mfc": "white"} if colour in seen else {"ls": "-"}
        seen.add(colour)
        for axis, column, legend in ((left, "avg_atr", name), (right, "accuracy", None)):
            arms = [part[column] - part[f"{column}_low"], part[f"{column}_high"] - part[column]]
            axis.errorbar(places, part[column], yerr=arms, label=legend, **look)
            if f"{column}_paper" in part:
                printed = {"fmt": "D", "mfc": "none", "color": "black", "ms": 5, "lw": 0.8, "ls": look["ls"]}
                axis.errorbar(places, part[f"{column}_paper"], label=legend and f"{name}, paper", **printed)
        if limit:
            note = None if k else "all frames of the clip"
            left.axhline(limit(part), ls=":", color="0.4", lw=0.8, label=note)
    for axis, title in ((left, "avg-ATR, frames"), (right, "accuracy, %")):
        axis.set_xticks(range(len(levels)), [f"{v:g}" for v in levels])
        axis.set(xlabel=xlabel, title=title, xlim=(-0.4, len(levels) - 0.6))
        axis.margins(y=0.1)
    figure.suptitle(heading(ours), fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return figure


def draw_correlation(ours):
    """Draw Figure 7: accuracy over avg-ATR, one panel per data set, with Pearson's r; marks named by their number."""
    datasets = list(dict.fromkeys(ours.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.9 * len(datasets), 4.4), squeeze=False)
    kinds = list(dict.fromkeys(ours.module))
    numbers = {model: k + 1 for k, model in enumerate(sorted(set(ours.model), key=_by_frames))}
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = ours[ours.dataset == dataset]
        for row in part.itertuples():
            k = kinds.index(row.module)
            look = {
                "marker": plotting.MARKERS[k],
                "color": plotting.colour_of(row.module, k),
                "alpha": 0.85,
                "lw": 0.4,
                "ec": "white",
                "zorder": 3,
            }
            across = [[row.avg_atr - row.avg_atr_low], [row.avg_atr_high - row.avg_atr]]
            up = [[row.accuracy - row.accuracy_low], [row.accuracy_high - row.accuracy]]
            axis.errorbar(row.avg_atr, row.accuracy, xerr=across, yerr=up, fmt="none", ecolor="0.8", lw=0.8)
            axis.scatter(row.avg_atr, row.accuracy, s=SIZES.get(row.frames, 60), **look)
            beside = {"xytext": (5, 2), "textcoords": "offset points", "fontsize": 7, "color": "0.2"}
            axis.annotate(str(numbers[row.model]), (row.avg_atr, row.accuracy), **beside)
        r = over_networks(part, lambda part: part.avg_atr, lambda part: part.accuracy, ranks=False)
        title = f"{dataset}, {len(part)} models\nPearson r = {r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
        axis.set(xlabel="avg-ATR, frames", title=title)
    axes[0, 0].set_ylabel("accuracy, %")
    marks = [
        plt.Line2D([], [], marker=plotting.MARKERS[k], color=plotting.colour_of(kind, k), ls="", label=kind)
        for k, kind in enumerate(kinds)
    ]
    marks += [
        plt.Line2D([], [], marker="o", color="0.5", ls="", ms=area**0.5, label=f"{frames} frames")
        for frames, area in SIZES.items()
        if frames in set(ours.frames)
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=len(marks), fontsize=8)
    named = [f"{number} {model}" for model, number in numbers.items()]
    lines = "\n".join("   ".join(named[k : k + 5]) for k in range(0, len(named), 5))
    figure.supxlabel(lines, fontsize=6.5)
    return figure
