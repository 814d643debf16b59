"""Figure 16: single videos, their heatmaps, frames and frame logits."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...errors import InputError
from ...explanation import plotting
from .. import analysis
from . import opened, split, windows
from .heatmaps import over_even_share


def frames_of(run, checkpoint, index):
    """Return the frames uint8 [N, H, W, 3] that a checkpoint sees of validation video `index`."""
    model, header, videos = opened(run, checkpoint)
    return videos.frames(int(index), analysis.indices(videos.num_frames(int(index)), header))


def choose(run, explained):
    """Return [(checkpoint, position among the explained clips)]: the first clip of every class of the settings."""
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
    """Draw a heatmap per video with its ranges, its frames below and the frame logits as a colour bar below those.

    Heatmaps are relevance over that of an even share, logits parts of the clip's largest: one scale each for all.
    """
    rows = [key for key in explained if any(checkpoint == key for checkpoint, _ in chosen)]
    per_row = [[position for checkpoint, position in chosen if checkpoint == row] for row in rows]
    columns = max(map(len, per_row))
    even = {key: over_even_share(found) for key, found in explained.items()}
    top = max(even[checkpoint][position].max() for checkpoint, position in chosen)
    figure = plt.figure(figsize=(1.85 * columns + 0.9, 3.6 * len(rows)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(rows), 1, hspace=0.03))
    for part, checkpoint, positions in zip(parts, rows, per_row, strict=True):
        axes = part.subplots(3, columns, height_ratios=[1, 0.5, 0.07], squeeze=False)
        found = explained[checkpoint]
        for column, position in enumerate(positions):
            frames = frames_of(run, checkpoint, found.videos[position])
            drawn = even[checkpoint][position], top
            images = _one(axes[:, column], found, position, frames, drawn, run.settings["sigma"], column == 0)
        for empty in axes[:, len(positions) :].flat:
            empty.axis("off")
        part.colorbar(images[0], ax=axes[0, :], shrink=0.8, aspect=12).set_label(
            "relevance over\nan even share", size=7
        )
        part.colorbar(images[1], ax=axes[1:, :], shrink=0.9, aspect=6).set_label("logit, part\nof largest", size=7)
        part.suptitle(checkpoint, fontsize=9)
    return figure


def _one(axes, found, position, frames, drawn, sigma, first, shown=(2, 4)):
    """Draw one video and return the two images that have a colour scale."""
    (even, top), logits = drawn, found.frame_logits[position]
    heat = plotting.heatmap(axes[0], even, vmax=top, labels=False, power=0.5)
    name = found.classes[found.labels[position]]
    axes[0].set_title("\n".join(_wrapped(name)) + f"\navg-ATR {found.avg[position]:.1f}", fontsize=6.5)
    for i, (left, right) in enumerate(windows.segments(found.matrix[position][None], sigma)[0]):
        if left >= 0:
            axes[0].add_patch(plt.Rectangle((left - 0.5, i - 0.5), right - left + 1, 1, fill=False, ec="white", lw=0.5))
    axes[0].set_ylabel("frame logit i" if first else "", fontsize=8)
    axes[0].tick_params(labelsize=6.5)
    count = min(len(frames), shown[0] * shown[1])
    some = np.linspace(len(frames) / count - 1, len(frames) - 1, count).round().astype(int)
    picture = plotting.strip(frames[some], shown[1])
    axes[1].imshow(picture, aspect="auto")
    for k, frame in enumerate(some):
        row, column = divmod(k, shown[1])
        place = (column + 0.04) / shown[1], 1 - (row + 0.08) / shown[0]
        look = {"fontsize": 5, "color": "white", "va": "top", "transform": axes[1].transAxes}
        axes[1].text(*place, str(frame + 1), bbox={"fc": "black", "ec": "none", "pad": 0.6, "alpha": 0.6}, **look)
    bar = axes[2].imshow(logits[None] / logits.max(), cmap="magma", aspect="auto", vmin=0, vmax=1)
    axes[0].set_xlabel("input frame j" if first else "", fontsize=7)
    axes[2].set_xlabel("frame logits" if first else "", fontsize=7)
    for axis, height in zip(axes, (1, shown[0] / shown[1], 0.07), strict=True):
        axis.set_box_aspect(height)  # one width for all three
    for axis in axes[1:]:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return heat, bar


def _wrapped(name, width=24, lines=3):
    """Return a class name broken into exactly as many lines, the empty ones on top."""
    import textwrap

    broken = textwrap.wrap(name, width, max_lines=lines, placeholder=" ...")
    return [""] * (lines - len(broken)) + broken


def table(explained, chosen):
    """Return one row per drawn video: class, video, score, avg-ATR, max-ATR, lowest and highest frame logit."""
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
            }
        )
    return pd.DataFrame(rows)
