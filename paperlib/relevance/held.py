"""Relevance of one tensor on its way down: R itself, or the quotient R / a by the tensor's value a.

Quotients are what a gradient would be: most divisions by a sum and products with its addends cancel where they are
handed on. The value meant is the one behind the ReLU or norm that handed relevance on unchanged; it is carried along.

Late layers see few frames: relevance of one output step is zero outside its temporal receptive field. There only a
window of time steps is held, each temporal kernel widens it, and every rule works on the window only.
"""

import math

import torch

from .memory import size

CPU_COMFORT = 24 * 2**20  # bytes of the largest tensor that goes on whole
NOTHING = 1e12  # values of up to so many smallest normal numbers count as zero
TRACE = 1e-30  # of the relevance at the logits: so little changes no sum


class Held:
    """Relevance [rows, *shape] of a tensor: `r`, or `r` times the tensor's value `of` where that is given.

    filled: what `r` is where `of` is zero: the relevance itself, or (False) nothing that means anything, R being zero.
    own: whether nobody else holds the memory of `r`, so that it may be overwritten; never while autograd follows.
    dim, starts: of which dimension only some steps are held, and from where on for every row; None: all are held.
    """

    def __init__(self, r, of=None, filled=False, own=False, dim=None, starts=None, shape=None):
        self.r, self.of, self.filled, self.own = r, of, filled, own and not r.requires_grad
        self.dim, self.starts, self.shape = dim, starts, tuple(r.shape[1:] if shape is None else shape)
        if dim is not None and r.shape[1 + dim] >= self.shape[dim]:  # the window holds every step
            self.r, self.dim, self.starts = self.place([0] * len(r), self.shape[dim]), None, None

    @property
    def length(self):
        """The number of steps that are held of dimension `dim`."""
        return self.r.shape[1 + self.dim]

    def like(self, r, own=False, **changed):
        """Return `r` held as this is, but for what is `changed`: of, filled, dim, starts, shape."""
        now = dict(of=self.of, filled=self.filled, dim=self.dim, starts=self.starts, shape=self.shape)
        return Held(r, own=own, **{**now, **changed})

    def place(self, starts, length):
        """Return `r` in larger windows, zero around it."""
        return moved(self.r, self.dim, self.starts, starts, length)

    def whole(self):
        """Return the same with all steps."""
        if self.dim is None:
            return self
        r = self.place([0] * len(self.r), self.shape[self.dim])
        return self.like(r, True, dim=None, starts=None)

    def times(self, factor, keep=False):
        """Return `r` times a tensor that all rows share, in the finer numbers; keep: `r` is needed afterwards.

        Rounded first, a quotient that many places share would take one rounding error to all of them.
        """
        number = torch.promote_types(self.r.dtype, factor.dtype)
        free = self.own and not keep and self.r.dtype == number
        if self.dim is None:
            return self.r.mul_(factor) if free else self.r * factor
        out = self.r if free else torch.empty_like(self.r, dtype=number)
        for row, r in enumerate(self.r):
            torch.mul(r, self.within(factor, row), out=out[row])
        return out

    def within(self, x, row):
        """Return the steps of a tensor [*shape] that a row holds."""
        return x if self.dim is None else x.narrow(self.dim, self.starts[row], self.length)

    def among(self, channels):
        """Return what is held of some channels only."""
        shape = (self.shape[0], len(channels), *self.shape[2:])
        return self.like(self.r.index_select(2, channels), True, shape=shape)

    def plain(self):
        """Return the same as relevance itself."""
        if self.of is None:
            return self
        return self.like(self.times(reference(self.of, self.filled)), True, of=None, filled=False)

    def relevance(self):
        """Return the relevance as a tensor [rows, *shape]."""
        return self.plain().whole().r

    def plus(self, other):
        """Return the sum with what comes from another user of the same tensor."""
        one, two = self, other
        if one.of is None or two.of is None or not same(one.of, two.of):
            one, two = one.plain(), two.plain()
        elif one.filled != two.filled:  # what means nothing is zero
            one, two = (x if x.filled else x.like(x.times(living(x.of)), True, filled=True) for x in (one, two))
        if one.dim is None or one.dim != two.dim:
            one, two = one.whole(), two.whole()
        elif list(one.starts) != list(two.starts) or one.length != two.length:
            one, two = _around(one, two)
        if two.own:
            one, two = two, one
        return one.like(one.r.add_(two.r) if one.own and one.r.dtype == two.r.dtype else one.r + two.r, True)

    def without(self, trace):
        """Return the same with zero where there is up to `trace`."""
        if not trace or self.r.requires_grad:
            return self
        if self.own:
            torch.ops.aten.hardshrink.out(self.r, trace, out=self.r)
            return self
        return self.like(torch.nn.functional.hardshrink(self.r, trace), True)

    def half(self, part):
        """Return the rows of a slice."""
        starts = None if self.starts is None else self.starts[part]
        return self.like(self.r[part], self.own, starts=starts)

    def cast(self, number):
        """Return the same in numbers of type `number`."""
        return self if self.r.dtype == number else self.like(self.r.to(number), True)


