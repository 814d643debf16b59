"""Pictures of the truth notebooks: scores of instruments with intervals, beside what chance gives."""

import matplotlib.pyplot as plt
import numpy as np

from ....explanation import plotting

TITLES = {
    "pointing": "top frame inside",
    "mass": "importance inside",
    "precision": "average precision",
    "iou": "best IoU",
}


def scores(table, columns, score="precision", by="model", asked="asked", shade=4):
    """Draw one panel per value of `by` in `columns`: every instrument's score with its interval, chance as a line.

    table: as `truths.summary` returns it. Values of `asked` are told apart by markers. The last `shade` instruments are
    controls, on grey.
    """
    part = table[table.score == score]
    names = list(dict.fromkeys(part.instrument))
    kinds = list(dict.fromkeys(part[asked])) if asked in part else [None]
    figure, axes = plt.subplots(
        1, len(columns), figsize=(2.2 + 2.1 * len(columns), 0.9 + 0.24 * len(names)), sharey=True, squeeze=False
    )
    for axis, column in zip(axes[0], columns, strict=True):
        here = part[part[by] == column]
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
        axis.set_title(str(column).replace("/", "\n"), fontsize=7)
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
        for axis, label in ((top, "rank correlation with exact values"), (low, "share of the best margin")):
            axis.axvline(0, color="black", lw=0.8)
            axis.set(xlim=(-1.03, 1.03), xlabel=label, ylim=(len(names) - 0.5, -0.5))
            axis.set_yticks(range(len(names)), names, fontsize=7)
        top.set_title(model.replace("/", "\n"), fontsize=7)
    axes[0, 0].legend(fontsize=6, loc="lower left")
    return figure


def cost(table, score="precision"):
    """Draw truth against cost: the mean gain over chance of every instrument against its time in forward passes."""
    part = table[table.score == score]
    found = part.groupby("instrument", sort=False).agg(
        value=("value", "mean"), chance=("chance", "mean"), cost=("cost", "mean")
    )
    gain = (found.value - found.chance) / (1 - found.chance)
    figure, axis = plt.subplots(figsize=(6.4, 4.2))
    axis.scatter(found.cost.clip(lower=0.1), gain, s=18, color=plotting.BLUE)
    axis.axhline(0, color="black", ls="--", lw=0.8)
    axis.set(
        xscale="log", xlabel="cost, forward passes of the same clips", ylabel=f"{TITLES[score]}: chance 0, perfect 1"
    )
    axis.set_ylim(min(-0.25, float(np.min(gain)) - 0.05), 1.05)
    taken = []
    for name, x, y in zip(found.index, found.cost.clip(lower=0.1), gain, strict=True):
        taken.append(_named(axis, name, (x, y), taken))
    return figure


def _named(axis, name, at, taken):
    """Write a name beside its mark, where it covers no name of `taken` if there is such a place; returns its box."""
    text = axis.annotate(name, at, xytext=(4, 2), textcoords="offset points", fontsize=7)
    for up in (2, -8, 10, -14, -18, 18):  # points
        text.set_position((4, up))
        if not any(text.get_window_extent().overlaps(other) for other in taken):
            break
    return text.get_window_extent()


def moving(found):
    """Draw one clip: its frames, and below, for every question, the relevance over time with the word's frames shaded.

    found: as `spoken.moving` returns it. The picture shows a recording, so it is not committed.
    """
    count = len(found["answers"])
    frames = found["frames"].shape[0]
    figure, axes = plt.subplots(
        count + 1, 1, figsize=(9, 1.5 + 0.75 * count), sharex=True, height_ratios=[1.5, *[1] * count]
    )
    shown = np.arange(frames // 20, frames, frames // 10)  # ten, each above the frames around it
    strip = np.concatenate([found["frames"][k] for k in shown], 1)
    axes[0].imshow(strip, extent=(0.5, frames + 0.5, 0, 1), aspect="auto")
    axes[0].set(yticks=[])
    profiles(axes[1:], found)
    return figure


def profiles(axes, found):
    """Draw relevance (bars), Grad-CAM (line) and mask (dots where frames are frozen) of every question over time.

    The frames of its word are shaded. Bars are grey where the network answers wrongly.
    """
    names = ("profiles", "cams", "masks", "words", "answers", "right")
    for axis, row, cam, mask, word, answer, right in zip(axes, *(found[name] for name in names), strict=True):
        for k in 1 + np.flatnonzero(word):
            axis.axvspan(k - 0.5, k + 0.5, color=plotting.YELLOW, alpha=0.5, lw=0)
        steps = 1 + np.arange(len(row))
        axis.bar(steps, row, width=0.9, color=plotting.BLUE if right else "0.6")
        axis.plot(steps, row.max() * cam, color=plotting.VERMILION, lw=1.2)
        frozen = steps[np.asarray(mask, dtype=bool)]
        axis.plot(frozen, np.full(len(frozen), 1.12 * row.max()), ".", color="black", ms=3)
        axis.set(yticks=[])
        axis.set_ylabel(answer.replace(": ", "\n"), rotation=0, ha="right", va="center", fontsize=7)
    axes[-1].set_xlabel("frame (40 milliseconds each)")
