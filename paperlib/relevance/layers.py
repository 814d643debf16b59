"""Layers with weights as functions of activation and weight, and their transposes over targets and time windows."""

import torch
from torch import fx
from torch.func import vjp, vmap

from ..convolution.transposes import by_autograd, convolve, every, mix, pointwise, spread, transposed
from ..tracing.slices import bound, opname
from .gates import factors
from .held import moved, sized
from .operations import CONVOLUTIONS

CONVOLVE_NAMES = {"conv1d", "conv2d", "conv3d"}
ADDING = {"addmm", "baddbmm", "addmv"}  # products that add a constant


class Linear:
    """The bilinear heart of a layer with weights, f([activation], weight), and its transpose over targets."""

    def __init__(self, step, values):
        node = step.node
        self.name, self.target = opname(node), node.target
        self.inputs = [values[step.receivers[0]]]
        self.shape = self.inputs[0].shape
        self.given = dict(fx.map_arg(bound(node), values.__getitem__))
        operands = factors(node)
        self.first = operands[0] is step.receivers[0]  # whether the activation is the first factor
        self.weight = fx.map_arg(operands[1 if self.first else 0], values.__getitem__)
        if self.given.get("alpha", 1) != 1:  # as addmm scales its product
            self.weight = self.weight * self.given["alpha"]
        self.folds = self.name in CONVOLUTIONS
        self.unbatched = self.folds and len(self.shape) < self.weight.dim()
        # whether parts can share one transposed convolution, their weights side by side, or be of some channels only
        self.stacks = self.name in CONVOLVE_NAMES and self.given["groups"] == 1 and not self.unbatched
        self.plain = self.name in CONVOLVE_NAMES and not isinstance(self.given["padding"], str)
        self.pointwise = self.stacks and self.plain and pointwise(self.weight, self.given["padding"], 1)

    @property
    def bias(self):
        """The layer's bias, shaped to broadcast against the output, or None."""
        b = self.given.get("self" if self.name in ADDING else "bias")
        b = b * self.given["beta"] if self.given.get("beta", 1) != 1 else b
        return b.reshape(-1, *[1] * (self.weight.dim() - 2)) if self.folds and b is not None else b

    def __call__(self, activations, w):
        """The layer without its bias, a function of one activation in a list as sums are of several."""
        (a,) = activations
        if self.folds:
            if self.pointwise:
                return mix(every(a, self.given["stride"]), w)
            if self.plain:
                stride, padding, dilation, _, _, groups = self.geometry()
                return convolve(a, w, stride, padding, dilation, groups)
            return self.target(**{**self.given, "input": a, "weight": w, "bias": None})
        x, y = (a, w) if self.first else (w, a)
        if self.name == "linear":
            return torch.nn.functional.linear(x, y)
        if self.name == "einsum":
            return torch.einsum(self.given["equation"], x, y)
        return torch.matmul(x, y)

    def pulling(self, held):
        """Return (held, pull, places): pull(s, w) is the transpose in the numbers of w, places where its results lie.

        Of the held relevance all steps come back where a window of them cannot be told through the layer.
        """
        pull, starts = self.transposed, held.starts
        if held.dim is not None and not (self.name == "linear" and self.first and held.dim < len(self.shape) - 1):
            pull, starts = self._through_windows(held) or (pull, None)
            held = held if starts else held.whole()
        return held, lambda s, w: [pull(s.to(w.dtype), w)], [dict(dim=held.dim, starts=starts, shape=self.shape)]

    def transposed(self, s, w):
        """Its transpose: [targets, *output shape] -> [targets, *input shape]."""
        if self.name == "linear" and self.first:
            return s @ w
        if self.folds and not self.unbatched:
            return _Transposed.apply(s, w, self)
        _, pull = vjp(lambda x: self([x], w), s.new_zeros(self.shape))
        return vmap(pull)(s)[0]

    def transposed_convolution(self, s, w, shape, padding):
        """Return the input gradient of a convolution; shape, padding: its own, or those for a part of the steps."""
        stride, _, dilation, flipped, output_padding, groups = self.geometry()
        targets, s = s.shape[:2], s.flatten(0, 1)
        channels = w.shape[0] if flipped else w.shape[1] * groups  # parts side by side have more than one
        shape = (len(s), channels, *shape[2:])
        if self.given["padding"] == "same":  # an even kernel pads unevenly: let autograd do it
            _, pull = vjp(lambda x: self([x], w), s.new_zeros(shape))
            out = pull(s)[0]
        elif flipped:
            out = by_autograd(s, w, shape, stride, padding, dilation, groups, output_padding)
        else:
            out = transposed(s, w, shape, stride, padding, dilation, groups)
        return out.unflatten(0, targets)

    def geometry(self):
        """Return (stride, padding, dilation, transposed, output_padding, groups) of a convolution."""
        given, dims = self.given, self.weight.dim() - 2
        stride, dilation, output = (spread(given.get(x, 0), dims) for x in ("stride", "dilation", "output_padding"))
        padding = given["padding"]
        if isinstance(padding, str):
            half = [d * (k - 1) // 2 for d, k in zip(dilation, self.weight.shape[2:], strict=True)]
            padding = half if padding == "same" else 0
        flipped = given.get("transposed", self.name.startswith("conv_transpose"))
        return stride, spread(padding, dims), dilation, flipped, output, given["groups"]

    def _through_windows(self, held):
        """Return (transpose, starts of its windows) of a convolution that is not strided over time, else None."""
        if not self.folds or self.unbatched or held.dim < 2:
            return None
        stride, padding, dilation, flipped, *_ = self.geometry()
        axis, size = held.dim - 2, self.shape[held.dim]
        if flipped or stride[axis] != 1 or self.given["padding"] == "same":
            return None
        reach = dilation[axis] * (self.weight.shape[held.dim] - 1)
        length = min(held.length + reach, size)
        had = [start - padding[axis] for start in held.starts]  # where the transposed windows begin, outside too
        starts = [max(0, min(start, size - length)) for start in had]
        padding[axis] = 0
        shape = sized(self.shape, held.dim, held.length + reach)

        def pull(s, w):
            return moved(self.transposed_convolution(s, w, shape, padding), held.dim, had, starts, length)

        return pull, starts


class _Transposed(torch.autograd.Function):
    """The transpose of a convolution; a gradient goes up through it by the convolution itself."""

    @staticmethod
    def forward(context, s, w, linear):
        context.linear, context.w = linear, w
        return linear.transposed_convolution(s, w, linear.shape, linear.geometry()[1])

    @staticmethod
    def backward(context, p):
        return context.linear([p.flatten(0, 1)], context.w).unflatten(0, p.shape[:2]), None, None