def _around(one, two):
    """Return both in windows of one length that hold the steps of either."""
    size = one.shape[one.dim]
    first = [min(a, b) for a, b in zip(one.starts, two.starts, strict=True)]
    last = [max(a + one.length, b + two.length) for a, b in zip(one.starts, two.starts, strict=True)]
    length = max(b - a for a, b in zip(first, last, strict=True))
    starts = [min(a, size - length) for a in first]
    placed = [(x, x.place(starts, length)) for x in (one, two)]
    return [x.like(r, x.own or r is not x.r, starts=starts) for x, r in placed]


def moved(r, dim, had, starts, length):
    """Return rows that begin at the steps `had` in windows from `starts`: zero around them, cut off outside."""
    if list(had) == list(starts) and r.shape[1 + dim] == length:
        return r
    out = r.new_zeros(len(r), *sized(r.shape[1:], dim, length))
    for row, (old, new) in enumerate(zip(had, starts, strict=True)):
        first, last = max(old, new), min(old + r.shape[1 + dim], new + length)
        out[row].narrow(dim, first - new, last - first).copy_(r[row].narrow(dim, first - old, last - first))
    return out


def sized(shape, dim, length):
    """Return a shape with another length of one dimension."""
    return [length if i == dim else n for i, n in enumerate(shape)]


def zero(value):
    """Return where a tensor's value counts as zero."""
    return value.abs() <= NOTHING * torch.finfo(value.dtype).tiny


def living(value):
    """Return 1 where a value is not zero, else 0, in its numbers."""
    return (~zero(value)).to(value.dtype)


def reference(value, filled):
    """Return what a quotient by `value` is multiplied with to give relevance."""
    return torch.where(zero(value), 1, value) if filled else value


def same(one, two):
    """Whether two tensors have the same values."""
    if one is two or one.shape != two.shape:
        return one is two
    return (one.data_ptr() == two.data_ptr() and one.stride() == two.stride()) or torch.equal(one, two)


def each(function, held):
    """Apply a function to relevance in whatever form it is held, {index: ..} for an operation of several results."""
    if isinstance(held, dict):
        return {index: function(part) for index, part in held.items()}
    return function(held)


def plus(held, part, trace):
    """Add relevance that arrives at a node from one more user; of a sum, up to `trace` is left out."""
    if held is None:
        return part
    if isinstance(part, dict):
        return {key: plus(held.get(key), part[key], trace) if key in part else held[key] for key in held | part}
    return held.plus(part).without(trace)


def least(held):
    """Return how much relevance counts as none beside {node: relevance} that goes down.

    Every temporal kernel hands little to its farthest frame. In float32, after some thirty of them, that is less than
    the smallest normal number, with which a CPU takes a hundred times as long. Elsewhere it is 0.
    """
    parts = [part for here in held.values() for part in (here.values() if isinstance(here, dict) else [here])]
    if any(part.r.device.type != "cpu" or part.r.dtype not in (torch.float32, torch.bfloat16) for part in parts):
        return 0
    trace = TRACE * max((float(part.r.abs().max()) for part in parts if part.r.numel()), default=0)
    return trace if math.isfinite(trace) else 0


def count(held):
    """Return the number of rows."""
    return len(next(iter(held.values())).r if isinstance(held, dict) else held.r)


def too_large(held, step):
    """Whether the rows should go on in two halves: what a CPU's caches hold is several times as fast."""
    if isinstance(held, dict) or held.r.device.type != "cpu" or len(held.r) == 1:
        return False
    growth = max((size(source) for source in step.receivers), default=0) / max(1, size(step.node))
    return held.r.nbytes * max(1, growth) > CPU_COMFORT


def halves(held):
    """Return the first and the second half of the rows of {node: relevance}."""
    middle = count(next(iter(held.values()))) // 2
    parts = slice(middle), slice(middle, None)
    return [{node: each(lambda x, part=part: x.half(part), here) for node, here in held.items()} for part in parts]
