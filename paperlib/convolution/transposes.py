"""Convolutions and their gradients, faster on a CPU than PyTorch's own and equal to them up to rounding.

`transposed` takes an output gradient to the input; relevance goes down by it, and inside `fast_gradients` so do
the gradients of a network.
"""

import itertools

import torch
from torch.overrides import TorchFunctionMode

CONVOLVE = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
FEW = 8  # input channels up to which by_phases is the faster transpose, and taps up to which by_taps is


def transposed(s, w, shape, stride, padding, dilation, groups):
    """Return the input gradient of a convolution for output gradient `s`: [B, C', ...] -> `shape`, [B, C, ...]."""
    dims = w.dim() - 2
    stride, padding, dilation = (spread(x, dims) for x in (stride, padding, dilation))
    if pointwise(w, padding, groups):
        terms = mix(s, w.transpose(0, 1))
        if stride == [1] * dims:
            return terms
        out = s.new_zeros(shape)
        every(out, stride).copy_(terms)
        return out
    if groups == 1 and stride != [1] * dims and shape[1] <= FEW:
        return by_phases(s, w, shape, stride, padding, dilation)
    if stride == [1] * dims and len(w) == groups == shape[1] and few_taps(s, w):
        return by_taps(s, w, shape, padding, dilation)
    reach = [d * (k - 1) - p for d, k, p in zip(dilation, w.shape[2:], padding, strict=True)]
    if stride == [1] * dims and min(reach) >= 0:
        # a convolution with the flipped kernel: the same sum, and faster than autograd's transpose
        return convolve(s, flip(w, groups), stride, reach, dilation, groups)
    return by_autograd(s, w, shape, stride, padding, dilation, groups)


def by_autograd(s, w, shape, stride, padding, dilation, groups, output_padding=None):
    """Return what PyTorch gives; with `output_padding`, for a transposed convolution."""
    like = s.new_empty(1).expand(shape)  # only its shape is read
    dims, flipped = w.dim() - 2, output_padding is not None
    geometry = (*(spread(x, dims) for x in (stride, padding, dilation)), flipped, spread(output_padding or 0, dims))
    return torch.ops.aten.convolution_backward(s, like, w, None, *geometry, groups, [True, False, False])[0]


def spread(value, dims):
    """Return one number per dimension."""
    value = [value] if isinstance(value, int) else list(value)
    return value * dims if len(value) == 1 else value


def pointwise(w, padding, groups):
    """Whether a convolution only mixes the channels of single elements: a matrix product, twice as fast as one."""
    return groups == 1 and set(w.shape[2:]) == {1} and set(spread(padding, 1)) == {0}


def convolve(x, w, stride, padding, dilation, groups):
    """Return a convolution without bias, by oneDNN also where PyTorch falls back; one number per dimension."""
    if falls_back(x):
        return torch.mkldnn_convolution(x, w, None, padding, stride, dilation, groups)
    return CONVOLVE[w.dim() - 2](x, w, None, stride, padding, dilation, groups)


def falls_back(x):
    """Whether PyTorch computes this clip's 3D convolutions by its slow fallback, although oneDNN is there.

    It does for a single clip of at most 20,480 elements without the width (2.14), where oneDNN is 3 times as fast.
    """
    return (
        x.dim() == 5
        and len(x) == 1
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x[..., 0].numel() <= 20480
        and torch.backends.mkldnn.is_available()
    )


def mix(x, w):
    """Return the pointwise convolution of stride 1: [B, C, ...] -> [B, C', ...]."""
    return torch.bmm(w.flatten(1).expand(len(x), -1, -1), x.flatten(2)).unflatten(2, x.shape[2:])


def flattened(x, w, b, stride, padding, dilation, flipped, output_padding, groups):
    """Return (output steps, arguments of a 2D convolution) for a 3D convolution of one time step, None for others.

    Each output step takes the one frame by a tap of its own, so that they are so many times the output channels:
    the 2D convolution gives [B, C' * steps, H', W'].
    """
    if not single(x, w, flipped):
        return None
    taps = taps_of_one_step(w.shape[2], stride[0], padding[0], dilation[0])
    b = b if b is None else b.repeat_interleave(len(taps))
    rest = (stride[1:], padding[1:], dilation[1:], False, output_padding[1:], groups)
    return len(taps), x[:, :, 0], planes(w, taps), b, *rest


