"""The figures of the CVPR 2021 paper that compare with the literature, and the framework's own picture."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch

from ...explanation import plotting
from .structure import KINDS

APPROACH_COLOUR = {
    **{module: plotting.MODULES[module] for module in ("TSN", "I3D", "TAM", "SlowFast")},
    "CorrNet": plotting.SKY,
    "X3D": plotting.VERMILION,
    "CSN": plotting.BLACK,
}
KIND_COLOUR = dict(
    zip(
        KINDS,
        (plotting.BLUE, "0.75", plotting.VERMILION, plotting.GREEN, "0.9", plotting.PURPLE, plotting.SKY),
        strict=True,
    )
)
KIND_LABEL = {
    "3D": "3D (3x3x3)",
    "2D": "2D (1x3x3)",
    "1D": "1D temporal (3x1x1)",
    "1D depthwise": "1D temporal, depthwise",
    "1x1": "1x1x1",
    "shift": "temporal shift",
    "non-local": "non-local",
}


def progress(table):
    """Draw Figure 1: top-1 on Kinetics by the year of the approach, circle area for the cost of a clip."""
    table = table.sort_values(["year", "top1"], kind="stable", ignore_index=True)
    figure, axis = plt.subplots(figsize=(7.2, 4.0))
    for x, row in enumerate(table.itertuples()):
        colour = APPROACH_COLOUR[row.approach]
        axis.scatter(
            x,
            row.top1,
            s=row.gmacs * 3,
            color=colour,
            alpha=0.35 if row.retrained else 0.1,
            edgecolor=colour,
            linewidth=1.2,
        )
        axis.plot(x, row.top1, ".", color=colour)
        axis.annotate(
            f"{row.top1:.1f}",
            (x, row.top1),
            xytext=(0, -18),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
        )
    names = [f"{m.partition(' ')[0]}{'*' if r else ''}" for m, r in zip(table.model, table.retrained, strict=True)]
    names = [name.replace("-", "\n", 1).replace("-f", "\nf") for name in names]
    axis.set_xticks(range(len(table)), names, fontsize=7)
    for year, rows in table.groupby("year").groups.items():
        axis.text((rows[0] + rows[-1]) / 2, 79.1, year, ha="center", weight="bold")
        if rows[0]:
            axis.axvline(rows[0] - 0.5, color="0.85", lw=0.8)
    axis.set_ylabel("top-1 accuracy on Kinetics-400 (%)")
    axis.set_xlim(-0.6, len(table) - 0.4)
    axis.set_ylim(67.5, 79)
    handles = [
        axis.scatter([], [], s=g * 3, color="0.85", edgecolor="0.4", label=f"{g} GMACs per clip")
        for g in (50, 150, 300)
    ]
    handles += [
        axis.scatter([], [], s=150, color="0.4", alpha=alpha, edgecolor="0.4", label=label)
        for alpha, label in ((0.5, "* trained by this paper's authors"), (0.1, "quoted"))
    ]
    look = {"labelspacing": 2.9, "borderpad": 1.5, "handletextpad": 1.2, "fontsize": 7}
    axis.legend(handles=handles, loc="lower right", frameon=True, framealpha=1, edgecolor="none", **look)
    return figure


def habits(used, differ):
    """Draw Figure 2: shares of the surveyed papers; used, differ: rows with row and value (percent)."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.2), sharex=True)
    for axis, table, title, colour in (
        (axes[0], used, "datasets used", plotting.BLUE),
        (axes[1], differ, "compared under different ...", plotting.VERMILION),
    ):
        table = table.iloc[::-1]
        bars = axis.barh(
            [x.replace(" (", "\n(").replace(" and ", "\nand ") for x in table.row],
            table.value,
            color=colour,
            height=0.6,
        )
        axis.bar_label(bars, [f"about {v:.0f} %" for v in table.value], padding=3, fontsize=8)
        axis.set_xlabel("share of papers (%)")
        axis.set_title(title, loc="left")
        axis.set_xlim(0, 100)
    return figure


