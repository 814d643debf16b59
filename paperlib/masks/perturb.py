"""Perturbations of a clip under a temporal mask: freeze and reverse of the ACCV paper, and four further ones.

All take clips `[B, C, T, H, W]` and a mask `[T]` or `[B, T]` with values in [0, 1] (1: fully perturbed) and
return clips of the same shape. A mask of zeros returns the clips unchanged.
"""

import inspect
from functools import partial

import torch

from ..data.clips import MEAN, STD
from ..errors import InputError, number, whole

THRESHOLD = 0.1  # above it a frame counts as masked (ACCV 2020, section 3.1)


def freeze(clips: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Repeat the previous, already perturbed frame wherever the mask is on (ACCV 2020, section 3.1).

    The paper's recursion p[t] = (1 - m[t]) x[t] + m[t] p[t-1] with p[0] = x[0], as one product with
    `freeze_matrix(mask)`; differentiable in mask and clips. m[0] has no effect: there is no frame before it.
    """
    clips, mask = _checked(clips, mask)
    return _freeze(clips, mask)


def freeze_matrix(mask: torch.Tensor) -> torch.Tensor:
    """Return W `[B, T, T]` with freeze(x, mask)[t] = sum over s of W[t, s] x[s], for masks `[B, T]`.

    W[t, s] = (1 - m[s]) m[s+1] ... m[t] for s <= t, with m[0] taken as 0. Every row sums to 1.
    """
    mask = of_clips(mask)
    steps = torch.arange(mask.shape[1], device=mask.device)
    later = steps[:, None] > steps  # t > s
    kept = torch.where(later, mask[:, :, None], 1.0).cumprod(1)  # m[s+1] ... m[t]
    own = torch.where(steps == 0, 1.0, 1 - mask)
    return (kept * own[:, None]).tril()


def reverse(clips: torch.Tensor, mask: torch.Tensor, threshold: float = THRESHOLD, soft: bool = False) -> torch.Tensor:
    """Reverse the order of the frames within each contiguous run of mask values above `threshold`.

    This is the text of ACCV 2020, section 3.1: a masked frame is replaced whole, and the result depends on
    the mask only through the threshold. soft=True is the blend of the paper's code: the frames a and b that
    change places become (1 - m) a + m b and (1 - m) b + m a, both with the mask value m of the earlier one;
    differentiable.
    """
    clips, mask = _checked(clips, mask)
    return _reverse(clips, mask, threshold, soft)


def shuffle(
    clips: torch.Tensor, mask: torch.Tensor, threshold: float = THRESHOLD, soft: bool = False, seed: int = 0
) -> torch.Tensor:
    """Put the frames of each contiguous run of mask values above `threshold` into a random order.

    Order is destroyed, content is kept. Within a run the frames go round one random cycle, so that none
    stays in its place (a single frame has no other place and stays). The same seed gives the same order.
    soft=True blends the new frame in by the mask value of its place.
    """
    clips, mask = _checked(clips, mask)
    return _shuffle(clips, mask, threshold, soft, seed)


def blur(clips: torch.Tensor, mask: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
    """Blend masked frames with themselves blurred by `sigma` pixels: detail goes, coarse motion stays.

    The default is 10/224 of the frame's shorter side, the blur of Fong and Vedaldi (ICCV 2017) at 224 pixels.
    """
    clips, mask = _checked(clips, mask)
    return _blend(clips, mask, _blurred(clips, sigma))


def black(clips: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Blend masked frames with black pixels, (0 - mean) / std by ImageNet's (0 for other than 3 channels)."""
    clips, mask = _checked(clips, mask)
    return _blend(clips, mask, _black(clips))


def mean(clips: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Blend masked frames with the clip's mean frame: the scene stays, what moves is smeared out."""
    clips, mask = _checked(clips, mask)
    return _blend(clips, mask, _mean(clips))


PERTURBATIONS = {"freeze": freeze, "reverse": reverse, "shuffle": shuffle, "blur": blur, "black": black, "mean": mean}


def perturb(clips: torch.Tensor, mask: torch.Tensor, kind: str = "freeze", **options) -> torch.Tensor:
    """Return clips [B, C, T, H, W] perturbed by name: `freeze`, `reverse`, `shuffle`, `blur`, `black` or `mean`.

    mask: [T] or [B, T], values from 0 to 1 (1: fully perturbed). options: the perturbation's own, such as blur's sigma.
    Raises InputError for an unknown name or option, other shapes, values that are not finite or not from 0 to 1.
    """
    clips, mask = _checked(clips, mask)
    return prepare(clips, kind, **options)(mask)


def check_kind(kind):
    """Raise InputError for a name that no perturbation has."""
    if kind not in PERTURBATIONS:
        raise InputError(f"there is no perturbation called {kind!r}; there are {', '.join(PERTURBATIONS)}.")


def prepare(clips, kind="freeze", **options):
    """Return a function mask `[B, T]` -> perturbed clips that has computed what does not depend on the mask.

    For use in a loop over masks: the blurred or mean frames are made once, and masks are not checked again.
    """
    check_kind(kind)
    references = {"blur": _blurred, "black": _black, "mean": _mean}
    try:
        if kind in references:
            return partial(_blend, clips, reference=references[kind](clips, **options))
        function = {"freeze": _freeze, "reverse": _reverse, "shuffle": _shuffle}[kind]
        inspect.signature(function).bind(clips, None, **options)
        return partial(function, clips, **options)
    except TypeError:
        raise InputError(f"perturbation {kind!r} does not take the option(s) {', '.join(options)}.") from None


def segments(mask, threshold=THRESHOLD):
    """Return the first and the last index `[B, T]` of the run of masked frames that each frame belongs to.

    A frame whose mask value is not above the threshold is a run of its own.
    """
    mask = of_clips(mask)
    steps = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    active = mask > number("threshold", threshold, "from 0 to 1", lambda share: 0 <= share <= 1)
    edge = torch.zeros_like(active[:, :1])
    begins = active & ~torch.cat([edge, active[:, :-1]], 1)
    ends = active & ~torch.cat([active[:, 1:], edge], 1)
    first = torch.where(begins, steps, 0).cummax(1).values
    last = torch.where(ends, steps, mask.shape[1]).flip(1).cummin(1).values.flip(1)
    return torch.where(active, first, steps), torch.where(active, last, steps)


def _freeze(clips, mask):
    mixed = freeze_matrix(mask).to(clips.dtype)[:, None] @ clips.flatten(3)
    return mixed.view_as(clips)


def _reverse(clips, mask, threshold=THRESHOLD, soft=False):
    first, last = segments(mask, threshold)
    steps = torch.arange(mask.shape[1], device=mask.device).expand_as(first)
    source = first + last - steps
    moved = _reorder(clips, source)
    return _blend(clips, mask.gather(1, torch.minimum(source, steps)), moved) if soft else moved


def _shuffle(clips, mask, threshold=THRESHOLD, soft=False, seed=0):
    first, last = segments(mask, threshold)
    generator = torch.Generator().manual_seed(whole("seed of a shuffle", seed, 0))
    noise = torch.rand(mask.shape[1], generator=generator).to(mask.device)
    order = (first + noise).argsort(1)  # runs stay together, frames within a run in random order
    steps = torch.arange(mask.shape[1], device=mask.device).expand_as(first)
    following = torch.where(steps == last, first, steps + 1)  # the next of the run, round to its beginning
    source = torch.empty_like(order).scatter_(1, order, order.gather(1, following))
    moved = _reorder(clips, source)
    return _blend(clips, mask, moved) if soft else moved


def _reorder(clips, source):
    """Return the clips with frame source[b, t] at time t."""
    rows = torch.arange(len(clips), device=clips.device)[:, None]
    return clips.transpose(1, 2)[rows, source].transpose(1, 2).contiguous()


def _blend(clips, mask, reference):
    return torch.lerp(clips, reference, mask.to(clips.dtype)[:, None, :, None, None])


def _blurred(clips, sigma=None):
    from torchvision.transforms.functional import gaussian_blur  # here, because it takes two seconds

    sigma = 10 / 224 * min(clips.shape[-2:]) if sigma is None else sigma
    number("sigma of the blur", sigma, "of pixels above 0", lambda pixels: pixels > 0)
    reach = [min(int(3 * sigma) + 1, side - 1) for side in clips.shape[:2:-1]]  # reflection needs it < side
    images = clips.flatten(0, 2)[:, None]
    return gaussian_blur(images, [2 * r + 1 for r in reach], [float(sigma)] * 2).view_as(clips)


def _black(clips):
    if clips.shape[1] != len(MEAN):
        return torch.zeros_like(clips)
    zero = -torch.tensor(MEAN) / torch.tensor(STD)
    return zero.to(clips)[:, None, None, None].expand_as(clips)


def _mean(clips):
    return clips.mean(2, keepdim=True).expand_as(clips)


def numbers(mask, what="a mask"):
    """Return a mask as a tensor; InputError for what holds no numbers."""
    try:
        found = torch.as_tensor(mask)
    except (TypeError, ValueError, RuntimeError):
        found = None
    if found is None or found.is_complex():
        raise InputError(f"{what} should be numbers from 0 to 1, not {mask!r}")
    return found


def of_clips(mask):
    """Return masks [B, T] as a tensor; InputError for another shape."""
    mask = numbers(mask)
    if mask.ndim != 2:
        raise InputError(f"masks must be [B, T], one for each clip, not of shape {list(mask.shape)}.")
    return mask


def _checked(clips, mask):
    """Return (floating point clips, mask `[B, T]`); InputError where shapes or values do not fit."""
    clips = torch.as_tensor(clips)
    if clips.ndim != 5:
        raise InputError(f"clips must be [B, C, T, H, W], not of shape {list(clips.shape)}.")
    clips = clips if clips.is_floating_point() else clips.float()
    if not torch.isfinite(clips).all():
        raise InputError("clips have NaN or infinite values, which frames that repeat or blend others would spread.")
    mask = numbers(mask).to(clips.device)
    mask = mask if mask.is_floating_point() else mask.to(clips.dtype)
    batch, frames = clips.shape[0], clips.shape[2]
    if mask.shape not in ((frames,), (batch, frames), (1, frames)):
        raise InputError(
            f"the mask has shape {list(mask.shape)}; clips of {frames} frames need [{frames}] or [{batch}, {frames}]."
        )
    if not ((mask >= 0) & (mask <= 1)).all():
        raise InputError("mask values must lie between 0 and 1; apply a sigmoid to a real-valued mask first.")
    return clips, mask.expand(batch, frames)
