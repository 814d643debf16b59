"""Late layers see few frames: relevance of one output step is zero outside its temporal receptive field.

Row i starts at one output step, so below the logits only a window of time steps can have relevance, and each
temporal kernel widens it. Meanwhile relevance is held as a Window and every rule works on the window only.
Operations that have no windowed form get the whole tensor back; from there on, nothing is skipped.
"""

import math

import torch
from torch.func import vjp, vmap

from .graph import opname
from .layers import Contrast, Shared, nonzero, transposed_convolution
from .memory import size
from .shares import Addition, Item, Passing, Routed, Sum

CPU_COMFORT = 24 * 2**20  # bytes of the largest tensor that goes on whole
SIZELESS = {"add", "sub", "mean", "sum"}  # averages and sums whose arguments hold no sizes


class Window:
    """Relevance [rows, *shape] of which only `length` steps of dimension `dim` are held, from `starts`."""

    def __init__(self, r, dim, starts, shape):
        self.r, self.dim, self.starts, self.shape = r, dim, starts, tuple(shape)
        self.length = r.shape[1 + dim]

    def place(self, starts, length):
        """Return the same relevance in larger windows, zero around it."""
        if list(starts) == list(self.starts) and length == self.length:
            return self.r
        shape = list(self.r.shape)
        shape[1 + self.dim] = length
        out = self.r.new_zeros(shape)
        for row, (old, new) in enumerate(zip(self.starts, starts, strict=True)):
            out[row].narrow(self.dim, old - new, self.length).copy_(self.r[row])
        return out

    def whole(self):
        """Return the relevance as a tensor [rows, *shape]."""
        return self.place([0] * len(self.starts), self.shape[self.dim])

    def cut(self, x, dim=None):
        """Return each row's window of a tensor that all rows share, [rows, ...]."""
        dim = self.dim if dim is None else dim
        return torch.stack([x.narrow(dim, start, self.length) for start in self.starts])

    def like(self, r, dim, shape):
        """Return the Window of the same steps, at dimension `dim` of a tensor of another shape."""
        return Window(r, dim, self.starts, shape)

    def settled(self):
        """Return self, or the plain tensor once the window holds every step."""
        return self.whole() if self.length >= self.shape[self.dim] else self


def count(r):
    """Return the number of targets of relevance in whatever form it is held."""
    if isinstance(r, dict):
        r = next(iter(r.values()))
    return len(r.starts if isinstance(r, Window) else r)


def too_large(r, step):
    """Whether the targets should go on in two halves: what a CPU's caches hold is several times as fast."""
    x = r.r if isinstance(r, Window) else r
    if not isinstance(x, torch.Tensor) or x.device.type != "cpu" or len(x) == 1:
        return False
    growth = max((size(source) for source in step.receivers), default=0) / max(1, size(step.node))
    return x.nbytes * max(1, growth) > CPU_COMFORT


def halves(r):
    """Return the first and the second half of the targets, in whatever form their relevance is held."""
    if isinstance(r, dict):
        parts = {index: halves(part) for index, part in r.items()}
        return [{index: part[half] for index, part in parts.items()} for half in (0, 1)]
    middle = count(r) // 2
    if isinstance(r, Window):
        return [Window(r.r[part], r.dim, r.starts[part], r.shape) for part in (slice(middle), slice(middle, None))]
    return [r[:middle], r[middle:]]


def merge(one, two):
    """Add the relevance of two users of a tensor, windows or not."""
    if isinstance(one, Window) and isinstance(two, Window) and one.dim == two.dim:
        size = one.shape[one.dim]
        first = [min(a, b) for a, b in zip(one.starts, two.starts, strict=True)]
        last = [max(a + one.length, b + two.length) for a, b in zip(one.starts, two.starts, strict=True)]
        length = max(b - a for a, b in zip(first, last, strict=True))
        starts = [min(a, size - length) for a in first]
        r = one.place(starts, length) + two.place(starts, length)
        return Window(r, one.dim, starts, one.shape).settled()
    return whole(one) + whole(two)


