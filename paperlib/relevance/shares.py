"""The rules at work: for one operation of one forward pass, the shares c_ij / sum_i' c_i'j of rules.py.

Shares are a linear map: `down` takes the relevance of the output to the inputs (R_i = sum_j share_ij R_j), with a
leading dimension over targets, [targets, *shape], which all share the one forward pass that made the denominators.
Lists hold one tensor per clip-dependent input. `carry`, where there is one, is `down` for relevance as it is Held:
quotients and windows of time.
"""

import math
import warnings

import torch
from torch import fx
from torch.func import vjp, vmap

from ..tracing.slices import opname
from . import attention
from . import rules as R
from .attention import SIGNS
from .held import Held, each, same, sized
from .parts import Shared, weighted
from .pooling import windows

POOLED = {"max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"}
SIZELESS = {"add", "sub", "mean", "sum"}  # averages and sums whose arguments hold no sizes
VIEWS = {"view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"}


def prepare(step, values, bounds=None, contrast=False, precision=None):
    """Return the Shares of a Step, given the `values` of all nodes in the forward pass.

    bounds: (low, high) of the input of a layer that sees the clip. contrast: whether the last layer's shares
    are the difference between its weights and its negated weights (CLRP, equation 2).
    """
    kind = step.kind
    if kind == "identity":
        several = isinstance(step.node.meta["val"], (tuple, list))
        return Handing(lambda held: [held[0] if several else held])
    if kind == "exclude":
        return Handing(lambda held: [])
    if kind == "item":
        return Handing(lambda held: [{step.node.args[1]: held}])
    if kind == "weights":
        return weighted(step, values, bounds, contrast, precision)
    inputs = [values[source] for source in step.receivers]
    call = Call(step.node, step.receivers, values)
    if kind in ("route", "gate"):
        return Routed(call, inputs, step.takes, values[step.node])
    if kind == "attention":
        return Averaged(call, inputs, step.takes[0], step.rule)
    if kind in attention.KINDS:
        return attention.shares(step, call, inputs, values)
    if kind == "sum":
        return summed(step, call, inputs, precision)
    if opname(step.node) in POOLED:
        return MaxPooled(step.node, inputs[0], values[step.node])
    return Largest(call, inputs[0])


def carry(shares, held, number):
    """Take Held relevance through any shares, a Held for every input; number: the network's numbers."""
    if isinstance(shares, (Shared, Handing)):
        return shares.carry(held)
    held = each(lambda x: x.cast(number), held)
    if hasattr(shares, "carry"):
        return shares.carry(held)
    return [each(lambda x: Held(x, own=True), part) for part in shares.down(each(Held.relevance, held))]


def _over_targets(pull, r):
    """Return pull(r) for each target; where torch does that one by one, it advises its developers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        return vmap(pull)(r)


class Call:
    """An operation as a function of its clip-dependent tensors, everything else fixed."""

    def __init__(self, node, receivers, values):
        self.node = node
        self.moving = set(receivers)
        self.fixed = fx.map_arg((_bounded(node), node.kwargs), lambda x: x if x in self.moving else values[x])

    def __call__(self, *tensors):
        given = iter(tensors)
        args, kwargs = fx.map_arg(self.fixed, lambda x: next(given))
        return self.node.target(*args, **kwargs)


def _bounded(node):
    """Return a node's arguments, slices with both ends within 0 and the size: vmap needs that."""
    place = {"slice": 1, "slice_scatter": 2}.get(opname(node))
    if place is None or len(node.args) <= place:
        return node.args
    args = list(node.args)
    size = args[0].meta["val"].shape[args[place]]
    for i in range(place + 1, min(len(args), place + 3)):
        if args[i] is not None:
            args[i] = max(0, min(args[i] + size if args[i] < 0 else args[i], size))
    return tuple(args)


class Handing:
    """Relevance is handed on as it is held, or dropped."""

    def __init__(self, carry):
        self.carry = carry


