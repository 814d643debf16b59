"""The rules at work: for one operation of one forward pass, the shares c_ij / sum_i' c_i'j of rules.py.

Shares are a linear map. `down` takes the relevance of the output to the inputs (R_i = sum_j share_ij R_j);
`up` is its transpose (P_j = sum_i share_ij P_i): where P_i is the part of an input's relevance that goes to some
frame, P_j is the part of the output's. Both take a leading dimension over targets, [targets, *shape], which all
share the one forward pass that made the denominators. Lists hold one tensor per clip-dependent input.
"""

import torch
from torch import fx
from torch.func import vjp, vmap

from . import rules as R
from .graph import opname
from .pooling import windows
from .table import CONVOLUTIONS

POOLED = {"max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"}


def prepare(step, values, bounds=None, contrast=False):
    """Return the Shares of a Step, given the `values` of all nodes in the forward pass.

    bounds: (low, high) of the input of a layer that sees the clip. contrast: whether the last layer's shares
    are the difference between its weights and its negated weights (CLRP, equation 2).
    """
    inputs = [values[source] for source in step.receivers]
    kind = step.kind
    if kind == "identity":
        return Passing(step)
    if kind == "exclude":
        return Nothing()
    if kind == "item":
        return Item(step.node.args[1])
    if kind == "weights":
        return weighted(step, values, inputs, bounds, contrast)
    call = Call(step.node, step.receivers, values)
    if kind in ("route", "gate"):
        return Routed(call, inputs, step.takes)
    if kind == "attention":
        return Averaged(call, inputs, step.takes[0])
    if kind == "sum":
        return summed(step, call, inputs)
    return MaxPooled(step.node, values, inputs[0]) if opname(step.node) in POOLED else Largest(call, inputs[0])


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
    """Return a node's arguments, with the ends of slices inside the tensor (vmap overflows on 2^63 - 1)."""
    place = {"slice": 1, "slice_scatter": 2}.get(opname(node))
    if place is None or len(node.args) <= place:
        return node.args
    args = list(node.args)
    size = args[0].meta["val"].shape[args[place]]
    for i in range(place + 1, min(len(args), place + 3)):
        args[i] = None if args[i] is None else max(-size, min(args[i], size))
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
        if self.signal:                              # of a product only the signal's shape matters
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
            p = [x if x is not None else z.expand(lead + z.shape) for x, z in zip(p, self._all(p), strict=True)]
        base = self._function(*zeros)                # constants that are routed along take no relevance
        out = vmap(self._function)(*p)
        if isinstance(out, (tuple, list)):
            return {i: x - b for i, (x, b) in enumerate(zip(out, base, strict=True))}
        return out - base

    def _all(self, p):
        return self._zeros()