def cast(r, dtype):
    """Return relevance in numbers of type `dtype`."""
    if isinstance(r, dict):
        return {index: cast(part, dtype) for index, part in r.items()}
    return r.like(r.r.to(dtype), r.dim, r.shape) if isinstance(r, Window) else r.to(dtype)


def whole(r):
    """Return relevance as a plain tensor (or tensors)."""
    if isinstance(r, dict):
        return {index: whole(part) for index, part in r.items()}
    return r.whole() if isinstance(r, Window) else r


def down(step, shares, window):
    """Take a Window through one operation, as its shares' `down` does; plain tensors where that is all."""
    if isinstance(shares, Item):
        return [{shares.index: window}]
    for kind, function in (
        (Passing, _passing),
        (Contrast, _contrast),
        (Shared, _weights),
        (Addition, _addition),
        (Sum, _sum),
        (Routed, _routed),
    ):
        if isinstance(shares, kind):
            found = function(step, shares, window)
            if found is not None:
                return found
    return shares.down(window.whole())


def _passing(step, shares, window):
    return None if shares.tuple else [window]


def _contrast(step, shares, window):
    parts = [_weights(step, x, window) for x in (shares.target, shares.others)]
    if None in parts:
        return None
    one, two = (part[0] for part in parts)
    if isinstance(one, Window):
        return [one.like(one.r - two.r, one.dim, one.shape)]
    return [one - two]


def _weights(step, shares, window):
    """Layers with weights: time may not be the summed dimension, nor be strided."""
    found = _matrix(shares.linear, window) or _convolution(shares.linear, window)
    if found is None:
        return None
    transpose, starts, length = found
    sized = _sized(shares.linear.shape, window.dim, length)
    r = window.r.to(shares.precision)  # [rows, B, ..., window's length, ...]
    target = Window(window.r.new_empty(1).expand(len(starts), *sized), window.dim, starts, shares.linear.shape)
    total = None
    for number, (parts, inverse, _) in enumerate(shares.groups):
        s = r * window.cut(inverse)
        if number and not nonzero(s):
            continue
        for a, w in parts:
            term = transpose(s, w).mul_(target.cut(a))
            total = term if total is None else total.add_(term)
    if total is None:
        total = r.new_zeros(len(starts), *sized)
    return [Window(total, window.dim, starts, shares.linear.shape).settled()]


def _matrix(linear, window):
    """Return (transpose, starts, length) of a linear layer over another dimension than time, else None."""
    if linear.name != "linear" or not linear.first or window.dim >= len(linear.shape) - 1:
        return None
    return torch.matmul, window.starts, window.length


def _convolution(linear, window):
    """Return (transpose, starts, length) of a convolution that is not strided over time, else None."""
    if not linear.folds or linear.unbatched or window.dim < 2:
        return None
    stride, padding, dilation, flipped, *_ = linear.geometry()
    axis, dims = window.dim - 2, len(linear.shape) - 2
    stride, padding, dilation = ([x] * dims if isinstance(x, int) else list(x) for x in (stride, padding, dilation))
    if flipped or len(stride) != dims or stride[axis] != 1 or "same" in linear.rest[3:5]:
        return None
    reach = dilation[axis] * (linear.weight.shape[window.dim] - 1)
    size = linear.shape[window.dim]
    length = min(window.length + reach, size)
    starts = [max(0, min(start - padding[axis], size - length)) for start in window.starts]
    had = [start - padding[axis] for start in window.starts]  # where the transposed windows begin, outside too
    padding[axis] = 0
    shape = list(linear.shape)
    shape[window.dim] = window.length + reach

    def transpose(s, w):
        out = transposed_convolution(linear, s.flatten(0, 1), w, shape, padding).unflatten(0, s.shape[:2])
        return _crop(out, window.dim, had, starts, length)

    return transpose, starts, length


