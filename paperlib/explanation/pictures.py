"""Pictures of one analysed clip."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .. import masks
from ..data import clips
from . import examples, plotting
from .record import Record


def relevance(artifact: Record) -> plt.Figure:
    """Draw the relevance matrix with the frames along both axes and a logit colour bar under each frame.

    As Figure 16 of the relevance paper: row i explains frame logit i (or a part of the clip's logit), bright cells are
    the input frames it rests on, purple ones speak against it; the strip under the columns shows what each frame's row
    starts from; the brackets are the ATR of each row.
    """
    matrix, info = artifact.arrays["matrix"], artifact.info
    logits = artifact.row_values
    rows, columns = matrix.shape
    side = min(0.7, 11 / columns)  # inches of one cell
    width, height = columns * side + 1.7 + side, rows * side + 1.55 + side
    figure = plt.figure(figsize=(width, height), layout="none")
    grid = figure.add_gridspec(
        3,
        3,
        width_ratios=[1, columns, 0.3],
        height_ratios=[rows, 1, 0.3],
        wspace=0.03,
        hspace=0.03,
        left=0.35 / width,
        right=1 - 0.75 / width,
        top=1 - 0.55 / height,
        bottom=0.5 / height,
    )
    centre = figure.add_subplot(grid[0, 1])
    image = centre.imshow(matrix, **plotting.colours(matrix), aspect="auto", interpolation="nearest")
    centre.set(xticks=[], yticks=[])
    plotting.brackets(centre, matrix, artifact.arrays.get("segments", []), lw=0.8)
    beside = figure.add_subplot(grid[0, 0])
    _strip(beside, artifact.frames, rows, vertical=True)
    beside.set_ylabel(f"{artifact.row_name()} i")
    _strip(figure.add_subplot(grid[1, 1]), artifact.frames, columns, vertical=False)
    bar = figure.add_subplot(grid[2, 1])
    shown = logits[np.arange(columns) * rows // columns]  # T / T' frames to a row
    low, high = min(0.0, float(logits.min())), max(float(logits.max()), 1e-9)
    colours = bar.imshow(shown[None], cmap="magma", aspect="auto", vmin=low, vmax=high)
    bar.set(yticks=[], xticks=range(columns), xlabel=f"input frame j (strip: {artifact.row_name()} of the class)")
    bar.set_xticklabels([str(j + 1) for j in range(columns)], fontsize=7)
    figure.colorbar(image, cax=figure.add_subplot(grid[0, 2]), label="relevance")
    figure.colorbar(colours, cax=figure.add_subplot(grid[1:, 2])).ax.tick_params(labelsize=7)
    for axis in figure.axes[:4]:
        axis.spines[:].set_visible(False)
    score = artifact.arrays["scores"][info["target"]]
    figure.suptitle(
        f"{info['video']}: {artifact.target_name} (score {score:.2f}), {info['model']}\n"
        f"{info['method'].upper()}, avg-ATR {info['avg_atr']:.2f} of {columns} frames",
        fontsize=9,
    )
    return figure


def animate(artifact: Record, file: str | Path, milliseconds: int = 200) -> None:
    """Write a looping GIF of the frames and, where there are, of those under Grad-CAM and those frozen by the mask.

    Below lies the mask, red where on and green where off, the current frame highlighted.
    """
    frames, mask = artifact.frames, artifact.arrays.get("mask")
    views = [frames]
    if "cam" in artifact.arrays:
        views.append(examples.overlay(frames, artifact.arrays["cam"]))
    if mask is not None:
        views.append(clips.to_frames(masks.freeze(artifact.clip, mask)[0]))
    examples.film([(views, mask)], file, max(1, round(192 / frames.shape[1])), milliseconds)


def _strip(axis, frames, count, vertical):
    """Lay `count` of the frames side by side (or on top of each other) so that each meets its row or column."""
    chosen = frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]
    axis.imshow(np.concatenate(chosen, axis=0 if vertical else 1), aspect="auto")
    axis.set(xticks=[], yticks=[])
