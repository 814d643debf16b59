"""Half precision on a CPU only where it was seen to be right on the processor at hand.

oneDNN under PyTorch 2.14 returns memory that was never written from 3D convolutions in bfloat16 on processors with
AMX, where the input has one time step and 1, 3, 5, 7, 9, 12 or 15 channels; what other processors and versions do
is not known beforehand. Inside `checked`, convolutions of one time step become the 2D convolutions that they are,
and every shape of a convolution or matrix product is compared with float32 before its first use.
"""

import contextlib
import math
import warnings

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from .transposes import flat_backward, flattened

aten = torch.ops.aten
NUMBERS = (torch.bfloat16, torch.float16)
CONVOLUTIONS = {aten.convolution.default, aten.convolution_backward.default}
PRODUCTS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default, aten.mv.default}
# right, but 4 to 13 times as long as in float32 where there are 16 to 128 tokens
SLOW = {aten._scaled_dot_product_flash_attention_for_cpu_backward.default}
LOOKED_AT = CONVOLUTIONS | PRODUCTS | SLOW
WITHIN = 0.02  # of the largest entry; rounding alone makes less than a third of it
EFFORT = 2**25  # multiplications that one comparison may take, a few milliseconds
ROWS = 64  # of a matrix product that are compared

_right = {}  # shapes seen -> whether half precision is right for them; kept as long as the process lives


def checked(number, device):
    """Return a context in which CPU operations in `number` (a torch.dtype or None) are only used where right.

    Gradients taken inside it are looked at as well. Elsewhere, and for other numbers, it does nothing.
    """
    return Checked() if number in NUMBERS and torch.device(device).type == "cpu" else contextlib.nullcontext()