class Routed:
    """Copies: views, slices, concatenations; also products and constant addends, where the signal takes everything."""

    def __init__(self, call, inputs, takes, value, signal=None):
        self.call, self.takes, self.inputs, self.value = call, takes, inputs, value
        self.name = opname(call.node)
        self.signal = self.name in ("mul", "div") if signal is None else signal
        self.shapes = [x.shape for x in inputs]
        self.same = self.signal and self.shapes[takes[0]] == call.node.meta["val"].shape
        self.referred = []  # (value of arriving quotients, what quotients by it refer to below)

    def _function(self, *tensors):
        if self.signal:  # of a product only the signal's shape matters
            return tensors[0].expand(self.call.node.meta["val"].shape)
        return self.call(*tensors)

    def _zeros(self):
        which = self.takes if self.signal else range(len(self.shapes))
        return [self.inputs[i].new_zeros(self.shapes[i]) for i in which]

    def carry(self, held):
        if self.same:
            return [held]
        if isinstance(held, dict):
            return [Held(x, own=True) for x in self.down({index: part.relevance() for index, part in held.items()})]
        values = None if held.of is None else self._values(held.of)
        moved = self._moved(held if values else held.plain())
        return [x.like(x.r, x.own, of=of) for x, of in zip(moved, values, strict=True)] if values else moved

    def _values(self, of):
        """Return the inputs' values to which quotients by `of` refer below, None where there are none."""
        for known, values in self.referred:
            if known is of:
                return values
        values = None
        if not self.signal and same(of, self.value) and self.name != "cat":
            values = [self.inputs[i] for i in self.takes]
        elif not self.signal and all(bool((x.r <= 1).all()) for x in self._moved(Held(torch.ones_like(of)[None]))):
            values = [x.r[0] for x in self._moved(Held(of[None]))]  # every input has one copy at most
        self.referred.append((of, values))
        return values

    def _moved(self, held):
        """Return what is held of the output as held of the inputs; quotients still refer to the output's value."""
        moved = self._relabelled(held)
        if moved is None:
            held = held.whole()
            moved = [held.like(r, held.own, shape=r.shape[1:]) for r in self.down(held.r)]
        return moved

    def down(self, r):
        outputs, pull = vjp(self._function, *self._zeros())
        if isinstance(outputs, (tuple, list)):
            lead = next(iter(r.values())).shape[:1]
            r = type(outputs)(r.get(i, x.new_zeros(lead + x.shape)) for i, x in enumerate(outputs))
        pulled = _over_targets(pull, r)
        return list(pulled) if self.signal else [pulled[i] for i in self.takes]

    def _relabelled(self, held):
        """Transpositions, views that leave a window's time alone, concatenation along others: no copy; else None."""
        shape, dims, arguments = self.shapes[0], len(self.shapes[0]), self.call.node.args
        if self.name == "transpose":
            a, b = (d % dims for d in arguments[1:3])
            dim = {a: b, b: a}.get(held.dim, held.dim)  # None stays None
            return [held.like(held.r.transpose(1 + a, 1 + b), held.own, dim=dim, shape=shape)]
        if self.name == "permute":
            order = [d % dims for d in arguments[1]]
            back = [order.index(d) for d in range(dims)]
            r = held.r.permute(0, *(1 + d for d in back))
            return [held.like(r, held.own, dim=held.dim if held.dim is None else order[held.dim], shape=shape)]
        if self.name in VIEWS and held.dim is None:
            return [held.like(held.r.reshape(-1, *shape), held.own, shape=shape)]
        if self.name in VIEWS:
            before, size = math.prod(held.shape[: held.dim]), held.shape[held.dim]
            for dim, n in enumerate(shape):
                if n == size and math.prod(shape[:dim]) == before:
                    r = held.r.reshape(-1, *sized(shape, dim, held.length))
                    return [held.like(r, held.own, dim=dim, shape=shape)]
        if self.name == "cat" and len(arguments[0]) == len(self.shapes):
            dim = (arguments[1] if len(arguments) > 1 else 0) % dims
            if dim != held.dim:
                parts = held.r.split([s[dim] for s in self.shapes], 1 + dim)
                return [held.like(r, held.own, shape=s) for r, s in zip(parts, self.shapes, strict=True)]
        return None


class Adding:
    """A sum or average as a function of its addends and of which outputs are meant (None for all), for Shared."""

    stacks = False

    def __init__(self, node, call, inputs):
        self.node, self.call, self.inputs = node, call, inputs
        self.shapes = [x.shape for x in inputs]
        # an element of every addend each, all of them as they are
        self.plain = opname(node) == "add" and len(set(self.shapes)) == 1 and node.kwargs.get("alpha", 1) == 1

    def __call__(self, addends, outputs=None):
        z = self.call(*addends)
        return z if outputs is None else z * outputs

    def pulling(self, held):
        """Return (held, pull, places) as `Linear.pulling` does."""
        dim = None if held.dim is None else self._kept(held)
        held = held.whole() if dim is None else held
        shapes = [shape if dim is None else sized(shape, dim, held.length) for shape in self.shapes]

        def pull(s, outputs=None):
            s = s if outputs is None else held.like(s).times(outputs)
            if self.plain:
                return [s] * len(shapes)
            _, back = vjp(self.call, *(s.new_zeros(1).expand(shape) for shape in shapes))
            return list(_over_targets(back, s))

        return held, pull, [dict(dim=dim, starts=held.starts, shape=shape) for shape in self.shapes]

    def _kept(self, held):
        """Return the inputs' dimension that the window's is, None where the sum goes over it or changes shapes."""
        name = opname(self.node)
        if name not in SIZELESS:
            return None
        if name not in ("mean", "sum"):
            return held.dim if all(tuple(shape) == held.shape for shape in self.shapes) else None
        given = self.node.args[1] if len(self.node.args) > 1 else None
        if not given:
            return None
        over = sorted(d % len(self.shapes[0]) for d in given)
        if len(self.node.args) > 2 and self.node.args[2]:  # summed dimensions are kept with length one
            return None if held.dim in over else held.dim
        return [d for d in range(len(self.shapes[0])) if d not in over][held.dim]


