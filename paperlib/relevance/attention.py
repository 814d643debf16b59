"""Shares of the rules for attention: products of two signals, softmax, norms, sums with constants.

As in shares.py, `down` takes the relevance of the output to the inputs, with a leading dimension over targets; `losses`
says what becomes of relevance that no input takes.
"""

import functools

import torch
from torch.func import vjp, vmap

from ..tracing.slices import bound, opname
from .layers import ADDING

KINDS = {"product", "softmax", "norm"}
# of x and y in add (x + alpha y), sub (x - alpha y) and rsub (y - alpha x): the sign, and whether alpha scales it
SIGNS = {"add": [(1, False), (1, True)], "sub": [(1, False), (-1, True)], "rsub": [(-1, True), (1, False)]}


def shares(step, call, inputs, values):
    """Return the shares of a Step of one of KINDS; call: the operation as a function of its `inputs`."""
    if step.kind == "softmax":
        return Softmax(call, inputs[0], bound(step.node)["dim"])
    if step.kind == "norm":
        return Norm(step.node, inputs[0], values)
    return Halved(inputs) if opname(step.node) == "mul" else HalvedProduct(call, inputs)


def over(z):
    """Return 1 / z, and 0 where z is 0."""
    return torch.where(z == 0, 0, 1 / torch.where(z == 0, 1, z))


def total(r):
    """Return the sum of all relevance, a number."""
    return float(r.sum(dtype=torch.float64))


class Halved:
    """x y, element by element: half the relevance to each."""

    def __init__(self, inputs):
        self.zeros = [torch.zeros_like(x) for x in inputs]
        self.shape = torch.broadcast_shapes(*(x.shape for x in inputs))

    def down(self, r):
        pulled = []
        for zero in self.zeros:
            _, pull = vjp(lambda x: x.expand(self.shape), zero)
            pulled.append(vmap(pull)(r / 2)[0])
        return pulled


class HalvedProduct:
    """A matrix product A B: to each factor half, shared by the addends A_ji B_ip of each output."""

    def __init__(self, call, inputs):
        self.call, self.inputs = call, inputs
        self.z = call(*inputs)
        self.inverse = over(self.z) / 2

    def down(self, r):
        _, pull = vjp(self.call, *self.inputs)
        return [x * pulled for x, pulled in zip(self.inputs, vmap(pull)(r * self.inverse), strict=True)]

    def losses(self, r):
        """Return the relevance of sums that are zero, and what a constant addend (baddbmm) takes."""
        kept = sum(total(part) for part in self.down(r))
        dead = total(r * (self.z == 0))
        return {"dead": dead, "bias": total(r) - dead - kept if opname(self.call.node) in ADDING else 0.0}


class Softmax:
    """R_i = x_i (R_i - s_i sum_j R_j), 0 where the input is masked by -inf."""

    def __init__(self, call, x, dim):
        s = call(x)
        self.s, self.dim = s, dim % x.dim() + 1  # behind the targets
        self.x = torch.where(torch.isinf(x), 0, x).to(s.dtype)

    def down(self, r):
        return [self.x * (r - self.s * r.sum(self.dim, keepdim=True))]

    def losses(self, r):
        """Return what the rule does not conserve: {"leak": ..}."""
        return {"leak": total(r) - total(self.down(r)[0])}


class Norm:
    """(x - mean) scale + bias with the scale, weight / standard deviation, held fixed."""

    def __init__(self, node, x, values):
        self.tuple = isinstance(node.meta["val"], (tuple, list))
        self.x = x
        self.scale, self.bias, self.mean = fixed_norm(node, x, values)
        self.z = self._centred(x) * self.scale + self.bias
        self.factor = self.scale * over(self.z)

    def _centred(self, x):
        return x if self.mean is None else x - self.mean(x)

    def down(self, r):
        return [self.x * self._centred((r[0] if self.tuple else r) * self.factor)]  # centring is its own transpose

    def losses(self, r):
        """Return what the bias takes and what outputs of zero lose: {"bias": .., "dead": ..}."""
        r = r[0] if self.tuple else r
        return {"bias": total(r * self.bias * over(self.z)), "dead": total(r * (self.z == 0))}


def fixed_norm(node, x, values):
    """Return (scale, bias, mean) of a norm at input `x`, so that its result is (x - mean(x)) scale + bias.

    mean(x) takes [..., *x.shape] and averages what is normalised together; None where the mean is a constant, which
    then is part of the bias.
    """
    given = {k: values[v] if isinstance(v, torch.fx.Node) else v for k, v in bound(node).items()}
    weight, bias, name = given.get("weight"), given.get("bias"), opname(node)
    if name in ("layer_norm", "native_layer_norm"):
        dims = tuple(range(-len(given["normalized_shape"]), 0))
        variance = x.var(dims, correction=0, keepdim=True)
        mean = functools.partial(torch.mean, dim=dims, keepdim=True)
    else:
        weight, bias = (v if v is None else v.reshape(-1, *[1] * (x.dim() - 2)) for v in (weight, bias))
        if given.get("running_mean") is not None and not given.get("use_input_stats"):
            centre, variance = (given[key].reshape(-1, *[1] * (x.dim() - 2)) for key in ("running_mean", "running_var"))
            scale = torch.rsqrt(variance + given["eps"]) * (1 if weight is None else weight)
            return scale, (0 if bias is None else bias) - centre * scale, None
        groups = given.get("num_groups") or given.get("group") or x.shape[1]
        mean = functools.partial(_group_mean, dims=x.dim(), groups=groups)
        variance = mean((x - mean(x)).square())
    scale = torch.rsqrt(variance + given["eps"]) * (1 if weight is None else weight)
    return scale, x.new_zeros(()) if bias is None else bias, mean


def _group_mean(x, dims, groups):
    """Average [..., N, C, *places] of `dims` dimensions over each of `groups` groups of channels and its places."""
    lead = x.shape[: x.dim() - dims + 1]
    grouped = x.reshape(*lead, groups, -1)
    return grouped.mean(-1, keepdim=True).expand(grouped.shape).reshape(x.shape)


class Offset:
    """A signal plus a constant: the signal's share is its part of the sum, the constant's is lost."""

    def __init__(self, step, x, call):
        places = [a for a in step.node.args[:2]]
        sign, scaled = SIGNS[opname(step.node)][places.index(step.receivers[0])]
        alpha = step.node.kwargs.get("alpha", 1)
        self.shape, self.z = x.shape, call(x)
        self.share = x * (sign * (alpha if scaled else 1)) * over(self.z)  # -inf of a mask: 0

    def down(self, r):
        _, pull = vjp(lambda x: x.expand(self.share.shape), r.new_zeros(self.shape))
        return list(vmap(pull)(r * self.share))

    def losses(self, r):
        """Return what the constant takes and what sums of zero lose: {"bias": .., "dead": ..}."""
        return {"bias": total(r * (1 - self.share) * (self.z != 0)), "dead": total(r * (self.z == 0))}