@contextlib.contextmanager
def uncast():
    """Let the caller's autocast have no effect: explanations are of the network in its own numbers."""
    with contextlib.ExitStack() as stack:
        for kind in ("cpu", "cuda", "mps", "xpu"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def number(model):
    """Return the type of a network's numbers, that of its first weight, or None where it has none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)


@contextlib.contextmanager
def widened(model):
    """Hold the half-precision weights and buffers of a network in float32; afterwards they are what they were."""
    held = [(x, x.data) for x in (*model.parameters(), *model.buffers()) if x.dtype in NUMBERS]
    try:
        for x, narrow in held:
            x.data = narrow.float()
        yield model
    finally:
        for x, narrow in held:
            x.data = narrow


class Checked(TorchDispatchMode):
    """Sends the operations of CONVOLUTIONS and PRODUCTS in half precision through `_run`, those of SLOW to float32."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in LOOKED_AT and _halved(args):
            widened = kwargs or function in SLOW
            return _in_float32(function, args, **(kwargs or {})) if widened else _run(function, args)
        return function(*args, **(kwargs or {}))


def _halved(args):
    first = next(x for x in args if isinstance(x, torch.Tensor))
    recorded = isinstance(first, FakeTensor)  # torch.export runs a network without numbers
    return first.dtype in NUMBERS and first.device.type == "cpu" and not recorded


def _run(function, args):
    """Compute an operation in half precision if that is right, else in float32."""
    if function is aten.convolution.default:
        flat = flattened(*args)
        if flat is not None:
            steps, *args = flat
            return _run(function, args).unflatten(1, (-1, steps))
    elif function is aten.convolution_backward.default:
        found = flat_backward(*args, backward=lambda *given: _run(function, given))
        if found is not None:
            return found
    shapes = _fewer_pixels(function, args) if function in CONVOLUTIONS else _fewer_rows(args)
    layouts = [_layout(x) if isinstance(x, torch.Tensor) else None for x in args]
    rest = [tuple(x) if isinstance(x, list) else x for x in args if not isinstance(x, torch.Tensor)]
    key = (function, args[0].dtype, torch.get_num_threads(), *shapes, *layouts, *rest)
    if key not in _right:
        _right[key] = _is_right(function, _sample(args, shapes, layouts))
        if not _right[key] and list(_right.values()).count(False) == 1:
            warnings.warn(_sentence(function, args), stacklevel=3)
    return function(*args) if _right[key] else _in_float32(function, args)


def _sentence(function, args):
    name, number = function.overloadpacket.__name__, str(args[0].dtype).removeprefix("torch.")
    shapes = " and ".join(str(list(x.shape)) for x in args if isinstance(x, torch.Tensor))
    return (
        f"{name} of {shapes} in {number} is wrong on this processor; it and other operations for which that is so "
        "are computed in float32"
    )


def _layout(x):
    """Return the memory format that a copy of the tensor should have."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    last = formats.get(x.dim())
    fits = last is not None and not x.is_contiguous() and x.is_contiguous(memory_format=last)
    return last if fits else torch.contiguous_format


def _in_float32(function, args, **keywords):
    """Compute in float32 what was asked in half precision."""
    number = args[0].dtype
    found = function(*map(_wide, args), **{name: _wide(x) for name, x in keywords.items()})
    if isinstance(found, tuple):
        return tuple(x if x is None else x.to(number) for x in found)
    return found.to(number)


def _wide(x):
    """Return a half-precision tensor in float32, anything else as it is."""
    return x.float() if isinstance(x, torch.Tensor) and x.dtype in NUMBERS else x


def _is_right(function, args):
    """Whether an operation gives in half precision what it gives in float32, up to rounding."""
    truth = _in_float32(function, args)
    truth = truth if isinstance(truth, tuple) else (truth,)
    for x in truth:  # what is freed here and then never written shows as NaN
        if x is not None:
            torch.full_like(x, torch.nan)
    try:
        found = function(*args)
    except RuntimeError:  # oneDNN has no half precision for this shape here
        return False
    found = found if isinstance(found, tuple) else (found,)
    return all(_close(x.float(), y.float()) for x, y in zip(found, truth, strict=True) if y is not None)


def _close(x, truth):
    return bool((x - truth).abs().max() <= WITHIN * truth.abs().max())  # False for NaN


def _sample(args, shapes, layouts):
    """Return the arguments with random tensors of other shapes in place of the given ones."""
    generator, found = torch.Generator().manual_seed(0), list(args)
    for i, (x, shape, layout) in enumerate(zip(args, shapes, layouts, strict=True)):
        if shape is not None:
            found[i] = torch.randn(shape, generator=generator).to(x.dtype).contiguous(memory_format=layout)
    return found


def _shapes(args):
    return [tuple(x.shape) if isinstance(x, torch.Tensor) else None for x in args]


def _fewer_rows(args):
    """Return the shapes of a matrix product of few rows: of the left factor and of what is added."""
    shapes = _shapes(args)
    *left, last = (i for i, shape in enumerate(shapes) if shape is not None)
    for i in (*left, last):
        shape = list(shapes[i])
        if len(shape) == 3:
            shape[0] = 1
        if i != last and len(shape) > 1:
            shape[-2] = min(ROWS, shape[-2])
        shapes[i] = tuple(shape)
    return shapes


def _fewer_pixels(function, args):
    """Return the shapes of a convolution of one clip, of full width and as high as EFFORT allows."""
    shapes = _shapes(args)
    place = 0 if function is aten.convolution.default else 1  # behind the output's gradient
    x, w = list(shapes[place]), shapes[place + 1]
    stride, padding, dilation, flipped, output_padding = args[place + 3 : place + 8]
    x[0] = 1
    if len(x) > 3:
        reach = dilation[-2] * (w[-2] - 1)
        x[-2] = min(x[-2], max(reach + 1, x[-2] * EFFORT // (math.prod(w) * math.prod(x[2:]))))
        if place:
            if flipped:
                rows = (x[-2] - 1) * stride[-2] - 2 * padding[-2] + reach + output_padding[-2] + 1
            else:
                rows = (x[-2] + 2 * padding[-2] - reach - 1) // stride[-2] + 1
            shapes[0] = (1, *shapes[0][1:-2], rows, shapes[0][-1])
    elif place:
        shapes[0] = (1, *shapes[0][1:])
    shapes[place] = tuple(x)
    return shapes
