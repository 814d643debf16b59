"""Figures 8, 9 and 15, Table 3: temporal relevance class by class, and beside the temporality that people see."""

import itertools
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from ...explanation import plotting
from ..stand_ins import STANDS_FOR
from . import split
from .class_statistics import agreement, components, hits, larger_than_static, over_classes, with_both_kinds

WIDTH = 0.5  # frames between which the paper finds most classes: avg-ATR 7.7 to 8.2 (section 4.4)
WIDTH_MAX = 1.0  # likewise: max-ATR, by no more than that (section 4.4) or from 9.0 to 10.0 (appendix C)
CLASSES = {"SSV2": 174, "Kinetics": 400}
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


def standard_errors(found, ours):
    """Return the standard error of every class mean of `per_class`, from the spread of clips that all classes share."""
    return np.sqrt(components(found.avg, found.labels)[1] / ours.clips)


def draw(found, title, band=None):
    """Draw Figure 8: (a) classes sorted by avg-ATR with standard errors, (b) histogram of the classes' max-ATR.

    band: (low, high) of what the paper prints for most classes, or None.
    """
    ours = per_class(found)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 1.2 + 0.16 * len(ours)), width_ratios=[1.5, 1])
    y = np.arange(len(ours))[::-1]
    look = {"fmt": "o", "color": plotting.BLUE, "ecolor": plotting.SKY, "ms": 3, "lw": 1}
    left.errorbar(ours.avg_atr, y, xerr=standard_errors(found, ours), **look)
    for panel, axis, column, width in (("a", left, "avg_atr", WIDTH), ("b", right, "max_atr", WIDTH_MAX)):
        middle = ours[column].median()
        label = f"({panel}) within {width / 2} frames of the median class"
        look = {"color": plotting.ORANGE, "alpha": 0.3, "lw": 0, "zorder": 0 if axis is left else 3}
        axis.axvspan(middle - width / 2, middle + width / 2, label=label, **look)
    left.set_yticks(y, [textwrap.shorten(name, 64, placeholder=" ...") for name in ours["class"]], fontsize=6)
    seen = f"{len(ours)} of {len(found.classes)} classes, {ours.clips.min()} to {ours.clips.max()} clips each"
    left.set(xlabel="avg-ATR, frames", title=f"(a) mean and standard error: {seen}", ylim=(-1, len(ours)))
    low, high = np.floor(ours.max_atr.min()), np.ceil(ours.max_atr.max() + 1e-9)
    right.hist(ours.max_atr, bins=np.arange(low, high + 0.51, 0.5), color=plotting.BLUE, ec="white")
    if band:
        label = f"(b) paper, most classes: {band[0]:g} to {band[1]:g}"
        right.axvspan(*band, ymin=0.97, color="0.5", lw=0, label=label)
        right.margins(y=0.08)  # room for it above the bars
    right.set(xlabel="max-ATR, frames", ylabel="classes", title="(b) histogram over classes")
    figure.suptitle(f"{title}, one run", fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def overlap(explained, printed):
    """Return Table 3: how many of the temporal and static classes are among the top and bottom ones by ATR, in percent.

    With k temporal (static) classes, the machine's are the k classes with the largest (smallest) mean. chance
    is k over the number of classes; p the one-sided hypergeometric probability of so much overlap by chance. Classes of
    one mean at the end count as in `class_statistics.hits`.
    """
    rows = []
    for checkpoint, one in explained.items():
        dataset, model = split(checkpoint)
        ours = per_class(one)
        for metric, column in (("avg-ATR", "avg_atr"), ("max-ATR", "max_atr")):
            for group, flag, sign in (("temporal", True, 1), ("static", False, -1)):
                k = int((ours.temporal == flag).sum())
                if k in (0, len(ours)):
                    continue
                found = hits(sign * ours[column].to_numpy(), (ours.temporal == flag).to_numpy())
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
                        "overlap": 100 * found / k,
                        "chance": 100 * k / len(ours),
                        "p": float(stats.hypergeom.sf(np.ceil(found) - 1, len(ours), k, k)),
                        "paper": theirs.iloc[0] if len(theirs) else float("nan"),
                    }
                )
    return pd.DataFrame(rows)


def draw_overlap(explained, printed):
    """Draw Table 3's overlap corrected for chance (1 all, 0 as by chance): ours with intervals, the paper's hollow.

    Networks of data sets with enough classes of both kinds are drawn, or of all where there is none.
    """
    ours = with_both_kinds(explained) or explained
    models = sorted({split(network)[1] for network in explained})
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), sharey=True)
    for axis, (metric, short) in zip(axes, (("avg-ATR", "avg"), ("max-ATR", "max")), strict=True):
        for network, found in ours.items():
            dataset, model = split(network)
            values = over_classes({network: found}, agreement, (short,))
            label = f"{dataset}, 95 % interval over classes" if model == models[0] else None
            plotting.interval_bar(axis, models.index(model) - 0.25, *values, "black", label=label)
        places = itertools.product((("SSV2", "s"), ("Kinetics", "o")), COLOURS.items())
        for k, ((dataset, mark), (group, colour)) in enumerate(places):
            there = printed[(printed.dataset == dataset) & (printed.group == group)]
            chance = 100 * float(there[there.column == "count"].value.iloc[0]) / CLASSES[dataset]
            for row in there[(there.column == metric) & there.row.isin(models)].itertuples():
                x = models.index(row.row) + 0.12 * k
                label = f"paper, {dataset}, {group} classes" if row.row == models[0] else None
                look = {"mfc": "none", "color": colour, "ls": "none", "label": label}
                axis.plot(x, (row.value - chance) / (100 - chance), mark, **look)
        axis.axhline(0, color="0.4", lw=0.8, ls=":", label="chance")
        axis.set_xticks(range(len(models)), models, fontsize=8)
        axis.set(title=metric, xlim=(-0.5, len(models) - 0.4))
    axes[0].set_ylabel("overlap of human and machine,\ncorrected for chance")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def draw_sorted(explained):
    """Draw Figure 9: classes sorted by avg-ATR, coloured by whether people call them temporal or static.

    Bars are standard errors of the class means, from the spread of clips that all classes share.
    """
    figure, axes = plt.subplots(1, len(explained), figsize=(3.9 * len(explained), 3.3), sharey=True, squeeze=False)
    decided = with_both_kinds(explained)
    for axis, (checkpoint, found) in zip(axes[0], explained.items(), strict=True):
        ours = per_class(found)
        error = standard_errors(found, ours)
        for name, colour in COLOURS.items():
            mine = ours[ours.temporal == (name == "temporal")]
            look = {"fmt": "o" if name == "temporal" else "s", "color": colour, "ms": 4, "lw": 0.8}
            axis.errorbar(mine.index + 1, mine.avg_atr, error[mine.index], label=f"{name}: {len(mine)}", **look)
        if checkpoint in decided:
            among = over_classes({checkpoint: found}, larger_than_static)
            text = f"P(temporal > static) = {among.value:.2f} [{among.low:.2f}, {among.high:.2f}]"
        else:
            text = "too few classes of one kind to decide"
        axis.set(title=f"{checkpoint}, one run\n{text}", xlabel="class, sorted")
        axis.legend(loc="upper right", fontsize=7, title="classes", title_fontsize=7)
    axes[0, 0].set_ylabel("avg-ATR, frames: mean and standard error")
    return figure