def _sized(shape, dim, length):
    return [length if i == dim else n for i, n in enumerate(shape)]


def _crop(x, dim, had, starts, length):
    """Move rows that begin at steps `had` into windows from `starts`; steps outside the clip are dropped."""
    if had == starts and x.shape[1 + dim] == length:
        return x
    out = x.new_zeros(len(x), *_sized(x.shape[1:], dim, length))
    for row, (old, new) in enumerate(zip(had, starts, strict=True)):
        first, last = max(old, new), min(old + x.shape[1 + dim], new + length)
        out[row].narrow(dim, first - new, last - first).copy_(x[row].narrow(dim, first - old, last - first))
    return out


def _addition(step, shares, window):
    return [window.like(window.r * window.cut(share), window.dim, window.shape) for share in shares.each]


def _sum(step, shares, window):
    """Sums of tensors of one shape, and averages over other dimensions than time."""
    dim = _kept(step.node, shares.shapes, window)
    if dim is None:
        return None
    if shares.constant:
        return [window]
    shapes = [_sized(shape, dim, window.length) for shape in shares.shapes]
    _, pull = vjp(shares.call, *(window.r.new_zeros(shape) for shape in shapes))
    totals = None
    for number, (addends, inverse) in enumerate(shares.groups):
        s = window.r * window.cut(inverse)
        if number and not nonzero(s):
            continue
        terms = [x * window.cut(a, dim) for x, a in zip(vmap(pull)(s), addends, strict=True)]
        totals = terms if totals is None else [t.add_(x) for t, x in zip(totals, terms, strict=True)]
    if totals is None:
        return None
    return [window.like(x, dim, shape) for x, shape in zip(totals, shares.shapes, strict=True)]


def _kept(node, shapes, window):
    """Return the inputs' dimension that the window's is, None where the sum goes over it or changes shapes."""
    name = opname(node)
    if name not in SIZELESS:
        return None
    if name not in ("mean", "sum"):
        return window.dim if all(tuple(shape) == window.shape for shape in shapes) else None
    given = node.args[1] if len(node.args) > 1 else None
    if not given:
        return None
    over = sorted(d % len(shapes[0]) for d in given)
    if len(node.args) > 2 and node.args[2]:  # summed dimensions are kept with length one
        return None if window.dim in over else window.dim
    return [d for d in range(len(shapes[0])) if d not in over][window.dim]


def _routed(step, shares, window):
    """Transpositions, views that leave time alone, concatenation along another dimension, scaling."""
    name, shape = opname(step.node), shares.shapes[0]
    dims = len(shape)
    if name in ("mul", "div"):
        same = tuple(shares.shapes[shares.takes[0]]) == window.shape
        return [window] if same else None
    if name == "transpose":
        a, b = (d % dims for d in step.node.args[1:3])
        dim = {a: b, b: a}.get(window.dim, window.dim)
        return [window.like(window.r.transpose(1 + a, 1 + b), dim, shape)]
    if name == "permute":
        order = [d % dims for d in step.node.args[1]]
        back = [order.index(d) for d in range(dims)]
        return [window.like(window.r.permute(0, *(1 + d for d in back)), order[window.dim], shape)]
    if name in ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"):
        before, size = math.prod(window.shape[: window.dim]), window.shape[window.dim]
        for dim, n in enumerate(shape):
            if n == size and math.prod(shape[:dim]) == before:
                r = window.r.reshape(-1, *_sized(shape, dim, window.length))
                return [window.like(r, dim, shape)]
    if name == "cat" and len(step.node.args[0]) == len(shares.shapes):
        dim = (step.node.args[1] if len(step.node.args) > 1 else 0) % dims
        if dim != window.dim:
            parts = window.r.split([s[dim] for s in shares.shapes], 1 + dim)
            return [window.like(r, window.dim, s) for r, s in zip(parts, shares.shapes, strict=True)]
    return None
