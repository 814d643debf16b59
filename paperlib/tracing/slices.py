"""What slices, indices, pads, pools and kernels make of a tensor's axes: all of an axis again, or a part of it."""

import operator
import re
from dataclasses import replace
from itertools import pairwise

import torch
from torch import fx

from ..convolution.transposes import spread
from .axes import Atom, Tracked, flat, named, places, size, stretched, swept, together

AVERAGE_POOLS = set("avg_pool1d avg_pool2d avg_pool3d".split())
KERNELS = AVERAGE_POOLS | set(
    "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices".split()
)
PADS = set(
    """
    constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d
    """.split()
)
PICKS = set("gather take_along_dim sort topk".split())  # in any order
WRITES = set("index_put index_copy index_add select_scatter scatter scatter_add masked_scatter".split())


def opname(node):
    """Return the ATen name of a node's operation, as in `conv3d`; `getitem` for a part of a tuple."""
    if node.target is operator.getitem:
        return "getitem"
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))


def bound(node):
    """Return {name: value} of all arguments of an ATen operation, defaults included; values may be nodes."""
    schema = node.target._schema.arguments
    found = {argument.name: argument.default_value for argument in schema}
    found.update(zip([argument.name for argument in schema if not argument.kwarg_only], node.args, strict=False))
    found.update(node.kwargs)
    return found


def parts(node, first, value):
    """Return the parts of a split, as slices; of `unbind`, as selected entries."""
    alone = opname(node) == "unbind"
    dim = node.kwargs.get("dim", node.args[-1] if len(node.args) > (1 if alone else 2) else 0) % len(first.axes)
    if alone:
        return tuple(picked(first, dim, i) for i in range(len(value)))
    found, at = [], 0
    for part in value:
        found.append(_slice(first, dim, at, 1, part.shape[dim]))
        at += part.shape[dim]
    return tuple(found)


def picked(first, dim, index):
    """Return a tensor without the axis that one entry was selected from."""
    found = _slice(first, dim, index % size(first.axes[dim]), 1, 1)
    return replace(found, axes=found.axes[:dim] + found.axes[dim + 1 :])


def sliced(node, first, shape):
    """Return a tensor after a slice of one axis."""
    dim = (node.args[1] if len(node.args) > 1 else 0) % len(shape)
    start = (node.args[2] if len(node.args) > 2 else 0) or 0
    start = start + size(first.axes[dim]) if start < 0 else start
    step = node.args[4] if opname(node) == "slice" and len(node.args) > 4 else 1
    return _slice(first, dim, max(start, 0), step, shape[dim])


def _slice(first, dim, start, step, length):
    """Return a tensor after a slice of one axis; of a single entry of time it is known which it was."""
    axis = _cut(first.axes[dim], start, step, length)
    alone = length == 1 < size(first.axes[dim])
    when = next((atom for atom in axis if alone and atom.label == "T"), first.step)
    return replace(first, axes=_with(first.axes, dim, axis), step=when)


def _with(axes, dim, axis):
    """Return axes with another one in one place."""
    return (*axes[:dim], axis, *axes[dim + 1 :])


def indexed(node, first, shape, values):
    """Return a tensor of which an axis was indexed by a list of numbers; None for any other index.

    values: {placeholder: tensor} of the network's own.
    """
    if opname(node) == "index":
        ((dim, which),) = [(dim, index) for dim, index in enumerate(node.args[1]) if index is not None]
    else:
        dim, which = node.args[1] % len(shape), node.args[2]
    axis, which = first.axes[dim], _value(which, values)
    n, which = size(axis), (which.nonzero()[:, 0] if which.dtype == torch.bool else which).tolist()
    which = [i % n for i in which]
    gaps = {after - one for one, after in pairwise(which)} or {1}
    if len(gaps) == 1 and min(gaps) > 0:
        return _slice(first, dim, which[0], min(gaps), len(which))
    # every so many, rounded, from one end to the other
    even = max(gaps) - min(gaps) == 1 <= min(gaps) and which[0] < max(gaps) and which[-1] >= n - max(gaps)
    return replace(first, axes=_with(first.axes, dim, (stretched if even else unordered)(axis, len(which))))


