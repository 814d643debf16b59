"""Example clips as in the ACCV paper (Figures 2, 3, 5): original, Grad-CAM, frozen frames, mask, scores."""

from dataclasses import dataclass

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from .. import gradcam, masks
from ..data import clips as clip_format
from ..storage import paths
from . import plotting
from .record import CHANGED

ON, OFF = plotting.VERMILION, plotting.GREEN  # the mask's red and green, safe for colour-blind readers


@dataclass
class Example:
    """One clip as one model sees it."""

    frames: np.ndarray  # uint8 [T, H, W, 3]
    cam: np.ndarray | None  # [T, H, W] in [0, 1]; None of a network without maps
    changed: np.ndarray  # uint8 [T, H, W, 3], changed by the mask
    mask: np.ndarray  # [T] in [0, 1]
    scores: dict  # OS, FS, RS and, where misclassified, CS
    label: str  # name of the true class
    predicted: str  # name of the class guessed and explained
    model: str
    how: str = "frozen"  # are the frames changed by the mask

    @property
    def caption(self):
        """The scores in the paper's notation; P only where the prediction is wrong."""
        text = "  ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        return text + (f"  P: {self.predicted}" if self.predicted != self.label else "")


def explain(model, clips, labels, classes, name=None, **options):
    """Return one `Example` per clip [B, 3, T, H, W]: learned mask and Grad-CAM of its predicted class.

    labels: true classes [B]; classes: their names; options go to `masks.learn`.
    """
    result = masks.learn(model, clips, labels=labels, **options)
    cams = gradcam.video_gradcam(model, clips, result.targets)
    return from_masks(result, clips, cams, classes, name or type(model).__name__)


def from_masks(result, clips, cams, classes, name, labels=None):
    """Return one `Example` per clip of a `MaskResult` and the maps that belong to it, None for none."""
    changed, how = result.changed(clips), CHANGED[result.settings.perturbation]
    labels = result.labels if labels is None else labels
    found = []
    for b in range(len(clips)):
        scores = {name: score[b] for name, score in result.named.items()}
        if not torch.isnan(result.truth[b]):
            scores["CS"] = result.truth[b]
        predicted = classes[int(result.targets[b])]
        found.append(
            Example(
                clip_format.to_frames(clips[b]),
                None if cams is None else cams[b].cpu().numpy(),
                clip_format.to_frames(changed[b]),
                result.mask[b].cpu().numpy(),
                {key: float(value) for key, value in scores.items()},
                predicted if labels is None else classes[int(labels[b])],
                predicted,
                name,
                how,
            )
        )
    return found


def overlay(frames, cam, strength=0.6):
    """Lay maps [T, H, W] in [0, 1] over frames uint8 [T, H, W, 3]: the brighter, the more it covers."""
    laid = np.empty(frames.shape, np.uint8)
    for frame, one, out in zip(frames, cam, laid, strict=True):
        # one at a time: its colours take many times what a picture takes
        colours = matplotlib.colormaps["magma"](one)[..., :3] * 255
        weight = strength * np.clip(one, 0, 1)[..., None]
        out[:] = ((1 - weight) * frame + weight * colours).round()
    return laid


