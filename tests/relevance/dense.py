"""LRP written out as dense matrices: one share matrix [inputs, outputs] per layer, in float64, for one clip.

Independent of the engine: matrices come from unit inputs through the layers' own forward, relevance is a
matrix product. Only for networks of a few thousand units.
"""

import torch
from torch import nn

F64 = torch.float64


def matrix(function, shape):
    """Return the matrix [outputs, inputs] of a linear function of one input tensor (batch of one)."""
    size = int(torch.tensor(shape).prod())
    eye = torch.eye(size, dtype=F64).reshape(size, *shape)
    zero = function(torch.zeros(1, *shape, dtype=F64))
    columns = torch.cat([(function(eye[i : i + 1]) - zero).flatten()[:, None] for i in range(size)], 1)
    return torch.where(columns.abs() > 1e-13, columns, 0)  # subtracting the bias leaves rounding


def divide(contributions):
    """Return contributions [outputs, inputs] as shares that sum to one per output, transposed."""
    total = contributions.sum(1, keepdim=True)
    return torch.where(total == 0, 0, contributions / torch.where(total == 0, 1, total)).T


def zplus(layer, a):
    """Positive contributions; where there are none negative ones; where nothing contributes, weights."""
    w = matrix(layer, a.shape[1:])
    c = (w * a.flatten()).clamp(min=0)
    c = torch.where(c.sum(1, keepdim=True) == 0, w * a.flatten(), c)
    return divide(torch.where(c.sum(1, keepdim=True) == 0, w.abs(), c))


def zbeta(layer, a, low, high):
    w = matrix(layer, a.shape[1:])
    return divide(w * a.flatten() - w.clamp(min=0) * low.flatten() - w.clamp(max=0) * high.flatten())


def average(layer, a):
    w = matrix(layer, a.shape[1:])
    c = w * a.flatten()
    return divide(torch.where(c.sum(1, keepdim=True) == 0, w, c))


def maximum(pool, a):
    """Equal shares for all inputs that reach their window's maximum."""
    size = [k if isinstance(k, int) else k for k in (pool.kernel_size,)][0]
    window = nn.AvgPool3d(size, pool.stride, pool.padding)
    inside = matrix(window, a.shape[1:]) > 0
    values = torch.where(inside, a.flatten(), -torch.inf)
    return divide((inside & (values == values.amax(1, keepdim=True))).to(F64))


def relevance(layers, clip, low, high, row, method):
    """Return R (or R - R_dual) of every pixel for the output unit `row` of a stack of layers.

    layers: modules in order; BatchNorm3d, ReLU and Flatten pass relevance through. Residual blocks are tuples
    (list of layers,) whose result is added to their input. The first layer uses z-beta, the others z+.
    """
    shares, a = [], clip
    seen = False
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        if isinstance(layer, tuple):
            inner, value = torch.eye(a.numel(), dtype=F64), a
            for part in layer[0]:
                inner = inner @ _shares(part, value)
                value = part(value)
            both = torch.stack([a.flatten(), value.flatten()])
            both = torch.where(both.sum(0) == 0, 1.0, both)
            both = both / both.sum(0)
            shares.append(torch.diag(both[0]) + inner @ torch.diag(both[1]))
            a = a + value
        elif last:
            w = matrix(layer, a.shape[1:])[row] * a.flatten()
            logit = layer(a).flatten()[row]
            own, other = (part / part.sum() if part.any() else part for part in (w.clamp(min=0), w.clamp(max=0)))
            if method == "lrp" and not own.any():
                size = matrix(layer, a.shape[1:])[row].abs()
                own = other if other.any() else size / size.sum()
            r = logit * (own if method == "lrp" else own - other)
        else:
            if isinstance(layer, (nn.Conv3d, nn.Linear)) and not seen:
                shares.append(zbeta(layer, a, low, high))
                seen = True
            else:
                shares.append(_shares(layer, a))
            a = layer(a)
    for share in reversed(shares):
        r = share @ r
    r = r.reshape(clip.shape)
    return r if method == "lrp" else r.clamp(min=0)


def _shares(layer, a):
    if isinstance(layer, (nn.Conv3d, nn.Linear)):
        return zplus(layer, a)
    if isinstance(layer, nn.MaxPool3d):
        return maximum(layer, a)
    if isinstance(layer, (nn.AvgPool3d, SpatialMean)):
        return average(layer, a)
    assert isinstance(layer, (nn.ReLU, nn.BatchNorm3d)), layer
    return torch.eye(a.numel(), dtype=F64)


class SpatialMean(nn.Module):
    def forward(self, x):
        return x.mean((3, 4)).transpose(1, 2)