def reciprocal(z, epsilon=0.0):
    """Return 1 / (z + epsilon sign(z)), and 0 where nothing contributes."""
    z = torch.where(z < 0, z - epsilon, z + epsilon) if epsilon else z
    return torch.where(z.abs() > torch.finfo(z.dtype).tiny * 1e6, 1 / z, 0)


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
        operands = node.args[1] if self.name == "einsum" else node.args[self.offset:self.offset + 2]
        self.first = operands[0] is step.receivers[0]          # whether the activation is the first factor
        self.operands = [values[x] if isinstance(x, fx.Node) else x for x in operands]
        self.weight = self.operands[1 if self.first else 0]
        self.folds = self.name in CONVOLUTIONS
        self.unbatched = self.folds and len(self.shape) < self.weight.dim()

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
            return self.target(a, w, None, *self.rest[3:], **{k: v for k, v in self.keywords.items() if k != "bias"})
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
        given = defaults | dict(zip(names, self.rest[3:], strict=False)) | {
            k: v for k, v in self.keywords.items() if k in names}
        size = self.weight.shape[2:]
        if given["padding"] == "valid":
            given["padding"] = 0
        if given["padding"] == "same":
            dilation = spread(given["dilation"], dims)
            given["padding"] = [d * (k - 1) // 2 for d, k in zip(dilation, size, strict=True)]
        return (*(spread(given[k], dims) for k in ("stride", "padding", "dilation")), flipped,
                spread(given["output_padding"], dims), given["groups"])


def spread(value, dims):
    """Return one number per dimension."""
    value = [value] if isinstance(value, int) else list(value)
    return value * dims if len(value) == 1 else value


def transposed_convolution(linear, s, w):
    """Return the input gradient of a convolution for output gradient `s`: [B, C', ...] -> [B, C, ...]."""
    stride, padding, dilation, flipped, output_padding, groups = linear.geometry()
    shape = (s.shape[0], *linear.shape[1:])
    dims = w.dim() - 2
    if linear.rest[3:] and "same" in linear.rest[3:5]:      # an even kernel pads unevenly: let autograd do it
        _, pull = vjp(lambda x: linear(x, w), s.new_zeros(shape))
        return pull(s)[0]
    like = s.new_empty(1).expand(shape)                     # only its shape is read
    return torch.ops.aten.convolution_backward(
        s, like, w, None, spread(stride, dims), spread(padding, dims), spread(dilation, dims), flipped,
        spread(output_padding, dims), groups, [True, False, False])[0]


class Shared:
    """Shares of a layer with weights by one rule: R = sum over parts of act * transpose(R / z, weight)."""

    def __init__(self, linear, parts, spares=(), bias=None, epsilon=0.0):
        self.linear, self.bias = linear, bias
        self.groups = []                             # (parts, 1 / z where they serve, 0 elsewhere)
        served = None
        for tier in (parts, *spares):
            if served is not None and bool(served.all()):
                break
            tier = [(a, w) for a, w in tier if _any(a) and _any(w)]
            if not tier:
                continue
            z = sum(linear(a, w) for a, w in tier)
            inverse = reciprocal(z, epsilon) if bias is None else reciprocal(z + bias, epsilon)
            if served is not None:
                inverse = torch.where(served, 0, inverse)
            if _any(inverse):
                self.groups.append((tier, inverse))
                served = inverse != 0 if served is None else served | (inverse != 0)

    def down(self, r):
        total = None
        for number, (parts, inverse) in enumerate(self.groups):
            s = r * inverse
            if number and not _any(s):               # outputs without contributions seldom have relevance
                continue
            for a, w in parts:
                term = self.linear.transposed(s, w).mul_(a)
                total = term if total is None else total.add_(term)
        return [total if total is not None else r.new_zeros(r.shape[:1] + self.linear.shape)]

    def losses(self, r):
        """Return what of the output's relevance `r` no input takes: {"bias": .., "dead": ..}."""
        lost = {"dead": r if not self.groups else r * (sum(inverse.abs() for _, inverse in self.groups) == 0)}
        if self.bias is not None:
            lost["bias"] = r * self.bias * self.groups[0][1]
        return {name: float(x.sum(dtype=torch.float64)) for name, x in lost.items()}

    def up(self, p):
        total = None
        for parts, inverse in self.groups:
            for a, w in parts:
                term = self.linear.batched(p[0] * a, w) * inverse
                total = term if total is None else total + term
        return total if total is not None else 0


def _any(x):
    return bool((x != 0).any())


class Contrast:
    """CLRP at the last layer (equation 2): shares by its weights minus shares by its negated weights."""

    def __init__(self, target, others):
        self.target, self.others = target, others

    def down(self, r):
        return [self.target.down(r)[0].sub_(self.others.down(r)[0])]

    def up(self, p):
        return self.target.up(p) - self.others.up(p)


def weighted(step, values, inputs, bounds, contrast):
    """Return the shares of a convolution or linear layer."""
    rule, linear, a = step.rule, Linear(step, values), inputs[0]
    w = linear.weight
    if step.first and isinstance(rule, R.ZPlus):
        rule = R.ZBeta().between(*bounds)
    bias = rule.bias_part(linear.bias) if rule.bias and linear.bias is not None else None
    if contrast == "dual":
        return Shared(linear, rule.parts(a, -w), bias=bias, epsilon=rule.epsilon)
    if contrast:
        # no spare: a class without positive evidence has none, whichever sign its weights carry
        return Contrast(*(Shared(linear, rule.parts(a, sign * w), bias=bias, epsilon=rule.epsilon)
                          for sign in (1, -1)))
    return Shared(linear, rule.parts(a, w), rule.spares(a, w), bias, rule.epsilon)


def summed(step, call, inputs):
    """Return the shares of a sum or average."""
    name = opname(step.node)
    epsilon = step.rule.epsilon
    # above the last layer every addend keeps its own value: the relevance of a logit is the logit
    signed = step.head or isinstance(step.rule, R.Epsilon) or step.rule.signed
    flip = [1] * len(inputs)
    if name in ("sub", "rsub") and len(inputs) == 2:
        flip = [1, -1] if name == "sub" else [-1, 1]
    return Sum(call, inputs, epsilon, signed, len(inputs) == 1 and name in ("add", "sub", "rsub"), flip)


class Sum:
    """Shares of addends in proportion to themselves: those of the result's sign, or all if signed."""

    def __init__(self, call, inputs, epsilon, signed, constant, flip):
        self.call, self.shapes = call, [x.shape for x in inputs]
        self.constant = constant                     # x + constant: a bias, which takes nothing
        self.like = inputs[0]
        if constant:
            return
        if signed:
            self.groups = [(inputs, reciprocal(call(*inputs), epsilon))]
            return
        if not any(bool((x * f < 0).any()) for x, f in zip(inputs, flip, strict=True)):
            self.groups = [(inputs, reciprocal(call(*inputs), epsilon))]
            self._equal([torch.ones_like(x) * f for x, f in zip(inputs, flip, strict=True)])
            return
        rising = [(x * f).clamp(min=0) * f for x, f in zip(inputs, flip, strict=True)]
        falling = [(x * f).clamp(max=0) * f for x, f in zip(inputs, flip, strict=True)]
        z, below = call(*rising), call(*falling)
        falls = z + below < 0
        self.groups = [(rising, torch.where(falls, 0, reciprocal(z, epsilon))),
                       (falling, torch.where(falls, reciprocal(below, epsilon), 0))]
        self._equal([torch.ones_like(x) * f for x, f in zip(inputs, flip, strict=True)])

    def _equal(self, ones):
        """Where all addends are zero, they share equally."""
        dead = sum(inverse.abs() for _, inverse in self.groups) == 0
        if bool(dead.any()):
            self.groups.append((ones, torch.where(dead, reciprocal(self.call(*ones)), 0)))

    def losses(self, r):
        """Return the relevance of outputs whose addends are all zero: {"dead": ..}."""
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
            if number and not _any(s):
                continue
            terms = [x * a for x, a in zip(vmap(pull)(s), addends, strict=True)]
            totals = terms if totals is None else [t.add_(x) for t, x in zip(totals, terms, strict=True)]
        return totals

    def up(self, p):
        lead = next(x for x in p if x is not None).shape[:1]
        p = [x if x is not None else self.like.new_zeros(lead + shape) for x, shape in zip(p, self.shapes, strict=True)]
        if self.constant:
            return p[0]
        return sum(vmap(self.call)(*(x * a for x, a in zip(p, addends, strict=True))) * inverse
                   for addends, inverse in self.groups)


class Averaged:
    """Attention: an average of values whose weights, being gates, count as constants."""

    def __init__(self, call, inputs, signal):
        gate = inputs[1 - signal]

        def mix(x):
            return call(*((x, gate) if signal == 0 else (gate, x)))

        self.sum = Sum(mix, [inputs[signal]], 0.0, False, False, [1])

    def down(self, r):
        return self.sum.down(r)

    def up(self, p):
        return self.sum.up(p)


class MaxPooled:
    """Max pooling: a window's largest input, or equally its largest inputs."""

    def __init__(self, node, values, a):
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
