"""The rules for attention as dense matrices of shares [inputs, outputs], for an Encoder of attending.py and one clip.

Every share is written down from its equation, element by element, in float64; relevance is matrix times vector.
"""

import torch
from torch.nn import functional as F

from .dense import matrix

F64 = torch.float64


def linear(function, a):
    """Return (value, shares) of an affine function of `a`: shares a_i w_ij / z_j with the bias in z_j."""
    w = matrix(lambda x: torch.cat([function(one) for one in x.unflatten(0, (-1, 1))]), a.shape[1:])
    value = function(a)
    return value, (w * a.flatten() / value.flatten()[:, None]).T


def product(a, b, halves):
    """Return (a b, shares of a, shares of b) of matrices [n, m] and [m, p]; without halves b takes all."""
    n, m, p = *a.shape, b.shape[1]
    out = a @ b
    of_a, of_b = torch.zeros(n, m, n, p, dtype=F64), torch.zeros(m, p, n, p, dtype=F64)
    for j in range(n):
        for i in range(m):
            for q in range(p):
                part = a[j, i] * b[i, q] / out[j, q]
                of_a[j, i, j, q] = part / 2 if halves else 0
                of_b[i, q, j, q] = part / 2 if halves else part
    return out, of_a.reshape(n * m, n * p), of_b.reshape(m * p, n * p)


def softmax(x):
    """Return (softmax of the rows of [n, m], shares): x_i (delta_ij - s_i)."""
    s = x.softmax(1)
    shares = torch.zeros(*x.shape, *x.shape, dtype=F64)
    for n in range(len(x)):
        shares[n, :, n] = x[n, :, None] * (torch.eye(x.shape[1], dtype=F64) - s[n, :, None])
    return s, shares.reshape(x.numel(), x.numel())


def norm(layer, x):
    """Return (layer norm, shares) of tokens [1, n, d], its standard deviation held fixed."""
    value, size = layer(x), x.shape[2]
    scale = layer.weight / (x.var(2, correction=0, keepdim=True) + layer.eps).sqrt()
    shares = torch.zeros(x.shape[1], size, x.shape[1], size, dtype=F64)
    centring = torch.eye(size, dtype=F64) - 1 / size
    for n in range(x.shape[1]):
        shares[n, :, n] = x[0, n, :, None] * centring * scale[0, n] / value[0, n]
    return value, shares.reshape(x.numel(), x.numel())


def attention(qkv, heads, halves):
    """Return (mixed values [1, n, d], shares) of queries, keys and values side by side [1, n, 3 d]."""
    places = torch.arange(qkv.numel()).reshape(qkv.shape).unflatten(2, (3, heads, -1))
    parts, size = qkv.unflatten(2, (3, heads, -1)), qkv.shape[2] // 3
    outputs = torch.arange(qkv.shape[1] * size).reshape(qkv.shape[1], heads, -1)
    shares, mixed = torch.zeros(qkv.numel(), qkv.shape[1] * size, dtype=F64), []
    for head in range(heads):
        q, k, v = (parts[0, :, i, head] for i in range(3))
        scores, of_q, of_k = product(q, k.T.contiguous(), True)
        weights, of_scores = softmax(scores * q.shape[1] ** -0.5)
        out, of_weights, of_v = product(weights, v, halves)
        to_scores = of_scores @ of_weights
        into = outputs[:, head].flatten()
        for i, share in enumerate((of_q @ to_scores, of_k @ to_scores, of_v)):
            here = places[0, :, i, head].T if i == 1 else places[0, :, i, head]
            shares[here.flatten()[:, None], into] = share
        mixed.append(out)
    return torch.stack(mixed, 1).flatten(1)[None], shares


def added(x, y, of_y):
    """Return (x + y, shares of x) where y is made from x with the shares `of_y`."""
    z = x + y
    return z, torch.diag((x / z).flatten()) + of_y @ torch.diag((y / z).flatten())


@torch.no_grad()
def relevance(net, clip, target, halves):
    """Return the relevance of every pixel for every frame's logit of class `target`, [T', 3, N, H, W]."""
    frames = clip.shape[2]
    x, to_clip = linear(net.embed, net.tokens(clip))
    z = x + net.place
    to_clip = to_clip @ torch.diag((x / z).flatten())
    x = z
    for block in net.blocks:
        y, shares = norm(block["norm1"], x)
        qkv, more = linear(block["qkv"], y)
        mixed, last = attention(qkv, net.heads, halves)
        out, outer = linear(block["out"], mixed)
        x, shares = added(x, out, shares @ more @ last @ outer)
        to_clip = to_clip @ shares
        y, shares = norm(block["norm2"], x)
        wide, more = linear(block["wide"], y)
        narrow, outer = linear(block["narrow"], F.gelu(wide))
        x, shares = added(x, narrow, shares @ more @ outer)
        to_clip = to_clip @ shares
    y, shares = norm(net.norm, x)
    to_clip = to_clip @ shares
    mean, shares = linear(lambda t: t.unflatten(1, (frames, -1)).mean(2), y)
    to_clip = to_clip @ shares
    logits, shares = linear(net.head, mean)
    to_clip = to_clip @ shares
    start = torch.zeros(frames, frames, logits.shape[2], dtype=F64)
    for row in range(frames):
        start[row, row, target] = logits[0, row, target]
    flat = start.flatten(1) @ to_clip.T
    back = torch.zeros(frames, clip.numel(), dtype=F64)
    back[:, net.tokens(torch.arange(clip.numel()).reshape(clip.shape)).flatten()] = flat
    return back.reshape(frames, *clip.shape[1:])