def summed(step, call, inputs, precision=None):
    """Return the shares of a sum or average."""
    name, rule = opname(step.node), step.rule
    flip = [1] * len(inputs)
    if len(inputs) == 2 and name in SIGNS:
        alpha = step.node.kwargs.get("alpha", 1)
        flip = [sign * (-1 if scaled and alpha < 0 else 1) for sign, scaled in SIGNS[name]]
    plus = name in ("add", "sub", "rsub")
    if plus and len(inputs) == 1:
        if isinstance(rule, R.Proportional) and rule.bias:
            return attention.Offset(step, inputs[0], call)
        return Routed(call, inputs, [0], None, signal=True)  # the constant is a bias, whatever its sign and factor
    adding, ones = Adding(step.node, call, inputs), [torch.ones_like(x) * f for x, f in zip(inputs, flip, strict=True)]
    if isinstance(rule, R.EqualShares):
        return Shared(adding, [(ones, None)])
    signed = isinstance(rule, R.Epsilon) or rule.signed
    elementwise = len(inputs) == 2 and plus and inputs[0].shape == inputs[1].shape
    parts = [(inputs, None)] if signed else of_one_sign(adding, flip, elementwise)
    return Shared(adding, parts, lambda: [[(ones, None)]], None, rule.epsilon, precision if elementwise else None)


def of_one_sign(adding, flip, elementwise=False):
    """Return the parts of a sum in which only addends of the result's sign take part.

    flip: the addends' signs in the sum. elementwise: whether every addend has an element for every output.
    """
    inputs = adding.inputs
    if not any(bool((x * f < 0).any()) for x, f in zip(inputs, flip, strict=True)):
        return [(inputs, None)]
    rising = [(x * f).clamp(min=0) * f for x, f in zip(inputs, flip, strict=True)]
    falling = [(x * f).clamp(max=0) * f for x, f in zip(inputs, flip, strict=True)]
    falls = adding(rising) + adding(falling) < 0
    if elementwise:
        return [([torch.where(falls, y, x) for x, y in zip(rising, falling, strict=True)], None)]
    falls = falls.to(inputs[0].dtype)
    return [(rising, 1 - falls), (falling, falls)]


class Averaged(Shared):
    """Attention: an average of values whose weights, being gates, count as constants."""

    def __init__(self, call, inputs, signal, rule):
        gate, values = inputs[1 - signal], inputs[signal]
        self.call, self.inputs = call, inputs

        def mix(x):
            return call(*((x, gate) if signal == 0 else (gate, x)))

        adding, ones = Adding(call.node, mix, [values]), [torch.ones_like(values)]
        parts = [(ones, None)] if rule.even else [([values], None)] if rule.signed else of_one_sign(adding, [1])
        super().__init__(adding, parts, lambda: [[(ones, None)]])


class MaxPooled:
    """Max pooling: a window's largest input, or equally its largest inputs."""

    def __init__(self, node, a, value):
        self.windows = windows(node, a)
        self.tuple = isinstance(node.meta["val"], (tuple, list))
        self.a, self.value = a, value[0] if self.tuple else value

    def carry(self, held):
        held = (held[0] if self.tuple else held).whole()
        if held.of is not None and not same(held.of, self.value):
            held = held.plain()
        of = None if held.of is None else self.a
        r = self.windows.down(held.r, zeros=of is None or held.filled)
        return [Held(r, of, held.filled, own=True)]


class Largest:
    """Other maxima: whatever the operation's own gradient picks, ties shared as autograd shares them."""

    def __init__(self, call, a):
        self.call, self.a = call, a
        self.tuple = isinstance(call.node.meta["val"], (tuple, list))

    def _function(self, x):
        out = self.call(x)
        return out[0] if self.tuple else out

    def down(self, r):
        _, pull = vjp(self._function, self.a)
        return list(_over_targets(pull, r[0] if self.tuple else r))
