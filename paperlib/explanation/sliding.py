"""Videos longer than a clip: which frames are seen, in which windows, and whose row or map counts for a frame."""

import numpy as np

from ..data import sampling
from ..errors import InputError, whole

SPAN = 2.56  # seconds that a window spans where nothing is said: 64 frames at 25 a second, as Kinetics' networks see
MOST = 4000  # frames of one explanation


def plan(
    total: int,
    frames: int,
    clips: int = 1,
    slide: int | bool | None = None,
    fps: float | None = None,
    dense: int | None = None,
):
    """Return (video frames that are seen [F], first of them of every window [W]), both int64.

    total: frames of the video; frames: of a clip. clips: so many clips, one from each equal part of the video,
    uniformly sampled. dense: clips have frames so far apart instead, the middle one or several evenly spread.
    slide: windows of frames `slide` apart, each half a window after the last; True: `dense` apart or, without it, as
    far that a window spans SPAN seconds at `fps` (25 where unknown). A video shorter than one window is one clip.
    Raises InputError for numbers that are no whole numbers of at least 1, for both, and for too many frames.
    """
    if whole("clips", clips) > 1 and clips * frames > MOST:
        raise InputError(
            f"{clips} clips of {frames} frames have {clips * frames}, more than the {MOST} of one explanation; give "
            f"clips={max(1, MOST // frames)} or fewer"
        )
    if slide is not None and not isinstance(slide, bool):
        whole("slide", slide)
    if slide and clips > 1:
        raise InputError("clips cuts the video into parts and slide moves a window over it; give one of them")
    if not slide and dense:
        return sampling.dense(total, frames, dense, clips=clips).ravel(), np.arange(clips) * frames
    if not slide:
        edges = np.arange(clips + 1) * total // clips
        parts = [first + sampling.uniform(max(end - first, 1), frames) for first, end in zip(edges, edges[1:])]  # noqa: B905
        return np.minimum(np.concatenate(parts), total - 1), np.arange(clips) * frames
    stride = int(slide) if slide is not True else dense or max(1, round(SPAN * (fps or 25) / frames))
    seen = np.arange(0, total, stride)
    if len(seen) > MOST:
        raise InputError(
            f"a window that slides over {total} frames in steps of {stride} sees {len(seen)}, more than the {MOST} of "
            f"one explanation; give slide={-(-total // MOST)} or more, or cut the video"
        )
    if len(seen) <= frames:
        return plan(total, frames, dense=dense)
    hop = max(1, frames // 2)
    count = -(-(len(seen) - frames) // hop) + 1
    starts = np.minimum(np.arange(count) * hop, len(seen) - frames)
    return seen, starts


def zones(starts, frames):
    """Return the frames [first, end) that each window answers for: those nearer to its middle than to another's."""
    return np.floor(_halves(starts, frames)).astype(int)  # a frame's middle is half a frame behind its number


def _halves(starts, frames):
    """Return the times [begin, end) that each window answers for; between two windows, half way from middle to middle.

    In frames from the first; a cut may go through the middle of a frame.
    """
    starts = np.asarray(starts)
    cuts = (starts[1:] + starts[:-1] + frames) / 2
    return np.stack([[starts[0], *cuts], [*cuts, starts[-1] + frames]], 1)


def apart(starts, frames):
    """Return the numbers of windows that together see every frame, as few and as little overlapping as can be."""
    chosen, last = [0], len(starts) - 1
    while chosen[-1] < last:
        end = starts[chosen[-1]] + frames
        chosen.append(max(k for k in range(chosen[-1] + 1, last + 1) if starts[k] <= end))
    return chosen


def row_owners(starts, frames, steps):
    """Return (window, step) int64 [R, 2] of the rows that count for the video: those whose middle lies in the window's
    part of it, or where none does, the one nearest to the window's middle."""
    middles, owners = (np.arange(steps) + 0.5) * frames / steps, []
    for window, (begin, end) in enumerate(_halves(starts, frames)):
        at = starts[window] + middles
        own = np.flatnonzero((begin <= at) & (at < end))
        owners += [(window, step) for step in (own if len(own) else [np.abs(middles - frames / 2).argmin()])]
    return np.array(owners)


def joined_rows(blocks, starts, count):
    """Return the matrix [R, F] of a video of `count` seen frames from those of its windows [W, T', N].

    A row is that of one window, the one in whose middle it lies most; frames outside of the window have no relevance.
    """
    windows, steps, frames = blocks.shape
    owners = row_owners(starts, frames, steps)
    matrix = np.zeros((len(owners), count), blocks.dtype)
    for row, (window, step) in enumerate(owners):
        matrix[row, starts[window] : starts[window] + frames] = blocks[window, step]
    return matrix


def joined_frames(blocks, starts, count):
    """Return what belongs to each of `count` seen frames [F, ...] from what windows [W, N, ...] say about theirs."""
    frames = blocks.shape[1]
    joined = np.zeros((count, *blocks.shape[2:]), blocks.dtype)
    for window, (first, end) in enumerate(zones(starts, frames)):
        joined[first:end] = blocks[window, first - starts[window] : end - starts[window]]
    return joined