def composition(counts):
    """Draw what the networks of Table 1 are made of: layers by kind (one bar per model)."""
    kinds = [k for k in KINDS if k != "1x1" and counts[k].any()]
    figure, axis = plt.subplots(figsize=(7.2, 3.2))
    left = np.zeros(len(counts))
    for kind in kinds:
        axis.barh(counts.model, counts[kind], left=left, color=KIND_COLOUR[kind], label=KIND_LABEL[kind], height=0.7)
        for y, (start, width) in enumerate(zip(left, counts[kind], strict=True)):
            if width:
                axis.text(
                    start + width / 2,
                    y,
                    str(width),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if kind in ("3D", "1D", "1D depthwise") else "black",
                )
        left += counts[kind].to_numpy()
    for y, (end, parameters) in enumerate(zip(left, counts.parameters, strict=True)):
        axis.text(end + 0.4, y, f"{parameters / 1e6:.1f} M", va="center", fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("layers with a spatial or temporal extent (number beside the bar: parameters)")
    figure.legend(loc="outside lower center", ncols=len(kinds), columnspacing=1.2)
    return figure


def framework(stages, pooled, blocks):
    """Draw Figure 3: the chain of stages with its shapes, and the block of each spatio-temporal module.

    stages, pooled: lists of (name, [C, T, H, W]) without and with temporal pooling; blocks: {module: layers}.
    """
    figure, axes = plt.subplots(2, 1, figsize=(7.2, 4.4), height_ratios=[1, 1.6])
    chain(axes[0], stages, pooled)
    variants(axes[1], blocks)
    handles = [
        Patch(color=KIND_COLOUR[k], label=KIND_LABEL[k])
        for k in KINDS
        if any(kind == k for layers in blocks.values() for _, kind in layers)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        columnspacing=1.0,
        handletextpad=0.4,
        fontsize=7,
    )
    return figure


def chain(axis, stages, pooled):
    """Draw the stages from left to right; the frames left at each with and without temporal pooling."""
    axis.axis("off")
    axis.set_xlim(0, len(stages))
    axis.set_ylim(0, 1)
    axis.set_title("A network is a stack of spatio-temporal modules ...", loc="left")
    for x, ((name, shape), (_, short)) in enumerate(zip(stages, pooled, strict=True)):
        temporal = name.startswith("stage")
        box(axis, x + 0.06, 0.62, 0.76, 0.34, name, plotting.SKY if temporal else "0.92")
        size = f"{shape[0]} x {shape[2]} x {shape[3]}" if shape[2] > 1 else f"{shape[0]} classes"
        axis.text(x + 0.44, 0.54, size, ha="center", va="top", fontsize=7)
        axis.text(x + 0.44, 0.34, f"T = {shape[1]}", ha="center", va="top", fontsize=8, weight="bold")
        axis.text(x + 0.44, 0.15, f"T = {short[1]}", ha="center", va="top", fontsize=8, color=plotting.VERMILION)
        if x:
            axis.annotate("", (x + 0.08, 0.79), (x - 0.2, 0.79), arrowprops=dict(arrowstyle="->", lw=1))
    axis.text(-0.02, 0.34, "no pooling", ha="right", va="top", fontsize=7, weight="bold")
    axis.text(-0.02, 0.15, "pooling", ha="right", va="top", fontsize=7, color=plotting.VERMILION)


def variants(axis, blocks):
    """Draw the layers of one residual block for every module, from bottom (input) to top (sum)."""
    axis.axis("off")
    axis.set_xlim(0, len(blocks))
    axis.set_ylim(0, 1)
    axis.set_title("... and only the module makes two networks differ (one residual block each)", loc="left")
    for x, (module, layers) in enumerate(blocks.items()):
        axis.text(x + 0.42, 0.0, module, ha="center", va="bottom", weight="bold")
        top = 0.14
        for size, kind in layers:
            box(axis, x + 0.1, top, 0.64, 0.13, size, KIND_COLOUR[kind], dark=kind in ("3D", "1D", "1D depthwise"))
            top += 0.17
        axis.plot([x + 0.42], [top + 0.03], "o", mfc="white", mec="k", ms=11)
        axis.text(x + 0.42, top + 0.027, "+", ha="center", va="center", fontsize=10)
        axis.plot([x + 0.42, x + 0.86, x + 0.86, x + 0.48], [0.11, 0.11, top + 0.03, top + 0.03], color="0.5", lw=0.9)
        axis.annotate(
            "", (x + 0.42, top + 0.01), (x + 0.42, 0.08), zorder=0, arrowprops=dict(arrowstyle="-", lw=0.9, color="0.5")
        )


def box(axis, x, y, width, height, text, face, dark=False):
    """Draw a rounded box with a text in its middle."""
    axis.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.03", fc=face, ec="k", lw=0.7)
    )
    axis.text(
        x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8, color="white" if dark else "black"
    )


