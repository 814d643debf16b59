"""The picture that stands for a widget where none can run: frames, relevance matrix, Grad-CAM, mask."""

import base64
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np

from .. import masks
from ..data import clips
from . import examples, plotting

COLUMNS = 16  # frames shown at most, evenly spread
WIDTH, STRIP = 11, 7.4  # inches of the figure and of the film strip


def figure(artifacts, features):
    """Return a figure with one block per artifact: film strips over a bar, the matrix at their right."""
    heights = [_height(found, features) for found in artifacts]
    whole = plt.figure(figsize=(WIDTH, sum(heights) or 1), layout="constrained")
    if artifacts:
        blocks = whole.subfigures(len(artifacts), 1, squeeze=False, height_ratios=heights)[:, 0]
        for block, found in zip(blocks, artifacts, strict=True):
            _block(block, found, features)
    plt.close(whole)  # shown where it is asked for, not at the end of the cell as well
    return whole


def bundle(whole, words):
    """Return what a notebook shows of a figure and of words for places that show no picture; whole: None for none."""
    if whole is None:
        return {"text/plain": words}
    return {"text/plain": words, "image/png": base64.b64encode(png(whole)).decode()}


def png(whole):
    """Return a figure as a PNG file in memory, the same bytes every time."""
    file = BytesIO()
    whole.savefig(file, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def _height(found, features):
    """Return the inches that an artifact's block needs."""
    return max(2.8 if "relevance" in features else 0, _strips(found, features) + 2.0)


def _strips(found, features):
    """Return the height in inches of an artifact's film strips."""
    height, width = found.frames.shape[1:3]
    return STRIP / min(COLUMNS, len(found.frames)) * height / width * (3 if "mask" in features else 1)


def _block(block, found, features):
    score = found.arrays["scores"][found.info["target"]]
    block.suptitle(
        f"{found.info['model']} on {found.info['video']}: {found.target_name} (score {score:.2f})", fontsize=9
    )
    strips, *right = block.subplots(
        1, 1 + ("relevance" in features), squeeze=False, width_ratios=[3, 1] if "relevance" in features else None
    )[0]
    _frames(strips, found, "mask" in features)
    inch = 1 / _strips(found, features)  # in units of the strips' height
    place = [0, -0.65 * inch, 1, 0.4 * inch]
    if "mask" in features and "mask" in found.arrays:
        below = strips.inset_axes(place)
        examples.bar(below, found.arrays["mask"])
        said = ", ".join(f"{name} {value:.2f}" for name, value in found.mask_scores.items())
        below.set_xlabel("mask (orange: on)" + (f"   score: {said}" if said else ""), fontsize=8)
        below.spines[:].set_visible(False)
    elif "matrix" in found.arrays:
        _shares(strips.inset_axes(place), found)
    if right and "matrix" in found.arrays:
        _matrix(right[0], found)


def _matrix(axis, found):
    title = f"{found.info['method'].upper()}, avg-ATR {found.info['avg_atr']:.2f} of {len(found.frames)} frames"
    plotting.heatmap(axis, found.arrays["matrix"], title, row=found.row_name())
    plotting.brackets(axis, found.arrays["matrix"], found.arrays["segments"], lw=0.7)


def _frames(axis, found, mask):
    """Lay the frames side by side; below them, with a mask, those under Grad-CAM and those frozen by it."""
    rows = {"frames": found.frames}
    if mask and "cam" in found.arrays:
        rows["Grad-CAM"] = examples.overlay(found.frames, found.arrays["cam"])
    if mask and "mask" in found.arrays:
        rows["frozen"] = clips.to_frames(masks.freeze(found.clip, found.arrays["mask"])[0])
    shown = examples.spread(len(found.frames), COLUMNS)
    examples.rows_of_frames(axis, rows, shown, found.arrays["mask"] if "frozen" in rows else None)
    axis.set_anchor("N")  # what room is left goes below, not between the title and the frames


def _shares(axis, found):
    """Draw how the relevance of all rows together spreads over the frames."""
    total = np.abs(found.arrays["matrix"]).sum(0)
    share = total / total.sum() if total.sum() else total
    colours = plt.get_cmap(plotting.MAP)(share / max(share.max(), 1e-12))
    axis.bar(np.arange(len(share)), share, color=colours, width=0.94)
    axis.set(xlim=(-0.5, len(share) - 0.5), xticks=[])
    axis.set_xlabel(f"share of the relevance of all {found.row_name(many=True)}", fontsize=8)
    axis.tick_params(labelsize=6)
