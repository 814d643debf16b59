"""Which frames of a video make up a clip: pure functions from lengths to index arrays.

All indices count from 0, are int64, never leave the video, and never go back in time, except where a
dense clip that is longer than its video starts over, as in the CVPR 2021 paper's code.
"""

import numpy as np

from ..errors import InputError, whole


def uniform(n_video: int, n: int, rng: np.random.Generator | None = None, clips: int | None = None) -> np.ndarray:
    """Take one frame from each of `n` equal segments of a video with `n_video` frames.

    Without `rng` it is the segment's centre frame (evaluation; TRA appendix E); with a numpy Generator
    a random one, independently per segment (training; CVPR 2021 section 4). A video shorter than the
    clip repeats frames, spread evenly so that every frame is used (the papers' code draws the repeats
    at random from a fixed seed).

    `clips=k` gives the k shifted clips of multi-clip evaluation: offsets of whole frames around the
    centre (-1, 0, 1 for three), kept inside the segment, as in the CVPR 2021 paper's code.

    Returns int64 [n], or [clips, n] with `clips`. Raises InputError for counts below 1.
    """
    _check(n_video=n_video, n=n)
    segments = np.arange(n)
    if clips is None:
        if rng is None:
            return (2 * segments + 1) * n_video // (2 * n)  # floor((s + 1/2) n_video / n), exactly
        return np.minimum(((segments + rng.random(n)) * n_video / n).astype(np.int64), n_video - 1)
    _check(clips=clips)
    first = segments * n_video // n
    last = np.maximum(first, (segments + 1) * n_video // n - 1)
    offsets = np.arange(clips) - (clips - 1) // 2
    return np.clip(uniform(n_video, n) + offsets[:, None], first, last)


def dense(
    n_video: int, n: int, stride: int, rng: np.random.Generator | None = None, clips: int | None = None
) -> np.ndarray:
    """Take `n` frames `stride` apart: the centre clip, a random one with `rng`, or `clips` evenly spread.

    A clip occupies `n * stride` frames; where the video is shorter, it starts at frame 0 and the video
    is repeated from its beginning (the CVPR 2021 paper's code). The centre clip is what TRA appendix B
    uses; `clips=10` is the papers' multi-clip evaluation.

    Returns int64 [n], or [clips, n] with `clips`. Raises InputError for counts below 1.
    """
    _check(n_video=n_video, n=n, stride=stride)
    room = max(0, n_video - n * stride)
    if clips is not None:
        _check(clips=clips)
        starts = np.linspace(0, room, clips).astype(np.int64) if clips > 1 else np.array([room // 2])
    else:
        starts = np.array([room // 2 if rng is None else rng.integers(room + 1)])
    indices = (starts[:, None] + np.arange(n) * stride) % n_video
    return indices[0] if clips is None else indices


def chosen(
    how: str, n_video: int, n: int, stride: int, rng: np.random.Generator | None = None, clips: int | None = None
) -> np.ndarray:
    """Take frames "dense" or "uniform", as `how` says: what `dense` or `uniform` (which has no stride) returns."""
    return dense(n_video, n, stride, rng, clips) if how == "dense" else uniform(n_video, n, rng, clips)


def partial_uniform(n: int, i: int, left: int, right: int) -> np.ndarray:
    """Limit what frame `i` of an `n`-frame clip can see to the window [left, right] (TRA section 4.3).

    `left` and `right` are frame positions in the clip, both inside the window: left <= i <= right.
    Frames before the window become its first frame, frames after it its last one; the model's logit
    of frame `i` on the resulting clip is the one to keep.

    Returns int64 [n] to index the clip's time axis with. Raises InputError if the window does not hold `i`.
    """
    _check(n=n)
    if not 0 <= left <= i <= right < n:
        raise InputError(
            f"partial_uniform: the window [{left}, {right}] has to hold frame {i} and lie "
            f"inside the clip's frames 0 to {n - 1}."
        )
    return np.clip(np.arange(n), left, right)


def window(n: int, i: int, width: int) -> tuple[int, int]:
    """Return (left, right) of the `width` frames around frame `i`, moved inside the clip at its ends.

    For an even width the extra frame is on the right. Used for the fixed windows of TRA section 4.3.
    """
    _check(n=n, width=width)
    if not 0 <= i < n or width > n:
        raise InputError(f"window: frame {i} and width {width} do not fit a clip of {n} frames.")
    left = min(max(0, i - (width - 1) // 2), n - width)
    return left, left + width - 1


def _check(**counts):
    for name, value in counts.items():
        whole(f"sampling: {name}", value)