def i3d_variants(table, steps):
    """Draw Figure 7: published top-1 of the I3D variants, and the same steps on the mini datasets."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.9), width_ratios=[4, 2, 4])
    for axis, dataset in zip(axes, ("Kinetics", "SSV2"), strict=False):
        part = table[table.dataset == dataset]
        axis.plot(part.variant.str.replace("I3D-", "I3D-\n"), part.top1, "o", color=plotting.BLUE, ms=8)
        for x, row in enumerate(part.itertuples()):
            change = "" if np.isnan(row.change) else f"\n({row.change:+.1f})"
            axis.text(x, row.top1 - 0.35, f"{row.top1:.1f}{change}", ha="center", va="top", fontsize=8)
        axis.set_xlim(-0.5, len(part) - 0.5)
        axis.set_ylim(part.top1.min() - 2, part.top1.max() + 1)
        axis.set_title(f"{dataset}, published")
        axis.tick_params(axis="x", labelsize=7)
    axes[0].set_ylabel("top-1 accuracy (%)")
    looks = {"InceptionV1 to ResNet50": ("Inc-tp to R50-tp", "s"), "temporal pooling removed": ("R50-tp to R50", "o")}
    for (dataset, step), line in steps[steps.dataset != "mini-MiT"].groupby(["dataset", "step"]):
        label, mark = looks[step]
        colour = plotting.VERMILION if dataset == "mini-SSV2" else plotting.BLUE
        axes[2].plot(line.num_frames, line.gain, marker=mark, color=colour, label=f"{label}, {dataset}", ms=4)
    axes[2].set_xscale("log", base=2)
    axes[2].set_xticks([8, 16, 32, 64], ["8", "16", "32", "64"])
    axes[2].axhline(0, color="0.7", lw=0.8)
    axes[2].set_xlabel("input frames")
    axes[2].set_ylabel("change of top-1 (points)")
    axes[2].set_title("same steps, 288 models")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def sota(table):
    """Draw Table 2: top-1 against FLOPs on the three datasets; filled: trained by the paper's authors."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.3), width_ratios=[1.5, 1, 1])
    for axis, dataset in zip(axes, ("Kinetics", "SSV2", "MiT"), strict=True):
        part = table.dropna(subset=[dataset, "FLOPs"])
        for row in part.itertuples():
            value, approach = getattr(row, dataset), row.row.split("-")[0]
            theirs = row.origin == "reported by the authors of the model"
            mark = "D" if "ResNet101" in row.row else "^" if approach == "X3D" else "o"
            axis.plot(row.FLOPs, value, mark, color=APPROACH_COLOUR[approach], ms=6, mfc="none" if theirs else None)
            version = row.row.replace(" (retrained)", "").split("-")[-1]
            if approach in ("SlowFast", "X3D"):  # which of several of one colour
                axis.annotate(version, (row.FLOPs, value), (4, 3), textcoords="offset points", fontsize=6)
        axis.set_xscale("log")
        axis.set_xlim(18, 900)
        axis.set_xticks([30, 100, 300], ["30", "100", "300"])
        axis.minorticks_off()
        axis.set_xlabel("GMACs per clip")
        axis.set_title(dataset)
        for row in table[table.FLOPs.isna()].dropna(subset=[dataset]).itertuples():
            axis.axhline(getattr(row, dataset), color="0.6", lw=0.8, ls=":")
            axis.text(18, getattr(row, dataset), row.row, fontsize=6.5, va="bottom")
    axes[0].set_ylabel("top-1 accuracy (%)")
    handles = [
        Line2D([], [], color=colour, marker="o", ls="none", ms=5, label=approach)
        for approach, colour in APPROACH_COLOUR.items()
        if table.row.str.startswith(approach).any()
    ]
    handles += [
        Line2D([], [], color="0.4", marker=m, ls="none", ms=5, mfc=f, label=text)
        for m, f, text in (("o", None, "ResNet50"), ("D", None, "ResNet101"), ("o", "none", "as reported"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, columnspacing=1.2, handletextpad=0.4)
    return figure
