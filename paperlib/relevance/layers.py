"""Layers with weights: their denominators, and relevance through their transposes."""

import itertools

import torch
from torch import fx
from torch.func import vjp, vmap

from ..convolution.transposes import by_autograd, every, falls_back, mix, pointwise, spread, transposed
from . import rules as R
from .graph import opname
from .operations import CONVOLUTIONS

CONVOLVE_NAMES = {"conv1d", "conv2d", "conv3d"}
SELDOM = 16  # outputs to one of them: looking those up is faster than going through all


def reciprocal(z, epsilon=0.0):
    """Return 1 / (z + epsilon sign(z)), and 0 where nothing contributes."""
    return inverted(z, epsilon)[0]


def inverted(z, epsilon=0.0):
    """Return `reciprocal` and where something contributes, None for everywhere; not for half precision."""
    z = torch.where(z < 0, z - epsilon, z + epsilon) if epsilon else z
    least = torch.finfo(z.dtype).tiny * 1e6
    if z.numel() and bool(z.min() > least):  # with positive contributions only, as often as not
        return z.reciprocal(), None
    some = z.abs() > least
    return torch.where(some, 1 / z, 0), some


class Linear:
    """The bilinear heart of a layer with weights, f(activation, weight), and its transpose over targets."""

    def __init__(self, step, values):
        node = step.node
        self.name = opname(node)
        self.shape = values[step.receivers[0]].shape
        self.rest = [values[x] if isinstance(x, fx.Node) else x for x in node.args]
        self.keywords = {k: values[v] if isinstance(v, fx.Node) else v for k, v in node.kwargs.items()}
        self.target = node.target
        self.offset = 1 if self.name in ("addmm", "baddbmm", "addmv") else 0
        operands = node.args[1] if self.name == "einsum" else node.args[self.offset : self.offset + 2]
        self.first = operands[0] is step.receivers[0]  # whether the activation is the first factor
        self.operands = [values[x] if isinstance(x, fx.Node) else x for x in operands]
        self.weight = self.operands[1 if self.first else 0]
        self.folds = self.name in CONVOLUTIONS
        # whether parts can share one transposed convolution, their weights side by side
        self.stacks = self.name in CONVOLVE_NAMES and self.geometry()[5] == 1
        self.plain = self.name in CONVOLVE_NAMES and not any(isinstance(x, str) for x in self.rest)
        self.unbatched = self.folds and len(self.shape) < self.weight.dim()
        self.pointwise = (
            self.plain and not self.unbatched and pointwise(self.weight, self.geometry()[1], self.geometry()[5])
        )

    @property
    def bias(self):
        """The layer's bias, shaped to broadcast against the output, or None."""
        if self.name in ("addmm", "baddbmm", "addmv"):
            return self.rest[0] if isinstance(self.rest[0], torch.Tensor) else None
        b = self.rest[2] if len(self.rest) > 2 else self.keywords.get("bias")
        if not isinstance(b, torch.Tensor) or self.name == "einsum":
            return None
        return b.reshape(-1, *[1] * (self.weight.dim() - 2)) if self.folds else b

    def __call__(self, a, w):
        """The layer without its bias."""
        if self.folds:
            if self.plain and falls_back(a):
                stride, padding, dilation, _, _, groups = self.geometry()
                return torch.mkldnn_convolution(a, w, None, padding, stride, dilation, groups)
            if self.pointwise:
                return mix(every(a, self.geometry()[0]), w)
            keywords = {k: v for k, v in self.keywords.items() if k != "bias"}
            return self.target(a, w, None, *self.rest[3:], **keywords)
        x, y = (a, w) if self.first else (w, a)
        if self.name == "linear":
            return torch.nn.functional.linear(x, y)
        if self.name == "einsum":
            return torch.einsum(self.rest[0], x, y)
        return torch.matmul(x, y)

    def batched(self, a, w):
        """The layer on [targets, *shape]."""
        if self.folds and not self.unbatched:
            return self(a.flatten(0, 1), w).unflatten(0, a.shape[:2])
        return vmap(lambda x: self(x, w))(a)

    def transposed(self, s, w):
        """Its transpose: [targets, *output shape] -> [targets, *input shape]."""
        if self.name == "linear" and self.first:
            return s @ w
        if self.folds and not self.unbatched:
            return transposed_convolution(self, s.flatten(0, 1), w).unflatten(0, s.shape[:2])
        _, pull = vjp(lambda x: self(x, w), s.new_zeros(self.shape))
        return vmap(pull)(s)[0]

    def geometry(self):
        """Return (stride, padding, dilation, transposed, output_padding, groups) of a convolution."""
        dims = self.weight.dim() - 2
        names = ["stride", "padding", "dilation", "groups"]
        defaults = dict(stride=1, padding=0, dilation=1, groups=1, output_padding=0)
        if self.name == "convolution":
            stride, padding, dilation, flipped, output_padding, groups = self.rest[3:9]
            return stride, padding, dilation, flipped, output_padding, groups
        flipped = self.name.startswith("conv_transpose")
        if flipped:
            names = ["stride", "padding", "output_padding", "groups", "dilation"]
        given = (
            defaults
            | dict(zip(names, self.rest[3:], strict=False))
            | {k: v for k, v in self.keywords.items() if k in names}
        )
        size = self.weight.shape[2:]
        if given["padding"] == "valid":
            given["padding"] = 0
        if given["padding"] == "same":
            dilation = spread(given["dilation"], dims)
            given["padding"] = [d * (k - 1) // 2 for d, k in zip(dilation, size, strict=True)]
        return (
            *(spread(given[k], dims) for k in ("stride", "padding", "dilation")),
            flipped,
            spread(given["output_padding"], dims),
            given["groups"],
        )


def transposed_convolution(linear, s, w, shape=None, padding=None):
    """Return the input gradient of a convolution for output gradient `s`: [B, C', ...] -> [B, C, ...].

    shape, padding: of another input than the layer's own, for a part of the time steps.
    """
    stride, own, dilation, flipped, output_padding, groups = linear.geometry()
    padding = own if padding is None else padding
    channels = w.shape[0] if flipped else w.shape[1] * groups  # parts side by side have more than one
    shape = (s.shape[0], channels, *(shape or linear.shape)[2:])
    if linear.rest[3:] and "same" in linear.rest[3:5]:  # an even kernel pads unevenly: let autograd do it
        _, pull = vjp(lambda x: linear(x, w), s.new_zeros(shape))
        return pull(s)[0]
    if flipped:
        return by_autograd(s, w, shape, stride, padding, dilation, groups, output_padding)
    return transposed(s, w, shape, stride, padding, dilation, groups)


class Shared:
    """Shares of a layer with weights by one rule: R = sum over parts of act * transpose(R / z, weight).

    precision: in which numbers a convolution takes relevance down; the denominators are made in the network's.
    """

    def __init__(self, linear, parts, spares=(), bias=None, epsilon=0.0, precision=None):
        self.linear, self.bias = linear, bias
        self.precision = precision if linear.folds else None
        self.groups = []  # (parts, 1 / z where they serve and 0 elsewhere, where that is if seldom)
        missing = None  # outputs that have found no contribution yet, None: all
        for tier in itertools.chain([parts], spares):
            missing = self._serve(tier, missing, epsilon)
            if missing is not None and not bool(missing.any()):
                break
        if self.precision:
            self.groups = [
                ([(a.to(self.precision), w.to(self.precision)) for a, w in tier], inverse.to(self.precision), places)
                for tier, inverse, places in self.groups
            ]

    def _serve(self, tier, missing, epsilon):
        """Let the parts of a tier serve the outputs that are missing a contribution; returns those that still do."""
        if len(tier) > 1:
            tier = [(a, w) for a, w in tier if nonzero(a) and nonzero(w)]
        if not tier:
            return missing
        z = sum(self.linear(a, w) for a, w in tier)
        inverse, here = inverted(z if self.bias is None else z + self.bias, epsilon)  # here None: z has no zero
        if missing is not None:
            here = missing if here is None else here & missing
            inverse = torch.where(here, inverse, 0)
        served = inverse.numel() if here is None else int(torch.count_nonzero(here))
        if not served:
            return missing
        places = here.flatten().nonzero()[:, 0] if SELDOM * served < inverse.numel() else None
        self.groups.append((tier, inverse, places))
        if served == inverse.numel():
            return inverse.new_zeros(1, dtype=torch.bool)  # none is missing
        return ~here if missing is None else missing & ~here

    def down(self, r):
        total, r = None, r.to(self.precision)
        for number, (parts, inverse, places) in enumerate(self.groups):
            # outputs without contributions seldom have relevance
            if places is not None and not nonzero(r.flatten(1)[:, places]):
                continue
            s = r * inverse
            if number and places is None and not nonzero(s):
                continue
            for a, term in self._transposed(s, parts):
                term = term.mul_(a)
                total = term if total is None else total.add_(term)
        return [total if total is not None else r.new_zeros(r.shape[:1] + self.linear.shape)]

    def _transposed(self, s, parts):
        """Yield every part's activation and transposed sum; several parts of a convolution go together."""
        if len(parts) == 1 or not self.linear.stacks:
            yield from ((a, self.linear.transposed(s, w)) for a, w in parts)
            return
        together = self.linear.transposed(s, torch.cat([w for _, w in parts], 1))
        for (a, _), term in zip(parts, together.chunk(len(parts), 2), strict=True):
            yield a, term

    def losses(self, r):
        """Return what of the output's relevance `r` no input takes: {"bias": .., "dead": ..}."""
        lost = {"dead": r if not self.groups else r * (sum(inverse.abs() for _, inverse, _ in self.groups) == 0)}
        if self.bias is not None:
            lost["bias"] = r * self.bias * self.groups[0][1]
        return {name: float(x.sum(dtype=torch.float64)) for name, x in lost.items()}

    def up(self, p):
        total = None
        for parts, inverse, _ in self.groups:
            for a, w in parts:
                term = self.linear.batched(p[0] * a, w) * inverse
                total = term if total is None else total + term
        return total if total is not None else 0


def nonzero(x):
    """Whether a tensor has any entry that is not zero."""
    return bool(torch.count_nonzero(x))  # a quarter of the time of (x != 0).any()


class BySign:
    """Shares by one rule where the layer's output is positive, by its mirror image where it is negative."""

    def __init__(self, linear, rule, a, precision=None):
        b = linear.bias
        z = linear(a, linear.weight)
        self.positive = (z if b is None or not rule.bias else z + b) >= 0
        self.each = []
        for way in (rule, rule.falling()):
            bias = None if b is None or not rule.bias else way.bias_part(b)
            parts, spares = way.parts(a, linear.weight), way.spares(a, linear.weight)
            self.each.append(Shared(linear, parts, spares, bias, rule.epsilon, precision))

    def _split(self, r):
        return r * self.positive, r * ~self.positive

    def down(self, r):
        return [sum(shared.down(x)[0] for shared, x in zip(self.each, self._split(r), strict=True))]

    def up(self, p):
        return torch.where(self.positive, self.each[0].up(p), self.each[1].up(p))

    def losses(self, r):
        """Return what of the output's relevance `r` no input takes: {"bias": .., "dead": ..}."""
        lost = [shared.losses(x) for shared, x in zip(self.each, self._split(r), strict=True)]
        return {name: sum(each[name] for each in lost) for name in lost[0]}


class Contrast:
    """CLRP at the last layer (equation 2): shares by its weights minus shares by its negated weights."""

    def __init__(self, target, others):
        self.target, self.others = target, others

    def down(self, r):
        return [self.target.down(r)[0].sub_(self.others.down(r)[0])]

    def up(self, p):
        return self.target.up(p) - self.others.up(p)


def weighted(step, values, inputs, bounds, contrast, precision=None):
    """Return the shares of a convolution or linear layer."""
    rule, linear, a = step.rule, Linear(step, values), inputs[0]
    w = linear.weight
    if contrast and not step.given:
        rule = R.ZPlus()  # the epsilon rule's shares are the same for negated weights
    if step.first and (step.beta or isinstance(rule, R.ZBeta)):
        rule = R.ZBeta().between(*bounds)
    bias = rule.bias_part(linear.bias) if rule.bias and linear.bias is not None else None
    if contrast == "dual":
        return Shared(linear, rule.parts(a, -w), bias=bias, epsilon=rule.epsilon)
    if contrast:
        # no spare: a class without positive evidence has none, whichever sign its weights carry
        return Contrast(*(Shared(linear, rule.parts(a, sign * w), bias=bias, epsilon=rule.epsilon) for sign in (1, -1)))
    if getattr(rule, "by_sign", False):
        return BySign(linear, rule, a, precision)
    return Shared(linear, rule.parts(a, w), rule.spares(a, w), bias, rule.epsilon, precision)