def flat_backward(s, x, w, bias, stride, padding, dilation, flipped, output_padding, groups, needs, backward):
    """Return the gradients of a 3D convolution of one time step by those of the 2D one, None for others.

    Arguments as of aten.convolution_backward, and `backward`, what computes that.
    """
    if not single(x, w, flipped):
        return None
    taps = taps_of_one_step(w.shape[2], stride[0], padding[0], dilation[0])
    rest = (stride[1:], padding[1:], dilation[1:], False, output_padding[1:], groups)
    own, weights, _ = backward(s.flatten(1, 2), x[:, :, 0], planes(w, taps), None, *rest, [*needs[:2], False])
    if needs[0]:
        own = own.unsqueeze(2)
    if needs[1]:
        each = weights.unflatten(0, (-1, len(taps))).transpose(1, 2)
        every_tap = w.new_zeros(*w.shape[:2], w.shape[2] + 1, *w.shape[3:])
        weights = every_tap.index_add_(2, torch.tensor(taps, device=w.device), each)[:, :, :-1].contiguous()
    return own, weights, s.sum((0, 2, 3, 4)) if needs[2] else None


def single(x, w, flipped):
    """Whether a convolution is a 3D one whose input has one time step."""
    return w.dim() == 5 and not flipped and x.shape[2] == 1


