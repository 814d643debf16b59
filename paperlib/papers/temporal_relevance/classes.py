"""Figures 8, 9 and 15, Table 3: temporal relevance class by class, and beside the temporality that people
see."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from ...errors import InputError
from ...explanation import plotting
from ..statistics import Interval
from . import STANDS_FOR, ledger, split

WIDTH = 0.5  # frames between which the paper finds most classes: avg-ATR 7.7 to 8.2 (section 4.4)


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
    """Return one row per class with explained clips: mean, standard deviation and number of clips; sorted by
    mean.

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


def within(values, labels, statistic, largest=np.inf, seed=0, resamples=2000):
    """Return statistic(class means) with a percentile bootstrap interval over the clips of every class.

    Resampling clips adds their noise to the class means once more, so spreads come out a little too large;
    the interval is moved back by that bias, as the basic bootstrap does, and kept between 0 and `largest`.
    """
    rng = np.random.default_rng(seed)
    groups = [np.asarray(values)[labels == label] for label in np.unique(labels)]
    value = statistic(np.array([group.mean() for group in groups]))
    drawn = np.stack([group[rng.integers(len(group), size=(resamples, len(group)))].mean(1) for group in groups], 1)
    low, high = np.percentile([statistic(means) for means in drawn], [2.5, 97.5])
    low, high = np.clip([2 * value - high, 2 * value - low], 0, largest)
    return Interval(float(value), float(low), float(high))


def share_near_median(means, width=WIDTH):
    """Return the share of classes whose mean lies within width / 2 of the median class."""
    return float((np.abs(means - np.median(means)) <= width / 2).mean())


def variance_between(values, labels):
    """Return the share of the clips' variance that lies between classes (omega squared) and the p of an F
    test.

    Omega squared is eta squared without its bias from few clips per class; 0 where classes do not matter.
    """
    groups = [np.asarray(values)[labels == label] for label in np.unique(labels)]
    groups = [group for group in groups if len(group) > 1]
    if len(groups) < 2:
        raise InputError("no two classes have two explained clips each; raise the setting `clips`")
    test = stats.f_oneway(*groups)
    n, k = sum(map(len, groups)), len(groups)
    return float((test.statistic - 1) * (k - 1) / ((test.statistic - 1) * (k - 1) + n)), float(test.pvalue)


def draw(ours, title, band=None):
    """Draw Figure 8: (a) classes sorted by avg-ATR with their spread, (b) histogram of the classes' max-ATR.

    band: (low, high) of what the paper prints for most classes, or None.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=[2, 1])
    x = np.arange(len(ours))
    left.errorbar(x, ours.avg_atr, yerr=ours.avg_atr_sd, fmt="o", color=plotting.BLUE, ecolor=plotting.SKY, ms=3, lw=1)
    median = ours.avg_atr.median()
    left.axhspan(
        median - WIDTH / 2,
        median + WIDTH / 2,
        color=plotting.ORANGE,
        alpha=0.25,
        lw=0,
        label=f"within {WIDTH / 2} frames of the median class",
    )
    left.set(
        xlabel="class, sorted",
        ylabel="avg-ATR, frames",
        title=f"(a) {title}: mean ± standard deviation of clips",
        ylim=(0, None),
    )
    left.legend(loc="lower left", fontsize=7)
    low, high = np.floor(ours.max_atr.min()), np.ceil(ours.max_atr.max() + 1e-9)
    right.hist(ours.max_atr, bins=np.arange(low, high + 0.51, 0.5), color=plotting.BLUE, ec="white")
    if band:
        right.axvspan(*band, color="0.5", alpha=0.2, lw=0, label=f"paper: {band[0]:g} to {band[1]:g}")
        right.legend(fontsize=7)
    right.set(xlabel="max-ATR, frames", ylabel="classes", title="(b) histogram over classes")
    return figure


def claim(run, found, where, dataset, most=None):
    """Decide whether classes differ; `most`: printed range of most classes' max-ATR (Figure 15)."""
    means = within(found.avg, found.labels, share_near_median, largest=1)
    run.claim(
        where,
        "most classes have nearly the same avg-ATR",
        f"share of classes within {WIDTH / 2} frames of the median class; holds if above one half",
        "most between 7.7 and 8.2" if most is None else "no significant differences",
        means,
        means.value > 0.5,
        dataset,
    )
    between, p = variance_between(found.avg, found.labels)
    run.claim(
        where,
        "avg-ATR does not differ significantly between classes",
        f"share of the clips' variance between classes (omega squared); holds if F test p = {p:.2g} is above 0.05",
        "no significant difference",
        between,
        p > 0.05,
        dataset,
    )
    if most is None:
        widest = within(found.max, found.labels, np.ptp)
        run.claim(
            where,
            "max-ATR differs by no more than one frame between classes",
            "largest minus smallest class mean of max-ATR, frames",
            "1.0",
            widest,
            widest.value <= 1,
            dataset,
        )
    else:
        inside = within(found.max, found.labels, fullest, largest=1)
        run.claim(
            where,
            "most classes have a max-ATR within one frame of each other",
            "share of classes in the fullest range of one frame; holds if above one half",
            f"{most[0]:g} to {most[1]:g}",
            inside,
            inside.value > 0.5,
            dataset,
        )
    return ledger(run)


def fullest(means, width=1.0):
    """Return the largest share of classes that a range of `width` frames holds."""
    ordered = np.sort(means)
    return float(max((np.searchsorted(ordered, low + width + 1e-9) - k) for k, low in enumerate(ordered)) / len(means))


