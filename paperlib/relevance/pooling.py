"""Max pooling with ties: every window as the list of its strided views into the padded input."""

import itertools
import math

import torch

from ..convolution.transposes import spread
from ..tracing.slices import bound, opname

POOLS = {1: torch.nn.functional.max_pool1d, 2: torch.nn.functional.max_pool2d, 3: torch.nn.functional.max_pool3d}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # several times as fast on a CPU


class Windows:
    """Which inputs of each pooling window are its largest, and how many share that."""

    def __init__(self, a, kernel, stride, padding, dilation, ceil_mode, size):
        self.shape, self.padding = a.shape, padding
        # every how many windows there is one that does not overlap with the first, along each dimension
        self.apart = [math.ceil(((k - 1) * d + 1) / s) for k, d, s in zip(kernel, dilation, stride, strict=True)]
        self.dims = len(kernel)
        self.views = [
            tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, s, n in zip(offset, dilation, stride, size, strict=True)
            )
            for offset in itertools.product(*(range(k) for k in kernel))
        ]
        reach = [(k - 1) * d + (n - 1) * s + 1 for k, d, s, n in zip(kernel, dilation, stride, size, strict=True)]
        extent = a.shape[-self.dims :]
        # behind the input's end, where ceil_mode lets windows hang over
        self.extra = [max(0, r - n - p) for r, n, p in zip(reach, extent, padding, strict=True)]
        batched = a.dim() == self.dims + 2
        laid = a.contiguous(memory_format=LAST[self.dims]) if batched and self.dims in LAST else a
        top, winner = POOLS[self.dims](laid, kernel, stride, padding, dilation, ceil_mode, return_indices=True)
        self.winner = winner.contiguous()  # each window's first largest input
        padded = self._pad(a, float("-inf"))
        self.largest = [padded[(..., *view)] == top for view in self.views]
        self.count = sum(x.view(torch.uint8) if len(self.views) < 256 else x.int() for x in self.largest)
        ties = (self.count > 1).flatten().nonzero()[:, 0]
        self.ties = {True: ties, False: ties[top.flatten()[ties] != 0]}  # with windows of nothing but zeros, without

    def _pad(self, x, value):
        pairs = zip(reversed(self.padding), reversed(self.extra), strict=True)
        widths = [width for p, e in pairs for width in (p, p + e)]
        return torch.nn.functional.pad(x, widths, value=value)

    def down(self, r, zeros=True):
        """[targets, *pooled] -> [targets, *input]; zeros: whether what arrives at maxima of zero has to be shared."""
        # Windows of nothing but zeros are all ties, but behind a ReLU they have no relevance to share; where no
        # tie has any, each window's one winner takes everything, which is one scatter.
        if bool(torch.count_nonzero(r.flatten(1)[:, self.ties[zeros]])):
            shared = r * (self.count > 1)
            return self._share(shared / self.count) + self._scatter(r - shared)
        return self._scatter(r)

    def _scatter(self, r, apart=None):
        """Give each window's relevance to its first largest input.

        A GPU adds what meets at one input in any order, so that there windows that overlap take turns.
        """
        extent, apart = self.shape[-self.dims :], apart or (self.apart if r.is_cuda else [1] * self.dims)
        out = r.new_zeros(*r.shape[: -self.dims], math.prod(extent))
        for offset in itertools.product(*map(range, apart)):
            some = (..., *(slice(first, None, step) for first, step in zip(offset, apart, strict=True)))
            own = r[some].flatten(-self.dims)
            out.scatter_add_(-1, self.winner[some].flatten(-self.dims).expand(own.shape), own)
        return out.unflatten(-1, extent)

    def _share(self, r):
        """Give `r` to each of a window's largest inputs."""
        extent = self.shape[-self.dims :]
        sizes = [n + 2 * p + e for n, p, e in zip(extent, self.padding, self.extra, strict=True)]
        out = r.new_zeros(*r.shape[: -self.dims], *sizes)
        for view, largest in zip(self.views, self.largest, strict=True):
            out[(..., *view)] += r * largest
        inner = tuple(slice(p, p + n) for p, n in zip(self.padding, extent, strict=True))
        return out[(..., *inner)]


def windows(node, a):
    """Return the Windows of a max pooling node on input `a`."""
    dims = next(int(c) for c in opname(node) if c.isdigit())
    given = bound(node)
    given["stride"] = given["stride"] or given["kernel_size"]
    kernel, stride, padding, dilation = (
        spread(given[name], dims) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    value = node.meta["val"]
    size = (value[0] if isinstance(value, (tuple, list)) else value).shape[-dims:]
    return Windows(a, kernel, stride, padding, dilation, given["ceil_mode"], size)
