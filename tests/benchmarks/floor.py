"""The least that relevance can cost: its transposed convolutions alone, as the device's library computes them."""

import contextlib
import math
import time
from collections import Counter

import torch

from paperlib.convolution.transposes import spread
from paperlib.relevance import held, layers, parts

from .timing import seconds


@contextlib.contextmanager
def recorded():
    """Yield a Counter of the transposed convolutions that relevance computes inside the context.

    A key is (shape of the output gradient, of the weight, of the input, stride, padding, dilation, groups, dtype).
    """
    found, original = Counter(), layers.transposed

    def noting(s, w, shape, stride, padding, dilation, groups):
        geometry = (tuple(spread(x, w.dim() - 2)) for x in (stride, padding, dilation))
        found[(tuple(s.shape), tuple(w.shape), tuple(shape), *geometry, groups, s.dtype)] += 1
        return original(s, w, shape, stride, padding, dilation, groups)

    layers.transposed = noting
    try:
        yield found
    finally:
        layers.transposed = original


PARTS = {  # what relevance cannot do without, besides a forward pass, and where it is computed
    "transposed": (layers, "transposed"),  # convolutions, the floor
    "products": (held.Held, "times"),  # one of every layer, c * q
    "sums": (held.Held, "plus"),  # where two users of a tensor meet
    "inverses": (parts.Shared, "_inverse"),  # q of every layer, once per clip: a forward pass with w+
}


@contextlib.contextmanager
def timed():
    """Yield {part: seconds} that relevance spends in each of PARTS inside the context (CPU), nothing counted twice."""
    found, running = dict.fromkeys(PARTS, 0.0), []

    def watched(part, function):
        def timing(*arguments, **options):
            began, inside = time.perf_counter(), sum(found.values())
            running.append(part)
            try:
                return function(*arguments, **options)
            finally:
                running.pop()
                if part not in running:
                    found[part] += time.perf_counter() - began - (sum(found.values()) - inside)

        return timing

    before = {part: getattr(owner, name) for part, (owner, name) in PARTS.items()}
    for part, (owner, name) in PARTS.items():
        setattr(owner, name, watched(part, before[part]))
    try:
        yield found
    finally:
        for part, (owner, name) in PARTS.items():
            setattr(owner, name, before[part])


def macs(calls):
    """Return the multiply-accumulates of recorded transposed convolutions: one weight per output element and tap."""
    return sum(count * math.prod(s) * math.prod(w[1:]) for (s, w, *_), count in calls.items())


def floor(calls, device, channels_last=False, repeats=2):
    """Return the seconds of recorded transposed convolutions alone, as backward-data convolutions of the library.

    On an NVIDIA GPU that is cuDNN. Every shape is timed by itself and multiplied by how often it occurs.
    channels_last: whether tensors have their channels innermost in memory.
    """
    total = 0.0
    for (s, w, shape, stride, padding, dilation, groups, dtype), count in calls.items():
        layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(len(s)) if channels_last else None
        layout = layout or torch.contiguous_format
        s, w = (torch.rand(x, device=device).to(dtype).contiguous(memory_format=layout) for x in (s, w))
        like = torch.empty(shape, device=device, dtype=dtype).contiguous(memory_format=layout)
        geometry = (list(stride), list(padding), list(dilation), False, [0] * len(stride), groups)

        def backward(s=s, like=like, w=w, geometry=geometry):
            torch.ops.aten.convolution_backward(s, like, w, None, *geometry, [True, False, False])
            synchronise(device)

        total += count * seconds(backward, repeats)
    return total


def synchronise(device):
    """Wait until the device has computed everything it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
