"""What every explanation does with a model first: hold it still and settle which classes are asked about."""

import contextlib
import functools
import sys
import threading
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.utils import checkpoint

from ..convolution.half import NUMBERS, checked, number, uncast, widened
from ..errors import InputError

SCORES = ("auto", "softmax", "sigmoid")


def in_float32(function):
    """Decorate function(model, clips, ...): a network in half precision is explained by its weights in float32.

    Half precision has neither the range for quotients and for gradients of means (float16) nor the digits for
    differences of sums; so the caller's autocast has no effect either.
    """

    @functools.wraps(function)
    @torch.inference_mode(False)
    @uncast()
    def wrapped(model, clips, *arguments, **keywords):
        if not isinstance(clips, torch.Tensor) or clips.dtype not in NUMBERS or clips.dtype != number(model):
            return function(model, clips, *arguments, **keywords)
        with widened(model):
            return function(model, clips.float(), *arguments, **keywords)

    return wrapped


@contextlib.contextmanager
def evaluating(model):
    """Put the model into evaluation mode, without gradients for its weights; afterwards all is as before.

    Meanwhile the caller's autocast has no effect, since explanations are of the network in its own numbers. Compiled
    parts run as they are written, and activations are kept instead of recomputed by reentrant checkpointing: neither
    lets a gradient be taken, or a layer be looked at, in the middle of a network.
    """
    modes = [(module, module.training) for module in model.modules()]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kept = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers() if _can_be_written(buffer)]
    model.eval()
    for parameter in learned:
        parameter.requires_grad_(False)
    device = next((p.device for p in model.parameters()), "cpu")
    try:
        with checked(number(model), device), uncast(), _uncompiled(), _uncheckpointed():
            yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter in learned:
            parameter.requires_grad_(True)
        with torch.no_grad():
            for buffer, version, before in kept:
                if buffer._version != version:  # a network that counts, or keeps what it saw
                    buffer.copy_(before)


def _can_be_written(buffer):
    """Whether a buffer holds numbers that say whether they were written over."""
    return not (is_lazy(buffer) or buffer.is_inference() or buffer.is_meta)


def _uncompiled():
    """Return a context in which torch.compile has no effect."""
    compiled = "torch._dynamo" in sys.modules  # else nothing is, and the import takes seconds
    return torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()


class _Kept:
    """Stands for torch's CheckpointFunction, which would recompute activations in the backward pass."""

    lock, users = threading.Lock(), 0  # threads leave in any order: the last one puts the real one back
    real: Any = None

    @staticmethod
    def apply(function, preserve_rng_state, *args):
        """Run what was to be checkpointed."""
        return function(*args)


@contextlib.contextmanager
def _uncheckpointed():
    """Let reentrant checkpointing, which allows no torch.autograd.grad, have no effect."""
    with _Kept.lock:
        if not _Kept.users:
            _Kept.real, checkpoint.CheckpointFunction = checkpoint.CheckpointFunction, _Kept
        _Kept.users += 1
    try:
        yield
    finally:
        with _Kept.lock:
            _Kept.users -= 1
            if not _Kept.users:
                checkpoint.CheckpointFunction = _Kept.real


def classes(logits, targets, what="target"):
    """Return class indices int64 [B]: the predicted ones for None, else checked against logits [B, K].

    targets: one index for all clips or [B] of them. Raises InputError for another number of them and for
    classes that the model does not have; `what` names them there.
    """
    if targets is None:
        return logits.argmax(1)
    targets = indices(targets, logits.device, what).long()
    targets = targets.expand(len(logits)) if targets.ndim == 0 else targets
    check_count(targets, len(logits), what)
    outside = targets[(targets < 0) | (targets >= logits.shape[1])]
    if len(outside):
        raise InputError(
            f"{what} class {int(outside[0])} does not exist; the model has classes 0 to {logits.shape[1] - 1}."
        )
    return targets


def indices(targets, device, what="target"):
    """Return class indices as a tensor; InputError for names, None, truth values and fractions."""
    try:
        found = torch.as_tensor(targets, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what}s must be class indices, one per clip, not {targets!r}") from error
    if found.is_floating_point() or found.dtype == torch.bool:
        raise InputError(
            f"{what}s must be class indices, one per clip, not {found.dtype} of shape {tuple(found.shape)}"
        )
    return found.clone() if found.is_inference() else found  # else no gradient passes it


def at_once(frames, device="cpu"):
    """Return how many clips of `frames` frames to run together: on a CPU 256 frames in all, which stay in its caches.

    Networks of 50 and 101 layers take half to three quarters as long a clip as with 32 clips of 16 or 32 frames.
    """
    return max(1, 256 // frames) if torch.device(device).type == "cpu" else 32


def rows(values, part, count, what="target"):
    """Return the slice `part` of one value for each of `count` clips; None and single values serve every clip."""
    if values is None or isinstance(values, int):
        return values
    values = indices(values, None)
    if values.ndim == 0:
        return values
    check_count(values, count, what)
    return values[part]


def check_count(values, count, what="target"):
    """Raise InputError unless there is one value for each of `count` clips."""
    if tuple(values.shape) != (count,):
        found = len(values) if values.ndim == 1 else f"values of shape {list(values.shape)} as"
        raise InputError(f"there are {count} clips but {found} {what}s; give one class index per clip")


def scale(width, scores="auto"):
    """Return "softmax" or "sigmoid", the function that makes scores of a head of `width` logits.

    "auto" is the sigmoid for one logit, whose softmax is 1 whatever the clip, else the softmax. A head of many
    labels that do not exclude each other looks like any other: for it, say "sigmoid".
    """
    if scores not in SCORES:
        raise InputError(f"scores must be one of {', '.join(SCORES)}, not {scores!r}")
    if width == 1 and scores == "softmax":
        raise InputError("the softmax of a single logit is always 1; use scores='sigmoid' or 'auto'")
    return scores if scores != "auto" else "sigmoid" if width == 1 else "softmax"


def probabilities(logits, scores="auto"):
    """Return the scores of class logits [B, K], same shape: see `scale`."""
    return logits.sigmoid() if scale(logits.shape[1], scores) == "sigmoid" else logits.softmax(1)


@torch.no_grad()
def score(model, clips, targets, scores="auto"):
    """Return the score [B] of class targets[b] for each clip."""
    return probabilities(model(clips).float(), scores).gather(1, targets[:, None])[:, 0]