def taps_of_one_step(size, stride, padding, dilation):
    """Return the tap by which each output step reads the only input step, `size` (one past the last) for none."""
    found = []
    for step in range((2 * padding - dilation * (size - 1)) // stride + 1):
        tap, between = divmod(padding - step * stride, dilation)
        found.append(size if between or not 0 <= tap < size else tap)
    return found


def planes(w, taps):
    """Return the kernels [C' * steps, C, h, w] of the 2D convolution that reads one frame by these taps of `w`."""
    return torch.nn.functional.pad(w, (0, 0, 0, 0, 0, 1))[:, :, taps].transpose(1, 2).flatten(0, 1)


def every(x, stride):
    """Return a view of every stride-th element along the dimensions of [B, C, ...]."""
    return x[(..., *(slice(None, None, step) for step in spread(stride, x.dim() - 2)))]


def flip(w, groups):
    """Return the kernel of the transposed convolution of stride 1: flipped, inputs and outputs exchanged."""
    w = w.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return w.flip(*range(2, w.dim())).contiguous()


def by_phases(s, w, shape, stride, padding, dilation):
    """Transposed convolution of stride > 1 as one convolution of stride 1 per phase of the input grid.

    Input position q = stride * m + phase takes relevance through the taps t with t * dilation = phase +
    padding (mod stride) only. All phases are one convolution to stride-many times the channels: several times
    faster than autograd's transpose where the input has few channels, as in front of the first layer.
    """
    dims = w.dim() - 2
    reads = [taps_of_phases(*axis) for axis in zip(w.shape[2:], stride, padding, dilation, strict=True)]
    low = [min(o for phase in r for o in phase) for r in reads]
    high = [max(o for phase in r for o in phase) for r in reads]
    kernel = phase_kernel(w, reads, low, high)  # [phases x C, O, offsets..]
    cells = [-(-n // st) for n, st in zip(shape[2:], stride, strict=True)]  # positions m per dimension
    before = [-l for l in low]  # zeros that the first position needs in front of `s`
    after = [m - 1 + h - (n - 1) for h, n, m in zip(high, s.shape[2:], cells, strict=True)]
    padding = [max(b, a, 0) for b, a in zip(before, after, strict=True)]
    out = convolve(s, kernel, [1] * dims, padding, [1] * dims, 1)  # padding both ends alike saves a copy of `s`
    out = out[(..., *(slice(p - b, p - b + m) for p, b, m in zip(padding, before, cells, strict=True)))]
    out = out.unflatten(1, (*stride, shape[1]))  # [B, phases.., C, cells..]
    interleaved = [place for i in range(dims) for place in (dims + 2 + i, 1 + i)]
    out = out.permute([0, dims + 1, *interleaved])  # [B, C, cells, phases, cells, phases, ..]
    for i in range(dims):
        out = out.flatten(2 + i, 3 + i)
    return out[(..., *(slice(n) for n in shape[2:]))]


def few_taps(s, w):
    """Whether `by_taps` is the faster and as exact transpose for a kernel of separate channels."""
    return w[0, 0].numel() <= FEW and s.device.type == "cpu" and s.dtype in (torch.float32, torch.float64)


def by_taps(s, w, shape, padding, dilation):
    """Transposed convolution of stride 1 of separate channels: the output gradient, moved and scaled, once per tap."""
    out = s.new_zeros(shape)
    for tap in itertools.product(*map(range, w.shape[2:])):
        away = [t * d - p for t, d, p in zip(tap, dilation, padding, strict=True)]  # input step of the first output
        first = [max(0, a) for a in away]
        last = [max(f, min(n, a + m)) for f, n, a, m in zip(first, shape[2:], away, s.shape[2:], strict=True)]
        here = [slice(f, l) for f, l in zip(first, last, strict=True)]
        there = [slice(f - a, l - a) for f, l, a in zip(first, last, away, strict=True)]
        out[(..., *here)].addcmul_(s[(..., *there)], w[(slice(None), 0, *tap)].view(-1, *[1] * len(tap)))
    return out


def taps_of_phases(size, stride, padding, dilation):
    """Return for each phase of one dimension {offset of the output position relative to m: tap}."""
    found = []
    for phase in range(stride):
        away = [(t, phase + padding - t * dilation) for t in range(size)]  # input steps from the output position
        found.append({steps // stride: t for t, steps in away if steps % stride == 0})
    return found


def phase_kernel(w, reads, low, high):
    """Return the kernel [phases x C, O, offsets..] of the convolution of stride 1 that makes all phases at once.

    w: [O, C, taps..]; reads: per dimension what `taps_of_phases` returns; low, high: its extreme offsets.
    """
    dims = len(reads)
    kernel = torch.nn.functional.pad(w.transpose(0, 1), [0, 1] * dims)  # the last tap, read by none, is zero
    for i, (r, l, h, size) in enumerate(zip(reads, low, high, w.shape[2:], strict=True)):
        taps = torch.tensor([[phase.get(o, size) for o in range(l, h + 1)] for phase in r], device=w.device)
        kernel = kernel.index_select(2 + 2 * i, taps.flatten()).unflatten(2 + 2 * i, taps.shape)
    phases, offsets = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    return kernel.permute(*phases, 0, 1, *offsets).flatten(0, dims)


class fast_gradients(TorchFunctionMode):
    """Inside this context, convolutions on a CPU take gradients to their input by `transposed`.

    Gradients of weights and second derivatives are PyTorch's own.
    """

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function in CONVOLVE.values():
            given = _geometry(*arguments, **(keywords or {}))
            if given is not None:
                return _Convolution.apply(*given)
        return function(*arguments, **(keywords or {}))


def _geometry(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Return a convolution's arguments, or None where it is left to PyTorch."""
    batched = input.dim() == weight.dim()
    if not batched or input.device.type != "cpu" or isinstance(padding, str) or not torch.is_grad_enabled():
        return None
    if torch.is_autocast_enabled("cpu"):  # the network's own, which casts what is convolved
        return None
    return input, weight, bias, *(spread(x, weight.dim() - 2) for x in (stride, padding, dilation)), groups


class _Convolution(torch.autograd.Function):
    """A convolution whose input gradient is `transposed`."""

    @staticmethod
    def forward(context, x, w, b, stride, padding, dilation, groups):
        context.save_for_backward(x, w)
        context.geometry = (stride, padding, dilation, groups)
        context.bias = None if b is None else b.shape
        return CONVOLVE[w.dim() - 2](x, w, b, stride, padding, dilation, groups)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, s):
        x, w = context.saved_tensors
        stride, padding, dilation, groups = context.geometry
        needs, found = context.needs_input_grad, [None, None, None]
        if any(needs[1:3]):
            found = torch.ops.aten.convolution_backward(
                s, x, w, context.bias, stride, padding, dilation, False, [0] * len(stride), groups, [False, *needs[1:3]]
            )
        own = transposed(s, w, x.shape, *context.geometry) if needs[0] else None
        return own, found[1], found[2], None, None, None, None