def rows_of_frames(axis, rows, shown, mask=None):
    """Lay the frames `shown` of every row side by side, with gaps; {name: uint8 [T, H, W, 3]} from top to bottom.

    Frames of the last row that the mask [T] covers have a red outline.
    """
    gap = max(1, next(iter(rows.values())).shape[2] // 32)
    edge = ((gap, gap), (gap, gap), (0, 0))
    pictures = [
        np.concatenate([np.pad(row[t], edge, constant_values=255) for t in shown], axis=1) for row in rows.values()
    ]
    axis.imshow(np.concatenate(pictures), aspect="equal", interpolation="nearest")
    height, width = len(pictures[0]), pictures[0].shape[1] // len(shown)
    for k in np.flatnonzero(np.asarray(mask)[shown] > masks.THRESHOLD) if mask is not None else ():
        place = (k * width + gap - 1, (len(rows) - 1) * height + gap - 1)
        axis.add_patch(plt.Rectangle(place, width - 2 * gap + 1, height - 2 * gap + 1, fill=False, ec=ON, lw=1.2))
    axis.set_yticks([height * (k + 0.5) for k in range(len(rows))], rows, fontsize=7)
    axis.set_xticks([width * (k + 0.5) for k in range(len(shown))], np.asarray(shown) + 1, fontsize=7)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def spread(count, most):
    """Return the numbers of at most `most` of so many frames, the first, the last and what lies evenly between."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def strip(figure, example, columns=16, title=True):
    """Draw an example into a matplotlib figure or subfigure: a row of frames each for what it has, the mask as a bar.

    columns: at most so many frames are shown, every so many, each above its cells of the bar, which has all frames.
    Changed frames that the mask covers have a red outline.
    """
    frames = len(example.mask)
    shown = np.arange(0, frames, -(-frames // columns))
    rows = {"original": example.frames}
    if example.cam is not None:
        rows["Grad-CAM"] = overlay(example.frames, example.cam)
    rows[example.how] = example.changed
    axis = figure.subplots()
    rows_of_frames(axis, rows, shown, example.mask)
    axis.set_xticks([])  # the bar has them
    below = axis.inset_axes([0, -0.13, 1, 0.11])  # as wide as the frames, whatever their number
    bar(below, example.mask)
    below.tick_params(length=0)
    below.set_ylabel("mask", rotation=0, ha="right", va="center", fontsize=7)
    below.spines[:].set_visible(False)
    if title:
        axis.set_title(f"{example.model}: {example.label}\n{example.caption}", fontsize=7, loc="left")
    return axis, below


def bar(axis, mask, current=None):
    """Draw a mask [T] as in the paper: red where on (above 0.1), green where off; a line has its values."""
    on = np.asarray(mask) > masks.THRESHOLD
    edges = np.arange(len(mask))
    axis.bar(edges, 1, width=0.94, color=[ON if value else OFF for value in on])
    axis.plot(edges, mask, color="black", lw=0.8, marker=".", ms=2)
    if current is not None:
        axis.bar([current], 1, width=0.94, fill=False, edgecolor="black", lw=1.5)
    axis.set(xlim=(-0.5, len(mask) - 0.5), ylim=(0, 1.02), yticks=[])
    axis.set_xticks(edges[:: max(1, len(mask) // 8)], edges[:: max(1, len(mask) // 8)] + 1, fontsize=6)


def maps(artifact, columns=16):
    """Return a figure of an artifact's frames and the Grad-CAM maps (`cam`) over them."""
    figure, axis = plt.subplots(figsize=(11, 2))
    rows = {"original": artifact.frames, "Grad-CAM": overlay(artifact.frames, artifact.arrays["cam"])}
    rows_of_frames(axis, rows, spread(len(artifact.frames), columns))
    axis.set_title(
        f"{artifact.info['video']}: {artifact.target_name}, {artifact.info['model']}, layer {artifact.info['layer']}",
        fontsize=8,
    )
    return figure


def animate(examples, file, scale=2, milliseconds=200):
    """Write examples of the same clip as one looping GIF: a row each of original, Grad-CAM and changed frames.

    Below each row lies its mask, red where on and green where off, the current frame highlighted.
    """
    looked = [() if each.cam is None else (overlay(each.frames, each.cam),) for each in examples]
    blocks = zip(examples, looked, strict=True)
    film([((each.frames, *cam, each.changed), each.mask) for each, cam in blocks], file, scale, milliseconds)


def film(blocks, file, scale=2, milliseconds=200):
    """Write a looping GIF: for each block a row of views uint8 [T, H, W, 3], and below it its mask [T] or None."""
    steps = []
    for t in range(len(blocks[0][0][0])):
        parts = []
        for views, mask in blocks:
            parts.append(np.concatenate([view[t] for view in views], axis=1).repeat(scale, 0).repeat(scale, 1))
            if mask is not None:
                parts.append(_cells(mask, t, parts[-1].shape[1]))
        picture = np.concatenate(parts)
        # without dithering: its noise would double the file
        steps.append(Image.fromarray(picture).quantize(128, dither=Image.Dither.NONE))
    with paths.atomic(file) as temporary:
        steps[0].save(temporary, format="GIF", save_all=True, append_images=steps[1:], duration=milliseconds, loop=0)


def _cells(mask, current, width, height=10):
    """Draw the mask as coloured cells uint8 [height, width, 3]; all but the current one are dimmed."""
    colours = [matplotlib.colors.to_rgb(ON if value > masks.THRESHOLD else OFF) for value in mask]
    colours = np.array(colours) * 255
    colours[np.arange(len(mask)) != current] *= 0.55
    cells = colours[np.arange(width) * len(mask) // width].astype(np.uint8)
    return np.broadcast_to(cells, (height, width, 3))