def unordered(axis, length):
    """Return an axis of entries of another in any order, which only features may be in."""
    return (Atom("C" if {atom.label for atom in flat(axis)} == {"C"} else "", length),)


def _value(node, values):
    """Return the value of a node that depends on nothing but the network's own tensors."""
    if node in values:
        return values[node]
    return node.target(*fx.map_arg(node.args, lambda x: _value(x, values)), **node.kwargs)


def _cut(axis, start, step, length):
    """Return an axis after a slice, which may take tokens in front away."""
    (atom,) = axis if len(axis) == 1 else (None,)
    if atom is not None and atom.inner:
        places = size(atom.inner)
        if step == 1 and start == atom.before and length == places:
            return atom.inner
        if step == 1 and start <= atom.before and start + length >= atom.before + places:
            return (replace(atom, size=length, before=atom.before - start),)
        return (Atom("", length),)
    return swept(axis, start, start, step, length)


def kernel_of(node):
    """Return the size of a pool's kernel along each axis that it is swept over."""
    return spread(bound(node)["kernel_size"], int(re.search(r"(\d)d", opname(node))[1]))


def resized(node, axes, kernel, shape):
    """Return axes of which the last ones are those that a kernel of these sizes was swept over."""
    given, ahead = bound(node), len(shape) - len(kernel)
    if given.get("transposed") or opname(node).startswith("conv_transpose"):
        return tuple(map(stretched, axes, shape))
    padding = 0 if isinstance(given["padding"], str) else given["padding"]  # "same" keeps the length, "valid" pads none
    settings = [spread(x, len(kernel)) for x in (given["stride"] or kernel, padding, given.get("dilation", 1))]
    found = [
        swept(axis, -pad, (size - 1) * gap - pad, step, length)
        for axis, length, size, step, pad, gap in zip(axes[ahead:], shape[ahead:], kernel, *settings, strict=True)
    ]
    return (*axes[:ahead], *found)


def padded(node, found, shape, state):
    """Return the result of padding, or of cropping by negative padding."""
    axes, pads = found[node.args[0]].axes, list(node.args[1])[-2::-2]  # in front, from the first axis on
    front = [0] * (len(shape) - len(pads)) + pads
    axes = (swept(axis, -n, -n, 1, length) for axis, n, length in zip(axes, front, shape, strict=True))
    return Tracked(tuple(axes), **state)


def unfolded(node, found, shape, state):
    """Return the result of `unfold`: the windows' entries stand last."""
    axes, (dim, window, step) = found[node.args[0]].axes, node.args[1:]
    dim %= len(axes)
    windows = swept(axes[dim], 0, window - 1, step, shape[dim])
    return Tracked((*_with(axes, dim, windows), (Atom("C", window),)), **state)


def written(node, found, shape, state):
    """Return the result of writing a tensor into a slice of another."""
    given = bound(node)
    base, source, dim = given["self"], given["src"], given["dim"] % len(shape)
    if source not in found or base in found and found[base] is None:
        return found[base]
    first, placed, start = found.get(base), found[source], given["start"] or 0
    if placed is None:  # nothing is known of what is written
        axes, axis = first.axes, None
    else:
        start = start + shape[dim] if start < 0 else start
        axis = swept(placed.axes[dim], -start, -start, 1, shape[dim])
        axis = axis if given["step"] == 1 else (Atom("", shape[dim]),)
        axes = _with(placed.axes, dim, axis)
    if first is not None:
        axes = tuple(map(telling, zip(first.axes, axes, strict=True)))
        if places(first.axes[dim]) and axis != first.axes[dim]:
            axes = _with(axes, dim, (Atom("", shape[dim]),))
    return Tracked(axes, **state)


def telling(axes):
    """Return the axis of a result of which these are its parts' in one place: places before features before nothing."""
    tells = [len(places(axis)) or 0.5 * named(axis) for axis in axes]
    return together([axis for axis, told in zip(axes, tells, strict=True) if told == max(tells)])
