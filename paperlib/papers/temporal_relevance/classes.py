"""Figures 8, 9 and 15, Table 3: temporal relevance class by class, and beside the temporality that people see."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from ...explanation import plotting
from . import STANDS_FOR, split
from .class_statistics import components, larger_than_static

WIDTH = 0.5  # frames between which the paper finds most classes: avg-ATR 7.7 to 8.2 (section 4.4)
COLOURS = {"temporal": plotting.VERMILION, "static": plotting.BLUE}


def flagged(run, explained, both=False):
    """Return those explained whose classes are marked temporal or static; stops the notebook where none is.

    both: only those with explained clips of temporal and of static classes.
    """

    def kinds(found):
        return set() if found.temporal is None else set(found.temporal[found.labels].tolist())

    marked = {name: found for name, found in explained.items() if len(kinds(found)) > int(both)}
    if not marked:
        run.skip(f"no explained clips of classes that are marked temporal {'and' if both else 'or'} static")
    return marked


def per_class(found):
    """Return one row per class with explained clips: mean, standard deviation and number of clips; sorted by mean.

    Columns class, temporal (None where the data set has no flags), clips, avg_atr, avg_atr_sd, max_atr,
    max_atr_sd.
    """
    rows = []
    for label in np.unique(found.labels):
        mine = found.labels == label
        rows.append(
            {
                "class": found.classes[label],
                "temporal": None if found.temporal is None else bool(found.temporal[label]),
                "clips": mine.sum(),
                "avg_atr": found.avg[mine].mean(),
                "avg_atr_sd": found.avg[mine].std(ddof=1) if mine.sum() > 1 else np.nan,
                "max_atr": found.max[mine].mean(),
                "max_atr_sd": found.max[mine].std(ddof=1) if mine.sum() > 1 else np.nan,
            }
        )
    return pd.DataFrame(rows).sort_values("avg_atr", ascending=False, ignore_index=True)


def draw(ours, title, band=None):
    """Draw Figure 8: (a) classes sorted by avg-ATR with their spread, (b) histogram of the classes' max-ATR.

    band: (low, high) of what the paper prints for most classes, or None.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 1.2 + 0.16 * len(ours)), width_ratios=[1.5, 1])
    y = np.arange(len(ours))[::-1]
    look = {"fmt": "o", "color": plotting.BLUE, "ecolor": plotting.SKY, "ms": 3, "lw": 1}
    left.errorbar(ours.avg_atr, y, xerr=ours.avg_atr_sd, **look)
    median = ours.avg_atr.median()
    width = median - WIDTH / 2, median + WIDTH / 2
    label = f"within {WIDTH / 2} frames of the median class"
    left.axvspan(*width, color=plotting.ORANGE, alpha=0.25, lw=0, label=label)
    left.set_yticks(y, [textwrap.shorten(name, 64, placeholder=" ...") for name in ours["class"]], fontsize=6)
    left.set(xlabel="avg-ATR, frames", title="(a) mean ± standard deviation of clips", ylim=(-1, len(ours)))
    low, high = np.floor(ours.max_atr.min()), np.ceil(ours.max_atr.max() + 1e-9)
    right.hist(ours.max_atr, bins=np.arange(low, high + 0.51, 0.5), color=plotting.BLUE, ec="white")
    if band:
        right.axvspan(*band, color="0.5", alpha=0.2, lw=0, label=f"paper, most classes: {band[0]:g} to {band[1]:g}")
    right.set(xlabel="max-ATR, frames", ylabel="classes", title="(b) histogram over classes")
    figure.suptitle(title, fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


def overlap(explained, printed):
    """Return Table 3: how many of the temporal and static classes are among the top and bottom ones by ATR, in percent.

    With k temporal (static) classes, the machine's are the k classes with the largest (smallest) mean. chance
    is k over the number of classes; p the one-sided hypergeometric probability of so much overlap by chance.
    """
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        ours = per_class(found)
        for metric, column in (("avg-ATR", "avg_atr"), ("max-ATR", "max_atr")):
            ordered = ours.sort_values(column, ascending=False, kind="stable")
            for group, flag, ends in (("temporal", True, ordered), ("static", False, ordered[::-1])):
                k = int((ours.temporal == flag).sum())
                if k in (0, len(ours)):
                    continue
                hits = int((ends.temporal[:k] == flag).sum())
                theirs = printed[
                    (printed.row == model)
                    & (printed.column == metric)
                    & (printed.group == group)
                    & (printed.dataset == STANDS_FOR.get(dataset, dataset))
                ].value
                rows.append(
                    {
                        "model": model,
                        "dataset": dataset,
                        "metric": metric,
                        "group": group,
                        "classes": k,
                        "overlap": 100 * hits / k,
                        "chance": 100 * k / len(ours),
                        "p": float(stats.hypergeom.sf(hits - 1, len(ours), k, k)),
                        "paper": theirs.iloc[0] if len(theirs) else float("nan"),
                    }
                )
    return pd.DataFrame(rows)


def draw_overlap(ours):
    """Draw Table 3: overlap per group and model with chance as a tick and the paper's value as a diamond."""
    cases = list(dict.fromkeys(zip(ours.dataset, ours.model, strict=True)))
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.3), sharey=True)
    indexed = ours.set_index(["dataset", "model", "metric", "group"]).sort_index()
    for axis, metric in zip(axes, ("avg-ATR", "max-ATR"), strict=True):
        names = []
        for k, case in enumerate(cases):
            counts = []
            for j, (group, colour) in enumerate(COLOURS.items()):
                if (*case, metric, group) not in indexed.index:
                    continue
                row, x, first = indexed.loc[(*case, metric, group)], k + 0.38 * (j - 0.5), k == 0
                axis.bar(x, row.overlap, width=0.34, color=colour, label=f"{group} classes" if first else None)
                label = "chance" if first and j == 0 else None
                axis.hlines(row.chance, x - 0.17, x + 0.17, color="black", lw=1.5, label=label)
                counts.append(f"{int(row.classes)} {group[0].upper()}")
                if np.isfinite(row.paper):
                    plotting.published_mark(axis, x, row.paper, label="paper" if first and j == 0 else None)
            names.append(f"{case[1]}\n{case[0]}\n{', '.join(counts)}")
        axis.set_xticks(range(len(cases)), names, fontsize=6.5)
        axis.set(title=metric, ylim=(0, 105))
    axes[0].set_ylabel("overlap of human and machine, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def draw_sorted(explained):
    """Draw Figure 9: classes sorted by avg-ATR, coloured by whether people call them temporal or static.

    Bars over them are standard errors of the class means, from the spread of clips that all classes share.
    """
    figure, axes = plt.subplots(1, len(explained), figsize=(3.6 * len(explained), 3.1), squeeze=False)
    for axis, (checkpoint, found) in zip(axes[0], explained.items(), strict=True):
        ours = per_class(found)
        error = np.sqrt(components(found.avg, found.labels)[1] / ours.clips)
        for name, colour in COLOURS.items():
            mine = ours[ours.temporal == (name == "temporal")]
            look = {"color": colour, "width": 0.85, "label": f"{name} ({len(mine)})"}
            axis.bar(mine.index + 1, mine.avg_atr, yerr=error[mine.index], error_kw={"lw": 0.8}, **look)
        both = ours.temporal.nunique() == 2
        chance = larger_than_static(ours.avg_atr.to_numpy(), ours.temporal.to_numpy(bool)) if both else None
        text = f"\nP(temporal > static) = {chance:.2f}" if both else ""
        axis.set(title=checkpoint + text, xlabel="class, sorted", ylim=(0, 1.25 * (ours.avg_atr + error).max()))
        axis.legend(loc="upper right", fontsize=7, ncols=2)
    axes[0, 0].set_ylabel("avg-ATR, frames")
    return figure
