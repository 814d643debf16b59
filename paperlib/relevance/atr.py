"""Action temporal relevance (ATR): how many neighbouring frames hold a frame's relevance (section 3.2)."""

import warnings
from typing import NamedTuple

import torch

from ..errors import InputError, number, whole

MIXED = 1e-3  # share of a row's relevance, taken without signs, above which what has the rarer sign is no rounding
ANYWHERE = "the shortest window anywhere in the clip, since a single row stands for all of its frames"


class ATR(NamedTuple):
    """frames [B, T']: range of every output step, in frames; avg [B] and max [B]: of the clip; segments
    [B, T', 2] int64: the first and last frame of every step's range, counted from 0, or -1, -1 if it has none."""

    frames: torch.Tensor
    avg: torch.Tensor
    max: torch.Tensor
    segments: torch.Tensor

    @property
    def about(self) -> str:
        """Which windows the ranges are the shortest of, in words."""
        if self.frames.shape[1] == 1:
            return ANYWHERE
        return "the shortest window around each step's own frames"


def atr(A: torch.Tensor, frame_logits_of_target: torch.Tensor, sigma: float = 0.975) -> ATR:
    """Return the action temporal relevance of relevance matrices, as defined in section 3.2 of the paper.

    A: [B, T', N], relevance of the N input frames for each of T' output steps, of one sign within a row.
    frame_logits_of_target: [B, T'], the target's logit at each output step.
    sigma: share of a row's relevance that its segment must reach, in (0, 1].

    frames[b, i] is the length r - l + 1 of the shortest contiguous segment l..r around frame i whose sum
    reaches sigma of the row's sum, segments[b, i] are l and r (of equally short ones, those that hold most).
    Where temporal pooling or tubelets of several frames leave T' < N output steps, step i stands for
    frames i*N/T' to (i+1)*N/T' - 1 and the segment need only touch them; a single row (T' = 1) then has the shortest
    segment anywhere, which `about` of the result says. avg weighs the rows by their
    positive logits, max is the largest. A row without relevance is NaN and left out of avg and max, with a
    warning; avg is NaN where no remaining row has a positive logit, max where no row remains. Of a row of both signs,
    as plain LRP of a transformer has, few frames can hold more than the whole: a warning says that its range means
    little.
    """
    A = torch.as_tensor(A)
    logits = torch.as_tensor(frame_logits_of_target).to(A.device)
    _check(A, logits, sigma)
    kind = A.dtype if A.is_floating_point() else torch.float32
    A = A.double()
    batch, steps, frames = A.shape
    total = A.sum(2)
    empty = total == 0
    if empty.any():
        warnings.warn(
            f"{int(empty.sum())} of {empty.numel()} rows have no relevance: their ATR is NaN and "
            f"left out of the clip's average",
            stacklevel=2,
        )
    both = of_both_signs(A)
    if both.any():
        warnings.warn(mixed(int(both.sum()), both.numel()), stacklevel=2)

    sums = torch.nn.functional.pad(A.cumsum(2), (1, 0))  # sums[..., k]: frames before k
    left = torch.arange(frames, device=A.device)
    share = (sums[..., None, 1:] - sums[..., :-1, None]) / total[..., None, None]  # [B, T', l, r]
    length = left[None, :] - left[:, None] + 1  # r - l + 1
    first = torch.arange(steps, device=A.device) * frames // steps  # the frames output step i stands for
    last = ((torch.arange(steps, device=A.device) + 1) * frames + steps - 1) // steps - 1
    around = (left[None, :, None] <= last[:, None, None]) & (left[None, None, :] >= first[:, None, None])
    # sums that reach sigma exactly may miss it by the rounding of what they add up
    rounding = 1e-9 if kind == torch.float64 else 1e-6
    fits = (share >= sigma * (1 - rounding)) & around & (length > 0)
    lengths = torch.where(fits, length, frames + 1).flatten(2)
    ranges = lengths.amin(2).double()
    best = torch.where(lengths == ranges[..., None], share.flatten(2), -torch.inf).argmax(2)
    segments = torch.stack([best // frames, best % frames], 2)
    ranges[empty], segments[empty] = torch.nan, -1

    weights = torch.where(empty, 0, logits.double().clamp(min=0))  # l_i+ of the paper
    avg = (weights * ranges.nan_to_num()).sum(1) / weights.sum(1)  # 0 / 0: NaN
    largest = ranges.nan_to_num(nan=-1).amax(1)
    largest = torch.where(largest < 0, torch.nan, largest)
    return ATR(ranges.to(kind), avg.to(kind), largest.to(kind), segments)


def of_both_signs(A):
    """Return which rows of A [..., N] hold relevance of the rarer sign beyond rounding, bool [...]."""
    size = A.abs().sum(-1)
    return (size - A.sum(-1).abs()) / 2 > MIXED * size


def mixed(count, rows):
    """Return the sentence about `count` of `rows` rows of both signs."""
    return (
        f"{count} of {rows} rows hold relevance of both signs, so that few frames can hold more than the row's sum: "
        "their ATR means little; ask for method='clrp'"
    )


def _check(A, logits, sigma):
    """Raise InputError unless the arguments of `atr` fit each other."""
    if A.dim() != 3 or 0 in A.shape:
        raise InputError(f"A must be relevance matrices [B, T', N], not of shape {tuple(A.shape)}")
    if logits.shape != A.shape[:2]:
        raise InputError(
            f"frame_logits_of_target must be [B, T'] = {tuple(A.shape[:2])} like A, not {tuple(logits.shape)}"
        )
    if A.shape[1] > A.shape[2]:
        raise InputError(
            f"A has {A.shape[1]} rows for {A.shape[2]} frames; give those of output steps alone, "
            "A[:, :relevance.rows_of(model, clips, targets).steps]"
        )
    check_sigma(sigma)
    if not torch.isfinite(A).all():
        raise InputError("A has NaN or infinite entries; relevance must be finite")
    if not torch.isfinite(logits).all():
        raise InputError("frame_logits_of_target has NaN or infinite entries; logits must be finite")


def check_sigma(sigma):
    """Return sigma as a float; InputError where it is no share of a row's relevance."""
    return number("sigma", sigma, "above 0 and at most 1", lambda share: 0 < share <= 1)


def sum_blocks(A, size):
    """Sum every size x size block of square relevance matrices: [B, n, n] -> [B, n/size, n/size].

    For SlowFast (appendix A of the paper): from the n frames of the fast pathway to the m = n/r of the slow.
    Sum the frame logits likewise, `frame_logits.unflatten(1, (-1, size)).sum(2)`, before they go to `atr`.
    """
    if A.dim() != 3 or A.shape[1] != A.shape[2]:
        raise InputError(f"A must be square relevance matrices [B, n, n], not of shape {tuple(A.shape)}")
    if A.shape[1] % whole("size", size):
        raise InputError(f"a block size of {size} does not divide the {A.shape[1]} rows of the matrix")
    return A.unflatten(2, (-1, size)).unflatten(1, (-1, size)).sum((2, 4))
