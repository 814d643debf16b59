"""Pictures of the truth notebooks: scores of instruments with intervals, beside what chance gives."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import cbook
from scipy import optimize

from ....explanation import plotting

TITLES = {
    "pointing": "top frame inside",
    "mass": "importance inside",
    "precision": "average precision",
    "iou": "best IoU",
}

FREE = 0.3  # where the axis of costs puts what computes nothing, forward passes
APART = 1.19  # marks on that axis, times the cost: a line of text
FPS = 25  # of GRID
BESIDE = {
    "CLRP of the clip": plotting.BLUE,
    "LRP": plotting.COLOURS[2],
    "Grad-CAM": plotting.VERMILION,
    "mask, freeze": "black",
    "position prior": "0.5",
}


def scores(table, columns, score="precision", by=("truth", "model"), asked="asked", shade=4, wide=4):
    """Draw one panel per entry of `columns`, values of the columns `by`: every instrument's score with its interval.

    table: as `truths.summary` returns it. Chance is a dashed line. Values of `asked` are told apart by markers. The
    last `shade` instruments are controls, on grey. `wide` panels stand beside each other.
    """
    part = table[table.score == score]
    names = list(dict.fromkeys(part.instrument))
    kinds = list(dict.fromkeys(part[asked])) if asked in part else [None]
    wide = min(wide, len(columns))
    deep = -(-len(columns) // wide)
    figure, axes = plt.subplots(
        deep, wide, figsize=(2 + 2.4 * wide, 0.4 + deep * (0.9 + 0.2 * len(names))), sharey=True, squeeze=False
    )
    for axis in axes.flat[len(columns) :]:
        axis.axis("off")
    for axis, column in zip(axes.flat, columns, strict=False):
        column = (column,) if isinstance(column, str) else tuple(column)
        here = part[(part[list(by)] == pd.Series(column, list(by))).all(axis=1)]
        axis.axhspan(len(names) - shade - 0.5, len(names) - 0.5, color="0.93", lw=0)
        for k, kind in enumerate(kinds):
            rows = here if kind is None else here[here[asked] == kind]
            for row in rows.itertuples():
                y = names.index(row.instrument) + 0.16 * (2 * k - len(kinds) + 1)
                look = {"ms": 4, "mfc": plotting.COLOURS[k] if k else "white"}
                plotting.interval_bar(
                    axis, y, row.value, row.low, row.high, plotting.COLOURS[k], horizontal=True,
                    marker=plotting.MARKERS[k], label=kind if row.instrument == names[0] else None, **look,
                )  # fmt: skip
        if len(here):
            axis.axvline(here.chance.mean(), color="black", ls="--", lw=0.8)
        axis.set(xlim=(0, 1.03), xlabel=TITLES.get(score, score), ylim=(len(names) - 0.5, -0.5))
        axis.set_title("\n".join(column), fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=7)
    if len(kinds) > 1:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(kinds))
    return figure


def exact(table, columns):
    """Draw how far every instrument agrees with exact Shapley values and how near it comes to the best order."""
    names = list(dict.fromkeys(table.instrument))
    figure, axes = plt.subplots(
        2, len(columns), figsize=(2.4 + 2.3 * len(columns), 1.4 + 0.46 * len(names)), sharey=True, squeeze=False
    )
    for top, low, model in zip(*axes, columns, strict=True):
        for k, (absent, part) in enumerate(table[table.model == model].groupby("absent")):
            for row in part.itertuples():
                y = names.index(row.instrument) + 0.16 * (2 * k - 1)
                plotting.interval_bar(
                    top, y, row.rho, row.rho_low, row.rho_high, plotting.COLOURS[k], horizontal=True, ms=4,
                    marker=plotting.MARKERS[k], label=f"absent: {absent}" if row.instrument == names[0] else None,
                )  # fmt: skip
                if absent == "freeze":
                    ends = row.margin, row.margin_low, row.margin_high
                    plotting.interval_bar(low, names.index(row.instrument), *ends, horizontal=True, ms=4)
        for axis, label in ((top, "rank correlation with exact values"), (low, "share of the best margin (freeze)")):
            axis.axvline(0, color="black", lw=0.8)
            axis.set(xlim=(-1.03, 1.03), xlabel=label, ylim=(len(names) - 0.5, -0.5))
            axis.set_yticks(range(len(names)), names, fontsize=7)
        top.set_title(model.replace("/", "\n"), fontsize=7)
    axes[0, 0].legend(fontsize=6, loc="lower left")
    return figure


def cost(table, pooled, columns):
    """Draw truth against cost, a panel per {truth of `pooled`: its title}: gain over chance and forward passes.

    table, pooled: as `advice.together` and `advice.pooled` return them; bars are the 95 % intervals of `pooled`. The
    line joins the instruments that no cheaper one equals. Marks of about the same cost are set apart, so that each has
    its name above. What computes nothing, the controls, stands in front of one forward pass, in grey.
    """
    figure, axes = plt.subplots(1, len(columns), figsize=(1 + 4.8 * len(columns), 5.6), sharey=True, squeeze=False)
    shown = pooled[pooled.truth.isin(columns)].merge(table[["instrument", "cost"]])
    for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
        part = shown[shown.truth == column].sort_values(["cost", "value"], ascending=[True, False], kind="stable")
        free = part.cost < FREE
        part = part.assign(at=_apart(part.cost.where(~free, FREE)))
        top, right = min(1.05, shown.high.max() + 0.05), 1.4 * part["at"].max()
        axis.axvspan(FREE / 2, 2 * FREE, color="0.93", lw=0)
        axis.axhline(0, color="black", ls="--", lw=0.8)
        axis.vlines(part["at"], part.high, top, color="0.8", lw=0.5, zorder=0)  # up to the names
        best = part[part.value > part.value.cummax().shift(fill_value=-np.inf)]
        axis.plot(*cbook.pts_to_poststep(best["at"], best.value), color=plotting.VERMILION, lw=1, alpha=0.6, zorder=1)
        for row, colour in zip(part.itertuples(), np.where(free, "0.5", plotting.BLUE), strict=True):
            plotting.interval_bar(axis, row.at, row.value, row.low, row.high, colour, ms=4)
        axis.set(xscale="log", xlabel="cost, forward passes of the clip", xlim=(FREE / 2, right), title=title)
        axis.set_ylim(min(-0.25, shown.low.min() - 0.05), top)
        ticks = [FREE, 1, 2, 10, 100]
        axis.set_xticks(ticks, ["none", *map(str, ticks[1:])])
        axis.minorticks_off()
        names = axis.secondary_xaxis("top")
        names.set_xticks(part["at"], part.instrument, rotation=90, fontsize=7)
        names.tick_params(which="both", length=0)
        names.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("average precision: chance 0, perfect 1")
    return figure


def _apart(costs):
    """Return sorted costs moved as little as it takes for each to be `APART` times the one before."""
    least, steps = np.log(costs.to_numpy()), np.log(APART) * np.arange(len(costs))
    return np.exp(optimize.isotonic_regression(least - steps).x + steps)


def moving(found, table=None, face=False):
    """Draw one clip, a row per question: relevance, Grad-CAM and mask over time, and when the word is spoken.

    found: as `spoken.moving` returns it; table: as `truths.summary` returns it for one network, for scores over all
    clips beside the rows. face: the clip's frames above; that picture shows a recording and is not to be committed.
    """
    count, frames = len(found["answers"]), found["frames"].shape[0]
    seconds = frames / FPS
    shape = {"width_ratios": [3.4, 1]} if table is not None else {}
    figure, axes = plt.subplots(
        count + face, 1 + (table is not None), figsize=(10, 0.9 + 1.15 * (count + face)), squeeze=False, sharex="col",
        gridspec_kw=shape,
    )  # fmt: skip
    if face:
        shown = np.arange(frames // 20, frames, frames // 10)  # ten, each above the frames around it
        strip = np.concatenate([found["frames"][k] for k in shown], 1)
        axes[0, 0].imshow(strip, extent=(0, seconds, 0, 1), aspect="auto")
        axes[0, 0].set(yticks=[])
        for axis in axes[0, 1:]:
            axis.axis("off")
    for row, (one, *beside) in enumerate(axes[int(face) :]):
        _asked(one, found, row)
        for axis in beside:
            _found(axis, table[table.question == found["questions"][row]])
    axes[-1, 0].set(xlabel="time in the clip, seconds", xlim=(0, seconds))
    axes[0, 0].set_title("one clip, asked for the right answers", fontsize=9)
    marks = dict(zip(*axes[-1, 0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(marks.values(), marks, loc="outside upper center", ncols=len(marks), fontsize=8)
    if table is not None:
        axes[int(face), 1].set_title("clips answered rightly; dashed: chance", fontsize=9)
        axes[-1, 1].set(xlim=(0, 1.03), xlabel="average precision of its frames; right: mean, clips")
    return figure


def networks(table):
    """Draw a panel per question: how well every network's relevance ranks the word's frames first, with intervals.

    table: as `spoken.ranked` returns it. A cross is the position prior on the same clips, the dashed line chance.
    """
    names, questions = list(dict.fromkeys(table.model)), list(dict.fromkeys(table.question))
    figure, axes = plt.subplots(
        1, len(questions), figsize=(2 + 1.7 * len(questions), 1.4 + 0.35 * len(names)), sharey=True, squeeze=False
    )
    for axis, question in zip(axes[0], questions, strict=True):
        part = table[table.question == question]
        for row in part.itertuples():
            y, first = names.index(row.model), row.Index == table.index[0]
            look = {"horizontal": True, "ms": 4, "label": "relevance" if first else None}
            plotting.interval_bar(axis, y, row.precision, row.low, row.high, plotting.BLUE, **look)
            axis.plot(row.prior, y, "x", color="0.5", label="position prior" if first else None)
            axis.text(1.04, y, f"{row.right:.0%}", fontsize=7, va="center", transform=axis.get_yaxis_transform())
        axis.axvline(part.chance.mean(), color="black", ls="--", lw=0.8)
        axis.set(xlim=(0, 1.03), title=question, ylim=(len(names) - 0.5, -0.5))
        axis.set_yticks(range(len(names)), [name.split("/")[1] for name in names], fontsize=8)
    figure.supxlabel("average precision of the word's frames; right of a panel: clips answered rightly", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _asked(axis, found, row):
    """Draw one question of `moving`: bars are grey where the network answers wrongly."""
    profile, word = found["profiles"][row], np.flatnonzero(found["words"][row])
    middle = (np.arange(len(profile)) + 0.5) / FPS
    top = profile.max()
    axis.axvspan(
        word[0] / FPS, (word[-1] + 1) / FPS, color=plotting.YELLOW, alpha=0.6, lw=0, label="the word is spoken"
    )
    colour = plotting.BLUE if found["right"][row] else "0.6"
    axis.bar(middle, profile, width=0.9 / FPS, color=colour, label="relevance (CLRP)")
    axis.plot(middle, top * found["cams"][row], color=plotting.VERMILION, lw=1.5, label="Grad-CAM")
    frozen = middle[np.asarray(found["masks"][row]) > 0]
    axis.plot(frozen, np.full(len(frozen), 1.12 * top), "s", color="black", ms=3, label="learned mask")
    axis.text((word[0] + word[-1] + 1) / 2 / FPS, 1.45 * top, f"“{found['answers'][row]}”", ha="center", va="center")
    axis.set(yticks=[], ylim=(0, 1.7 * top))
    axis.set_ylabel(f"Which\n{found['questions'][row]}?", rotation=0, ha="right", va="center")


def _found(axis, table):
    """Draw the average precision of the instruments that `moving` shows, and of the position prior, over all clips."""
    part = table[(table.score == "precision") & table.instrument.isin(BESIDE)].set_index("instrument")
    names = [name for name in BESIDE if name in part.index]
    for y, (name, colour) in enumerate(zip(names, BESIDE.values(), strict=False)):
        row = part.loc[name]
        plotting.interval_bar(axis, y, row.value, row.low, row.high, colour, horizontal=True, ms=4)
        words = f"{row.value:.2f}  {row.clips}"
        axis.text(1.05, y, words, fontsize=7, va="center", transform=axis.get_yaxis_transform())
    axis.axvline(part.chance.mean(), color="black", ls="--", lw=0.8)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
