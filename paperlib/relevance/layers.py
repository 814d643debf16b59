"""Layers with weights as functions of activation and weight, and their transposes over targets and time windows."""

import torch
from torch import fx
from torch.func import vjp, vmap

from ..convolution.transposes import by_autograd, every, falls_back, mix, pointwise, spread, transposed
from .graph import opname
from .operations import CONVOLUTIONS

CONVOLVE_NAMES = {"conv1d", "conv2d", "conv3d"}


class Linear:
    """The bilinear heart of a layer with weights, f([activation], weight), and its transpose over targets."""

    def __init__(self, step, values):
        node = step.node
        self.name = opname(node)
        self.inputs = [values[step.receivers[0]]]
        self.shape = self.inputs[0].shape
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
        self.narrows = (
            self.stacks and len(self.shape) == self.weight.dim()
        )  # whether parts can be of some channels only
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

    def __call__(self, activations, w):
        """The layer without its bias, a function of one activation in a list as sums are of several."""
        (a,) = activations
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

    def batched(self, activations, w):
        """The layer on [targets, *shape]."""
        (a,) = activations
        if self.folds and not self.unbatched:
            return self([a.flatten(0, 1)], w).unflatten(0, a.shape[:2])
        return vmap(lambda x: self([x], w))(a)

    def pulling(self, held):
        """Return (held, pull, places): pull(s, w) is the transpose in the numbers of w, places where its results lie.

        Of the held relevance all steps come back where a window of them cannot be told through the layer.
        """
        found = None if held.dim is None else _matrix(self, held) or _convolution(self, held)
        if found is None:
            return held.whole(), self._all_steps, [dict(dim=None, starts=None, shape=self.shape)]
        transpose, starts = found
        return held, lambda s, w: transpose(s.to(w.dtype), w), [dict(dim=held.dim, starts=starts, shape=self.shape)]

    def _all_steps(self, s, w):
        return [self.transposed(s.to(w.dtype), w)]

    def transposed(self, s, w):
        """Its transpose: [targets, *output shape] -> [targets, *input shape]."""
        if self.name == "linear" and self.first:
            return s @ w
        if self.folds and not self.unbatched:
            return transposed_convolution(self, s.flatten(0, 1), w).unflatten(0, s.shape[:2])
        _, pull = vjp(lambda x: self([x], w), s.new_zeros(self.shape))
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
        _, pull = vjp(lambda x: linear([x], w), s.new_zeros(shape))
        return pull(s)[0]
    if flipped:
        return by_autograd(s, w, shape, stride, padding, dilation, groups, output_padding)
    return transposed(s, w, shape, stride, padding, dilation, groups)


def _matrix(linear, held):
    """Return (pull, starts) of a linear layer over another dimension than time, else None."""
    if linear.name != "linear" or not linear.first or held.dim >= len(linear.shape) - 1:
        return None
    return lambda s, w: [torch.matmul(s, w)], held.starts


def _convolution(linear, held):
    """Return (pull, starts) of a convolution that is not strided over time, else None."""
    if not linear.folds or linear.unbatched or held.dim < 2:
        return None
    stride, padding, dilation, flipped, *_ = linear.geometry()
    axis, dims = held.dim - 2, len(linear.shape) - 2
    stride, padding, dilation = (spread(x, dims) for x in (stride, padding, dilation))
    if flipped or stride[axis] != 1 or "same" in linear.rest[3:5]:
        return None
    reach = dilation[axis] * (linear.weight.shape[held.dim] - 1)
    size = linear.shape[held.dim]
    length = min(held.length + reach, size)
    starts = [max(0, min(start - padding[axis], size - length)) for start in held.starts]
    had = [start - padding[axis] for start in held.starts]  # where the transposed windows begin, outside too
    padding[axis] = 0
    shape = list(linear.shape)
    shape[held.dim] = held.length + reach

    def pull(s, w):
        out = transposed_convolution(linear, s.flatten(0, 1), w, shape, padding).unflatten(0, s.shape[:2])
        return [_crop(out, held.dim, had, starts, length)]

    return pull, starts


def _crop(x, dim, had, starts, length):
    """Move rows that begin at steps `had` into windows from `starts`; steps outside the clip are dropped."""
    if had == starts and x.shape[1 + dim] == length:
        return x
    shape = list(x.shape)
    shape[1 + dim] = length
    out = x.new_zeros(shape)
    for row, (old, new) in enumerate(zip(had, starts, strict=True)):
        first, last = max(old, new), min(old + x.shape[1 + dim], new + length)
        out[row].narrow(dim, first - new, last - first).copy_(x[row].narrow(dim, first - old, last - first))
    return out
