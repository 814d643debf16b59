"""The rules at work: for one operation of one forward pass, the shares c_ij / sum_i' c_i'j of rules.py.

Shares are a linear map. `down` takes the relevance of the output to the inputs (R_i = sum_j share_ij R_j);
`up` is its transpose (P_j = sum_i share_ij P_i): where P_i is the part of an input's relevance that goes to
some frame, P_j is the part of the output's. Both take a leading dimension over targets, [targets, *shape],
which all share the one forward pass that made the denominators. Lists hold one tensor per clip-dependent
input.
"""

import torch
from torch import fx
from torch.func import vjp, vmap

from . import attention
from . import rules as R
from .attention import SIGNS
from .graph import opname
from .layers import nonzero, reciprocal, weighted
from .pooling import windows

POOLED = {"max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"}


def prepare(step, values, bounds=None, contrast=False, precision=None):
    """Return the Shares of a Step, given the `values` of all nodes in the forward pass.

    bounds: (low, high) of the input of a layer that sees the clip. contrast: whether the last layer's shares
    are the difference between its weights and its negated weights (CLRP, equation 2).
    """
    kind = step.kind
    if kind == "identity":
        return Passing(step)
    if kind == "exclude":
        return Nothing()
    if kind == "item":
        return Item(step.node.args[1])
    inputs = [values[source] for source in step.receivers]
    if kind == "weights":
        return weighted(step, values, inputs, bounds, contrast, precision)
    call = Call(step.node, step.receivers, values)
    if kind in ("route", "gate"):
        return Routed(call, inputs, step.takes)
    if kind == "attention":
        return Averaged(call, inputs, step.takes[0], step.rule)
    if kind in attention.KINDS:
        return attention.shares(step, call, inputs, values)
    if kind == "sum":
        return summed(step, call, inputs, precision)
    if opname(step.node) in POOLED:
        return MaxPooled(step.node, inputs[0])
    return Largest(call, inputs[0])


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


class Nothing:
    """Exclude: no input takes anything."""

    def down(self, r):
        return []

    def up(self, p):
        return None


class Passing:
    """Identity."""

    def __init__(self, step):
        self.tuple = isinstance(step.node.meta["val"], (tuple, list))

    def down(self, r):
        return [r[0] if self.tuple else r]

    def up(self, p):
        return {0: p[0]} if self.tuple else p[0]


class Item:
    """One part of an operation that returns several tensors."""

    def __init__(self, index):
        self.index = index

    def down(self, r):
        return [{self.index: r}]

    def up(self, p):
        return p[0].get(self.index)


class Routed:
    """Copies: views, slices, concatenations; also products, where the signal takes everything."""

    def __init__(self, call, inputs, takes):
        self.call, self.takes = call, takes
        self.shapes = [x.shape for x in inputs]
        self.like = inputs[0]
        self.signal = opname(call.node) in ("mul", "div")

    def _function(self, *tensors):
        if self.signal:  # of a product only the signal's shape matters
            return tensors[0].expand(self.call.node.meta["val"].shape)
        return self.call(*tensors)

    def _zeros(self):
        which = self.takes if self.signal else range(len(self.shapes))
        return [self.like.new_zeros(self.shapes[i]) for i in which]

    def down(self, r):
        outputs, pull = vjp(self._function, *self._zeros())
        if isinstance(outputs, (tuple, list)):
            lead = next(iter(r.values())).shape[:1]
            r = type(outputs)(r.get(i, x.new_zeros(lead + x.shape)) for i, x in enumerate(outputs))
        pulled = vmap(pull)(r)
        return list(pulled) if self.signal else [pulled[i] for i in self.takes]

    def up(self, p):
        zeros = self._zeros()
        if not self.signal:
            lead = next(x for x in p if x is not None).shape[:1]
            p = [x if x is not None else z.expand(lead + z.shape) for x, z in zip(p, zeros, strict=True)]
        base = self._function(*zeros)  # constants that are routed along take no relevance
        out = vmap(self._function)(*p)
        if isinstance(out, (tuple, list)):
            return {i: x - b for i, (x, b) in enumerate(zip(out, base, strict=True))}
        return out - base


def summed(step, call, inputs, precision=None):
    """Return the shares of a sum or average."""
    name = opname(step.node)
    equal = isinstance(step.rule, R.EqualShares)
    epsilon = 0.0 if equal else step.rule.epsilon
    signed = equal or isinstance(step.rule, R.Epsilon) or step.rule.signed
    flip = [1] * len(inputs)
    if len(inputs) == 2 and name in SIGNS:
        alpha = step.node.kwargs.get("alpha", 1)
        flip = [sign * (-1 if scaled and alpha < 0 else 1) for sign, scaled in SIGNS[name]]
    plus = name in ("add", "sub", "rsub")
    if plus and len(inputs) == 1 and isinstance(step.rule, R.Proportional) and step.rule.bias:
        return attention.Offset(step, inputs[0], call)
    if equal:
        inputs = [torch.ones_like(x) * f for x, f in zip(inputs, flip, strict=True)]
    shares = Sum(call, inputs, epsilon, signed, len(inputs) == 1 and plus, flip)
    if len(inputs) == 2 and plus and inputs[0].shape == inputs[1].shape:
        return Addition(shares, precision)
    return shares


