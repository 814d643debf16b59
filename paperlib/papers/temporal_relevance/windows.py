"""Figures 5 (b), 6 and 14: how much of a clip the prediction of one frame needs (section 4.3)."""

import warnings

import numpy as np
import torch

from ... import relevance
from ...convolution.quick import quick
from ...data import sampling
from ...data.clips import MEAN, STD, to_clip
from ...storage import cache
from ...tracing.probing import at_once
from .. import analysis
from . import opened

BLACK = [-m / s for m, s in zip(MEAN, STD, strict=True)]  # a black pixel of a normalised clip


def segments(matrix, sigma=0.975):
    """Return first and last frame, int [n, T', 2], of every row's range as `relevance.atr` finds it.

    matrix: [n, T', N]. -1 for empty rows.
    """
    matrix = torch.as_tensor(np.asarray(matrix, float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty rows are told by their -1
        return relevance.atr(matrix, torch.ones(matrix.shape[:2]), sigma).segments.numpy()


def fixed(frames, width):
    """Return the window [N, 2] of `width` frames around every frame, moved inside the clip at its ends."""
    return np.array([sampling.window(frames, i, width) for i in range(frames)])


@torch.inference_mode()
def frame_logits(model, clip, windows, empty=False):
    """Return the logits [N, K] of every frame of a clip when it sees its window only (section 4.3).

    clip: [3, N, H, W]; windows: [N, 2] first and last frame. Frames outside the window become its first or
    last frame, or black with `empty`. Frames that share a window share one pass.
    """
    windows = np.asarray(windows)
    frames = clip.shape[1]
    if len(windows) != frames:
        raise ValueError(f"{len(windows)} windows for {frames} frames")
    different, which = np.unique(windows, axis=0, return_inverse=True)
    found, batch = [], at_once(frames, clip.device)
    for start in range(0, len(different), batch):
        seen = torch.stack([_seen(clip, *window, empty) for window in different[start : start + batch].tolist()])
        found.append(model.frame_logits(seen).float().cpu())
    return torch.cat(found)[which.ravel(), np.arange(frames)]


def _seen(clip, left, right, empty):
    """Return the clip as the frames of the window [left, right] see it."""
    frames = clip.shape[1]
    if not empty:
        return clip[:, torch.from_numpy(sampling.partial_uniform(frames, left, left, right)).to(clip.device)]
    seen = torch.as_tensor(BLACK).to(clip).view(3, 1, 1, 1).expand_as(clip).clone()
    seen[:, left : right + 1] = clip[:, left : right + 1]
    return seen


def measure(run, checkpoint):
    """Return what partial uniform sampling does to a checkpoint, as dict of arrays; cached.

    Settings: `videos`, how many validation videos (None: all), in the random order of `analysis.explain` and
    whatever the model makes of them; `widths` of the windows, and those tried with `empty` frames as well. Keys:
    labels [n]; whole [n, K] softmax scores on the full clip; fixed and empty [widths, n, K] with windows of
    fixed width, frames outside duplicated or black; ranged [n, K] with windows sized by each frame's ATR;
    width [n] the mean ATR of the clip's frames.
    """
    settings = run.settings
    model, header, videos = opened(run, checkpoint)
    frames = model.num_frames
    chosen = analysis.in_turn(np.asarray(videos.labels), run.seed)[: settings["videos"]]
    widths = [width for width in settings["widths"] if width <= frames]
    key = {
        **analysis.key_of(checkpoint, videos),
        "chosen": chosen.tolist(),
        "widths": widths,
        "empty": settings["empty"],
        "sigma": settings["sigma"],
        "engine": cache.code("relevance", "papers/temporal_relevance/windows"),
    }

    def compute():
        clips = torch.stack(
            [to_clip(videos.frames(i, analysis.indices(videos.num_frames(i), header))) for i in chosen]
        ).to(run.device)
        network = quick(model)
        with torch.inference_mode():
            whole = torch.cat([network(part).float().cpu() for part in clips.split(16)])
        predicted = whole.argmax(1).numpy()
        found = analysis.relevance_of(checkpoint, model, header, videos, chosen, predicted)
        ranges = segments(found["matrix"], settings["sigma"])
        ranges[ranges[..., 0] < 0] = 0, frames - 1  # nothing to go by: the whole clip

        def scores(windows, empty=False):
            logits = [frame_logits(network, clip, window, empty) for clip, window in zip(clips, windows, strict=True)]
            return torch.stack(logits).mean(1).softmax(1).numpy()

        same = {width: [fixed(frames, width)] * len(clips) for width in widths}
        return {
            "whole": whole.softmax(1).numpy(),
            "labels": np.asarray(videos.labels)[chosen],
            "fixed": np.stack([scores(same[width]) for width in widths]),
            "empty": np.stack([scores(same[width], True) for width in settings["empty"]]),
            "ranged": scores(ranges),
            "width": (ranges[..., 1] - ranges[..., 0] + 1).mean(1),
        }

    return {
        **cache.fetch("windows", key, compute),
        "widths": np.array(widths),
        "frames": frames,
        "empty_widths": np.array(settings["empty"]),
    }