def overlap(explained, printed):
    """Return Table 3: how many of the temporal and static classes are among the top and bottom ones by ATR.

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


def separation(found, metric="avg", seed=0, resamples=2000):
    """Return the probability that a temporal class has a larger mean ATR than a static one, with its
    interval.

    0.5: ATR does not tell them apart; ties count half. Classes are drawn anew within both groups, and their
    clips.
    """
    flags = found.temporal[found.labels]
    values = np.asarray(getattr(found, metric), float)
    rng = np.random.default_rng(seed)
    groups = [
        [values[found.labels == label] for label in np.unique(found.labels[flags == flag])] for flag in (True, False)
    ]

    def probability(temporal, static):
        difference = np.subtract.outer(temporal, static)
        return float((difference > 0).mean() + 0.5 * (difference == 0).mean())

    def draw_means(classes):
        picked = [classes[k] for k in rng.integers(len(classes), size=len(classes))]
        return np.array([clips[rng.integers(len(clips), size=len(clips))].mean() for clips in picked])

    value = probability(*(np.array([clips.mean() for clips in classes]) for classes in groups))
    drawn = [probability(*map(draw_means, groups)) for _ in range(resamples)]
    return Interval(value, *(float(x) for x in np.percentile(drawn, [2.5, 97.5])))


def draw_overlap(ours):
    """Draw Table 3: overlap per group and model with chance as a tick and the paper's value as a diamond."""
    cases = list(dict.fromkeys(zip(ours.dataset, ours.model, strict=True)))
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0), sharey=True)
    for axis, metric in zip(axes, ("avg-ATR", "max-ATR"), strict=True):
        for k, case in enumerate(cases):
            for j, group in enumerate(("temporal", "static")):
                row = ours[
                    (ours.dataset == case[0])
                    & (ours.model == case[1])
                    & (ours.metric == metric)
                    & (ours.group == group)
                ]
                if not len(row):
                    continue
                row, x, first = row.iloc[0], k + 0.38 * (j - 0.5), k == 0
                axis.bar(
                    x,
                    row.overlap,
                    width=0.34,
                    color=plotting.COLOURS[j],
                    label=f"{group} classes" if first else None,
                )
                axis.hlines(
                    row.chance,
                    x - 0.17,
                    x + 0.17,
                    color="black",
                    lw=1.5,
                    label="chance" if first and j == 0 else None,
                )
                axis.text(x, 1, f"k = {row.classes}", ha="center", va="bottom", fontsize=6, color="white")
                if np.isfinite(row.paper):
                    plotting.published_mark(axis, x, row.paper, label="paper" if first and j == 0 else None)
        axis.set_xticks(range(len(cases)), [f"{m}\n{d}" for d, m in cases], fontsize=7)
        axis.set(title=metric, ylim=(0, 105))
    axes[0].set_ylabel("overlap of human and machine, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def claim_overlap(run, ours):
    """Decide whether human and machine temporality agree no better than chance, group by group."""
    for row in ours[ours.metric == "avg-ATR"].itertuples():
        run.claim(
            "Table 3",
            f"{row.model}: human and machine do not agree on the {row.group} classes",
            f"overlap of the {row.classes} {row.group} classes with as many by avg-ATR, %; chance "
            f"{row.chance:.0f} %; "
            f"p of so much by chance {row.p:.2g}, holds if above 0.05",
            "" if np.isnan(row.paper) else f"{row.paper:.1f}",
            row.overlap,
            row.p > 0.05,
            row.dataset,
            digits=1,
        )
    return ledger(run)


def draw_sorted(explained):
    """Draw Figure 9: classes sorted by avg-ATR, coloured by whether people call them temporal or static."""
    figure, axes = plt.subplots(1, len(explained), figsize=(3.6 * len(explained), 2.9), squeeze=False)
    for axis, (checkpoint, found) in zip(axes[0], explained.items(), strict=True):
        ours = per_class(found)
        for flag, name, colour in ((True, "temporal", plotting.VERMILION), (False, "static", plotting.BLUE)):
            mine = ours[ours.temporal == flag]
            axis.bar(mine.index, mine.avg_atr, color=colour, width=0.85, label=f"{name} ({len(mine)})")
        chance = separation(found) if ours.temporal.nunique() == 2 else None
        text = f"\nP(temporal > static) = {chance.value:.2f} [{chance.low:.2f}, {chance.high:.2f}]" if chance else ""
        axis.set(title=checkpoint + text, xlabel="class, sorted", ylim=(0, 1.3 * ours.avg_atr.max()))
        axis.legend(loc="upper right", fontsize=7, ncols=2)
    axes[0, 0].set_ylabel("avg-ATR, frames")
    return figure


def claim_sorted(run, explained):
    """Decide whether temporal actions need longer temporal dependencies (section 4.4, question 2)."""
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        if len(set(found.temporal[np.unique(found.labels)])) < 2:
            run.claim(
                "Figure 9",
                f"{model}: temporal and static classes are scattered over the order by avg-ATR",
                "probability that a temporal class has a larger avg-ATR than a static one",
                "scattered",
                None,
                "not testable here",
                dataset,
            )
            continue
        ours = separation(found)
        run.claim(
            "Figure 9",
            f"{model}: temporal and static classes are scattered over the order by avg-ATR",
            "probability that a temporal class has a larger avg-ATR than a static one; holds if "
            "0.5 is inside the interval",
            "scattered",
            ours,
            ours.low <= 0.5 <= ours.high,
            dataset,
        )
        static = per_class(found).query("temporal == False").avg_atr
        median = per_class(found).avg_atr.median()
        share = float((static > median).mean())
        run.claim(
            "Figure 9",
            f"{model}: many static classes have a large temporal relevance",
            "share of static classes above the median class; holds from one quarter on",
            "many",
            share,
            share >= 0.25,
            dataset,
        )
    return ledger(run)
