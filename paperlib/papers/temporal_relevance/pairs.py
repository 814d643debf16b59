"""Figures 3 and 5 (a): I3D against TAM2D, and what more input frames change."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from ..statistics import Interval, bootstrap_difference, bootstrap_interval
from . import STANDS_FOR, dataset_for, ledger, split

PRINTED = "temporal_relevance_table01"


def gaps(explained, printed):
    """Return avg-ATR(I3D) - avg-ATR(TAM2D) per data set and number of frames, with intervals and the printed
    gap."""
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        other = f"{dataset}/{model.replace('I3D', 'TAM2D')}"
        if not model.startswith("I3D") or other not in explained:
            continue
        value, low, high = bootstrap_difference(found.avg, explained[other].avg)
        theirs = [
            printed[
                (printed.row == name)
                & (printed.column == "avg-ATR")
                & (printed.dataset == STANDS_FOR.get(dataset, dataset))
            ].value.to_numpy()
            for name in (model, model.replace("I3D", "TAM2D"))
        ]
        rows.append(
            {
                "dataset": dataset,
                "frames": found.matrix.shape[2],
                "i3d": found.avg.mean(),
                "tam2d": explained[other].avg.mean(),
                "difference": value,
                "low": low,
                "high": high,
                "paper": float(theirs[0][0] - theirs[1][0]) if all(map(len, theirs)) else float("nan"),
            }
        )
    return pd.DataFrame(rows).sort_values(["dataset", "frames"], ignore_index=True)


def draw_gaps(ours):
    """Draw Figure 3: the difference per number of frames, one group of bars per data set."""
    figure, axis = plt.subplots(figsize=(4.8, 3.0))
    ticks, labels = [], []
    for k, (dataset, part) in enumerate(ours.groupby("dataset", sort=False)):
        for j, row in enumerate(part.itertuples()):
            x = k * (len(part) + 1) + j
            plotting.bar_with_interval(
                axis,
                x,
                row.difference,
                row.low,
                row.high,
                0.7,
                plotting.COLOURS[k],
                capsize=3,
                alpha=0.75,
                label=dataset if j == 0 else None,
            )
            if np.isfinite(row.paper):
                plotting.published_mark(axis, x + 0.2, row.paper, label="paper (Table 1)" if not ticks else None)
            ticks.append(x)
            labels.append(row.frames)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(ticks, labels)
    axis.set(xlabel="number of input frames", ylabel="avg-ATR, I3D minus TAM2D, frames")
    axis.legend(fontsize=7)
    return figure


def claim_gaps(run, explained, ours, backbone="R50"):
    """Decide what section 4.2 says on Figure 3 beyond Table 1: 32 frames, and where the gap is larger."""
    for row in ours[ours.frames > 16].itertuples():
        run.claim(
            "Figure 3",
            f"I3D-{backbone}-f{row.frames} has a larger temporal relevance than "
            f"TAM2D-{backbone}-f{row.frames} on {row.dataset}",
            "avg-ATR of I3D minus TAM2D, frames",
            "above 0 in the picture",
            (row.difference, row.low, row.high),
            row.low > 0,
            row.dataset,
        )
    both = [dataset_for(role, list(ours.dataset)) for role in ("Kinetics", "SSV2")]
    for frames in sorted(set(ours.frames)):
        keys = [f"{dataset}/{kind}-{backbone}-f{frames}" for dataset in both for kind in ("I3D", "TAM2D")]
        if not all(key in explained for key in keys):
            continue
        found = double_difference(*[explained[key].avg for key in keys])
        theirs = [ours[(ours.frames == frames) & (ours.dataset == dataset)].paper.iloc[0] for dataset in both]
        gap = theirs[0] - theirs[1]
        run.claim(
            "Figure 3",
            f"with {frames} frames the gap between I3D and TAM2D is larger on the static data set",
            "gap on the static data set minus gap on the temporal one, frames",
            f"{gap:.1f}" if np.isfinite(gap) else "above 0 in the picture",
            found,
            found.low > 0,
            " vs ".join(both),
        )
    return ledger(run)


def double_difference(a, b, c, d, seed=0, resamples=9999):
    """Return (mean a - mean b) - (mean c - mean d) with its percentile bootstrap interval; clips drawn per
    sample."""
    rng = np.random.default_rng(seed)
    means = [np.asarray(x)[rng.integers(len(x), size=(resamples, len(x)))].mean(1) for x in (a, b, c, d)]
    low, high = np.percentile(means[0] - means[1] - means[2] + means[3], [2.5, 97.5])
    return Interval(float(np.mean(a) - np.mean(b) - np.mean(c) + np.mean(d)), float(low), float(high))


def lengths(explained, printed):
    """Return avg-ATR in frames and as a share of the clip, per model family, data set and number of
    frames."""
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        family, _, _ = model.rpartition("-f")
        frames = found.matrix.shape[2]
        value, low, high = bootstrap_interval(found.avg)
        theirs = printed[(printed.row == model) & (printed.dataset == STANDS_FOR.get(dataset, dataset))].value
        rows.append(
            {
                "model": family,
                "dataset": dataset,
                "frames": frames,
                "clips": len(found.avg),
                "avg_atr": value,
                "low": low,
                "high": high,
                "share_of_clip": value / frames,
                "share_low": low / frames,
                "share_high": high / frames,
                "paper": theirs.iloc[0] if len(theirs) else float("nan"),
            }
        )
    return pd.DataFrame(rows).sort_values(["dataset", "model", "frames"], ignore_index=True)


def draw_lengths(ours, model="I3D-R50"):
    """Draw Figure 5 (a): a clip of the static data set as a bar with the avg-ATR highlighted; beside it all
    models."""
    dataset = dataset_for("Kinetics", list(ours.dataset))
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=[1.35, 1])
    part = ours[(ours.model == model) & (ours.dataset == dataset)].sort_values("frames", ascending=False)
    for y, row in enumerate(part.itertuples()):
        edges = np.arange(row.frames) / row.frames
        share = row.avg_atr / row.frames
        left.barh([y] * row.frames, 1 / row.frames, left=edges, height=0.5, color="0.9", ec="white", lw=0.8)
        left.barh(y, share, left=0.5 - share / 2, height=0.5, color=plotting.BLUE, alpha=0.75)
        if np.isfinite(row.paper):
            for end in (-1, 1):
                x = 0.5 + end * row.paper / row.frames / 2
                left.plot(
                    [x, x],
                    [y - 0.29, y + 0.29],
                    color="black",
                    lw=1.2,
                    label="paper" if y == 0 and end > 0 else None,
                )
        left.text(
            0.0,
            y + 0.34,
            f"{row.frames} frames, avg-ATR {row.avg_atr:.1f} [{row.low:.1f}, {row.high:.1f}]",
            fontsize=8,
        )
    left.set(yticks=[], xlabel="part of the clip", title=f"{model} on {dataset}", ylim=(-0.5, len(part) - 0.2))
    left.spines["left"].set_visible(False)
    left.legend(loc="lower right", fontsize=7)
    for k, ((dataset_, model_), rows) in enumerate(ours.groupby(["dataset", "model"], sort=False)):
        right.errorbar(
            rows.frames * (1 + 0.02 * (k - 1.5)),
            rows.avg_atr,
            yerr=[rows.avg_atr - rows.low, rows.high - rows.avg_atr],
            fmt=f"{plotting.MARKERS[k]}-",
            color=plotting.COLOURS[k],
            ms=4,
            capsize=2,
            lw=1,
            label=f"{model_}, {dataset_}",
        )
    frames = np.array(sorted(set(ours.frames)))
    right.plot(frames, frames, ":", color="0.4", lw=1, label="whole clip")
    right.set(xlabel="input frames", ylabel="avg-ATR, frames", ylim=(0, 1.25 * max(ours.high)))
    right.set_xticks(frames)
    right.legend(fontsize=6.5)
    return figure


def claim_lengths(run, explained):
    """Decide what section 4.2 says on Figure 5 (a), for every model family."""
    families = {}
    for checkpoint, found in explained.items():
        families.setdefault(checkpoint.rpartition("-f")[0], {})[found.matrix.shape[2]] = found.avg
    for family, by_frames in families.items():
        dataset, model = split(family)
        few, many = min(by_frames), max(by_frames)
        if few == many:
            continue
        grown = bootstrap_difference(by_frames[many], by_frames[few])
        printed = {8: 7.0, 16: 8.0, 32: 8.9} if model == "I3D-R50" and STANDS_FOR.get(dataset) == "Kinetics" else {}
        theirs = f"{printed[many] - printed[few]:.1f}" if printed else ""
        run.claim(
            "Figure 5 (a)",
            f"{model}: avg-ATR grows with the number of input frames",
            f"avg-ATR with {many} frames minus with {few}",
            theirs,
            grown,
            grown.low > 0,
            dataset,
        )
        share = bootstrap_difference(by_frames[many] / many, by_frames[few] / few)
        run.claim(
            "Figure 5 (a)",
            f"{model}: relative to the clip, temporal relevance gets shorter with more frames",
            f"avg-ATR over clip length with {many} frames minus with {few}",
            f"{printed[many] / many - printed[few] / few:.2f}" if printed else "",
            share,
            share.high < 0,
            dataset,
        )
    return ledger(run)
