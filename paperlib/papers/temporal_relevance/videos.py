"""Figure 16: single videos, their heatmaps, frames and frame logits."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...errors import InputError
from ...explanation import plotting
from .. import analysis
from ..statistics import bootstrap_difference
from . import dataset_for, ledger, opened, split, windows


def frames_of(run, checkpoint, index):
    """Return the frames uint8 [N, H, W, 3] that a checkpoint sees of validation video `index`."""
    model, header, videos = opened(run, checkpoint)
    return videos.frames(int(index), analysis.indices(videos.num_frames(int(index)), header))


def choose(run, explained):
    """Return [(checkpoint, position among the explained clips)]: the first clip of every class of the
    settings."""
    chosen = []
    for checkpoint, found in explained.items():
        for name in run.settings["classes"][split(checkpoint)[0]]:
            if name not in found.classes:
                raise InputError(f"{split(checkpoint)[0]} has no class {name!r}; it has {', '.join(found.classes)}")
            at = np.flatnonzero(found.labels == found.classes.index(name))
            if len(at):
                chosen.append((checkpoint, int(at[0])))
    return chosen


def draw(run, explained, chosen):
    """Draw a heatmap per video with its ranges, its frames below and the frame logits as a colour bar below
    those."""
    rows = list(explained)
    per_row = [[position for checkpoint, position in chosen if checkpoint == row] for row in rows]
    columns = max(map(len, per_row))
    figure = plt.figure(figsize=(1.85 * columns, 3.0 * len(rows)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(rows), 1, hspace=0.03))
    for part, checkpoint, positions in zip(parts, rows, per_row, strict=True):
        axes = part.subplots(3, columns, height_ratios=[1, 0.25, 0.07], squeeze=False)
        found = explained[checkpoint]
        for column, position in enumerate(positions):
            _one(
                axes[:, column],
                found,
                position,
                frames_of(run, checkpoint, found.videos[position]),
                run.settings["sigma"],
                column == 0,
            )
        for empty in axes[:, len(positions) :].flat:
            empty.axis("off")
        part.suptitle(checkpoint, fontsize=9)
    return figure


def _one(axes, found, position, frames, sigma, first, shown=4):
    matrix, logits = found.matrix[position], found.frame_logits[position]
    plotting.heatmap(axes[0], matrix, labels=False)
    name = found.classes[found.labels[position]]
    axes[0].set_title("\n".join(_wrapped(name)) + f"\navg-ATR {found.avg[position]:.1f}", fontsize=6.5)
    axes[0].set_xticks([])
    for i, (left, right) in enumerate(windows.segments(matrix[None], sigma)[0]):
        if left >= 0:
            axes[0].add_patch(plt.Rectangle((left - 0.5, i - 0.5), right - left + 1, 1, fill=False, ec="white", lw=0.5))
    axes[0].set_ylabel("frame logit i" if first else "", fontsize=8)
    some = np.linspace(0, len(frames) - 1, shown).round().astype(int)
    axes[1].imshow(np.concatenate(frames[some], 1), aspect="auto")
    axes[2].imshow(logits[None], cmap="magma", aspect="auto", vmin=min(0, logits.min()), vmax=logits.max())
    axes[2].set_xlabel("input frame j; bar: frame logit" if first else "", fontsize=7)
    for axis, height in zip(axes, (1, 1 / shown, 0.07), strict=True):
        axis.set_box_aspect(height)  # one width for all three
    for axis in axes[1:]:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)


def _wrapped(name, width=24, lines=3):
    """Return a class name broken into exactly as many lines, the empty ones on top."""
    import textwrap

    broken = textwrap.wrap(name, width, max_lines=lines, placeholder=" ...")
    return [""] * (lines - len(broken)) + broken


def table(explained, chosen):
    """Return one row per drawn video: class, video, score, avg-ATR, max-ATR, lowest and highest frame
    logit."""
    rows = []
    for checkpoint, at in chosen:
        found = explained[checkpoint]
        rows.append(
            {
                "model": checkpoint,
                "class": found.classes[found.labels[at]],
                "video": found.videos[at],
                "score": found.scores[at],
                "avg_atr": found.avg[at],
                "max_atr": found.max[at],
                "lowest_logit": found.frame_logits[at].min(),
                "highest_logit": found.frame_logits[at].max(),
                "few_frames_share": few_frames(found)[at],
            }
        )
    return pd.DataFrame(rows)


def few_frames(found, part=4):
    """Return per clip the share of its relevance that the best quarter of the input frames holds [n]; 0.25 by
    chance."""
    per_frame = np.sort(found.matrix.sum(1), 1)[:, ::-1]
    count = max(1, per_frame.shape[1] // part)
    return per_frame[:, :count].sum(1) / per_frame.sum(1)


def logit_spread(found):
    """Return per clip how unequal its frame logits are: their standard deviation over their mean size [n]."""
    return found.frame_logits.std(1) / np.abs(found.frame_logits).mean(1)


def claim(run, explained):
    """Decide whether the temporal data set needs more frames than the static one (appendix D)."""
    by_dataset = {split(checkpoint)[0]: found for checkpoint, found in explained.items()}
    names = [dataset_for(role, by_dataset) for role in ("SSV2", "Kinetics")]
    (temporal, static), both = [by_dataset[name] for name in names], " vs ".join(names)
    ours = bootstrap_difference(few_frames(temporal), few_frames(static))
    run.claim(
        "Figure 16",
        "actions of the temporal data set need more frames: a few frames hold less of the relevance",
        "share of relevance in the best quarter of the frames, temporal minus static data set",
        "read off the picture",
        ours,
        ours.high < 0,
        both,
    )
    ours = bootstrap_difference(logit_spread(temporal), logit_spread(static))
    run.claim(
        "Figure 16",
        "frame logits are more even on the static data set, where any few frames will do",
        "standard deviation over mean size of a clip's frame logits, temporal minus static data set",
        "read off the picture",
        ours,
        ours.low > 0,
        both,
    )
    return ledger(run)