class Sum:
    """Shares of addends in proportion to themselves: all if signed, else those of the result's sign."""

    def __init__(self, call, inputs, epsilon, signed, constant, flip):
        self.call, self.shapes = call, [x.shape for x in inputs]
        self.constant = constant  # x + constant, constant - x: the constant is a bias, which takes nothing
        self.like = inputs[0]
        if constant:  # whatever its sign and factor, the signal takes all
            self.call = lambda x: x.expand(call.node.meta["val"].shape)
            return
        if signed or not any(bool((x * f < 0).any()) for x, f in zip(inputs, flip, strict=True)):
            self.groups = [(inputs, reciprocal(call(*inputs), epsilon))]
            self._equal([torch.ones_like(x) * f for x, f in zip(inputs, flip, strict=True)])
            return
        rising = [(x * f).clamp(min=0) * f for x, f in zip(inputs, flip, strict=True)]
        falling = [(x * f).clamp(max=0) * f for x, f in zip(inputs, flip, strict=True)]
        z, below = call(*rising), call(*falling)
        falls = z + below < 0
        self.groups = [
            (rising, torch.where(falls, 0, reciprocal(z, epsilon))),
            (falling, torch.where(falls, reciprocal(below, epsilon), 0)),
        ]
        self._equal([torch.ones_like(x) * f for x, f in zip(inputs, flip, strict=True)])

    def _equal(self, ones):
        """Where the sum is zero, its addends share equally."""
        dead = sum(inverse.abs() for _, inverse in self.groups) == 0
        if bool(dead.any()):
            self.groups.append((ones, torch.where(dead, reciprocal(self.call(*ones)), 0)))

    def losses(self, r):
        """Return the relevance of sums that are zero and have nobody to share: {"dead": ..}."""
        if self.constant:
            return {}
        return {"dead": float((r * (sum(x.abs() for _, x in self.groups) == 0)).sum(dtype=torch.float64))}

    def down(self, r):
        _, pull = vjp(self.call, *(self.like.new_zeros(shape) for shape in self.shapes))
        if self.constant:
            return list(vmap(pull)(r))
        totals = None
        for number, (addends, inverse) in enumerate(self.groups):
            s = r * inverse
            if number and not nonzero(s):
                continue
            terms = [x * a for x, a in zip(vmap(pull)(s), addends, strict=True)]
            totals = terms if totals is None else [t.add_(x) for t, x in zip(totals, terms, strict=True)]
        return totals

    def up(self, p):
        lead = next(x for x in p if x is not None).shape[:1]
        p = [x if x is not None else self.like.new_zeros(lead + shape) for x, shape in zip(p, self.shapes, strict=True)]
        if self.constant:
            return vmap(self.call)(p[0])
        return sum(
            vmap(self.call)(*(x * a for x, a in zip(p, addends, strict=True))) * inverse
            for addends, inverse in self.groups
        )


class Addition:
    """A Sum of element and element: each addend's share is one number per element, made once for all targets."""

    def __init__(self, shares, precision=None):
        _, pull = vjp(shares.call, *(torch.zeros_like(x) for x in shares.groups[0][0]))
        terms = [[s * x for s, x in zip(pull(inverse), addends, strict=True)] for addends, inverse in shares.groups]
        self.each = [sum(parts).to(precision) for parts in zip(*terms, strict=True)]

    def losses(self, r):
        """Return the relevance of sums that have nobody to share: {"dead": ..}."""
        return {"dead": float((r * (sum(x.abs() for x in self.each) == 0)).sum(dtype=torch.float64))}

    def down(self, r):
        return [r * share for share in self.each]

    def up(self, p):
        return sum(x * share for x, share in zip(p, self.each, strict=True) if x is not None)


class Averaged:
    """Attention: an average of values whose weights, being gates, count as constants."""

    def __init__(self, call, inputs, signal, rule):
        gate = inputs[1 - signal]
        values = torch.ones_like(inputs[signal]) if rule.even else inputs[signal]
        self.call, self.inputs = call, inputs

        def mix(x):
            return call(*((x, gate) if signal == 0 else (gate, x)))

        self.sum = Sum(mix, [values], 0.0, rule.signed, False, [1])

    def down(self, r):
        return self.sum.down(r)

    def up(self, p):
        return self.sum.up(p)


class MaxPooled:
    """Max pooling: a window's largest input, or equally its largest inputs."""

    def __init__(self, node, a):
        self.windows = windows(node, a)
        self.tuple = isinstance(node.meta["val"], (tuple, list))
        self.shape = a.shape

    def down(self, r):
        return [self.windows.down(r[0] if self.tuple else r)]

    def up(self, p):
        out = self.windows.up(p[0])
        return {0: out} if self.tuple else out


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
        return list(vmap(pull)(r[0] if self.tuple else r))

    def up(self, p):
        _, push = torch.func.linearize(self._function, self.a)
        out = vmap(push)(p[0])
        return {0: out} if self.tuple else out
