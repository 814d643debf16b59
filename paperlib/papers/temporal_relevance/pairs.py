"""Figures 3 and 5 (a): I3D against TAM2D, and what more input frames change."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from ..stand_ins import STANDS_FOR
from . import dataset_for, look_of, pooled, split

PRINTED = "temporal_relevance_table01"


def both_modules(explained):
    """Return [(I3D network, TAM2D network)] of the same data set, backbone and number of frames."""
    names = pooled.networks(explained)
    found = [(name, name.replace("/I3D", "/TAM2D")) for name in names if split(name)[1].startswith("I3D")]
    return [(i3d, tam) for i3d, tam in found if tam in names]


def gaps(explained, printed):
    """Return avg-ATR(I3D) - avg-ATR(TAM2D) per data set and number of frames, with intervals and the printed gap."""
    rows, values = [], pooled.tables(explained, pooled.avg)
    for pair in both_modules(explained):
        dataset, model = split(pair[0])
        value, low, high = pooled.pool(
            {name: values[name] for name in pair}, lambda mean, p=pair: mean(p[0]) - mean(p[1])
        )
        theirs = [_printed(printed, split(name)[1], dataset) for name in pair]
        i3d, tam2d = (float(np.nanmean(values[name])) for name in pair)
        row = {"dataset": dataset, "frames": pooled.networks(explained)[pair[0]][0].matrix.shape[2]}
        row |= {"i3d": i3d, "tam2d": tam2d, "difference": value, "low": low, "high": high}
        rows.append({**row, "paper": theirs[0] - theirs[1]})
    return pd.DataFrame(rows).sort_values(["dataset", "frames"], ignore_index=True)


def _printed(printed, model, dataset):
    """Return the avg-ATR that a table prints for a model on the data set that ours stands for, else NaN."""
    theirs = STANDS_FOR.get(dataset, dataset)
    found = printed[(printed.row == model) & (printed.column == "avg-ATR") & (printed.dataset == theirs)].value
    return float(found.iloc[0]) if len(found) else float("nan")


def draw_gaps(ours):
    """Draw Figure 3: the difference per number of frames, one group of bars per data set."""
    figure, axis = plt.subplots(figsize=(4.8, 3.2))
    ticks, labels = [], []
    for k, (dataset, part) in enumerate(ours.groupby("dataset", sort=False)):
        for j, row in enumerate(part.itertuples()):
            x = k * (len(part) + 1) + j
            look = {"capsize": 3, "alpha": 0.75, "label": dataset if j == 0 else None}
            values = row.difference, row.low, row.high
            plotting.bar_with_interval(axis, x, *values, 0.7, look_of(dataset)[0], **look)
            if np.isfinite(row.paper):
                plotting.published_mark(axis, x + 0.2, row.paper, label="" if ticks else "paper (Table 1)")
            ticks.append(x)
            labels.append(row.frames)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(ticks, labels)
    axis.set(xlabel="number of input frames", ylabel="avg-ATR, I3D minus TAM2D, frames")
    handles, names = axis.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda k: names[k].startswith("paper"))  # the paper's mark last
    legend = [handles[k] for k in order], [names[k] for k in order]
    figure.legend(*legend, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def lengths(explained, printed):
    """Return avg-ATR in frames and as a share of the clip, per model family, data set and number of frames."""
    rows, found = [], pooled.networks(explained)
    for network, values in pooled.tables(explained, pooled.avg).items():
        dataset, model = split(network)
        frames = found[network][0].matrix.shape[2]
        value, low, high = pooled.pool({network: values})
        row = {"model": model.rpartition("-f")[0], "dataset": dataset, "frames": frames, "runs": len(values)}
        row |= {"clips": int(np.isfinite(values[0]).sum()), "avg_atr": value, "low": low, "high": high}
        row |= {"share_of_clip": value / frames, "share_low": low / frames, "share_high": high / frames}
        rows.append({**row, "paper": _printed(printed, model, dataset)})
    return pd.DataFrame(rows).sort_values(["dataset", "model", "frames"], ignore_index=True)


def draw_lengths(ours, model="I3D-R50"):
    """Draw Figure 5 (a): a clip of the static data set as a bar with the avg-ATR highlighted; beside it all models."""
    dataset = dataset_for("Kinetics", list(ours.dataset))
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.3), width_ratios=[1.35, 1])
    part = ours[(ours.model == model) & (ours.dataset == dataset)].sort_values("frames", ascending=False)
    for y, row in enumerate(part.itertuples()):
        edges = np.arange(row.frames) / row.frames
        share = row.avg_atr / row.frames
        left.barh([y] * row.frames, 1 / row.frames, left=edges, height=0.5, color="0.9", ec="white", lw=0.8)
        left.barh(y, share, left=0.5 - share / 2, height=0.5, color=plotting.BLUE, alpha=0.75)
        for end in (-1, 1) if np.isfinite(row.paper) else ():
            x = 0.5 + end * row.paper / row.frames / 2
            left.plot([x, x], [y - 0.29, y + 0.29], color="black", lw=1.2)
        text = f"{row.frames} frames, avg-ATR {row.avg_atr:.1f} [{row.low:.1f}, {row.high:.1f}]"
        left.text(0.0, y + 0.34, text, fontsize=8)
    xlabel = "part of the clip; black ticks: the paper's range"
    left.set(yticks=[], xlabel=xlabel, title=f"{model} on {dataset}", ylim=(-0.5, len(part) - 0.2))
    left.spines["left"].set_visible(False)
    for k, ((dataset_, model_), rows) in enumerate(ours.groupby(["dataset", "model"], sort=False)):
        arms = [rows.avg_atr - rows.low, rows.high - rows.avg_atr]
        colour, mark = look_of(dataset_)
        look = {"color": colour, "ms": 4, "capsize": 2, "lw": 1, "ls": "-" if model_.startswith("I3D") else "--"}
        places = rows.frames * (1 + 0.02 * (k - 1.5))
        right.errorbar(places, rows.avg_atr, yerr=arms, marker=mark, label=f"{model_}, {dataset_}", **look)
    frames = np.array(sorted(set(ours.frames)))
    right.set(xlabel="input frames", ylabel="avg-ATR, frames", ylim=(0, 1.15 * max(ours.high)))
    right.set_xticks(frames)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7.5)
    return figure
