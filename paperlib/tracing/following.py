"""Follow the axes of clips through a network's operations; what cannot be followed is None."""

import re
from dataclasses import replace

import torch
from torch import fx, nn

from .axes import SPACE, Atom, Tracked, coarse, flat, joined, places, regroup, size, stretched
from .slices import (
    AVERAGE_POOLS,
    KERNELS,
    PADS,
    PICKS,
    WRITES,
    bound,
    indexed,
    kernel_of,
    opname,
    padded,
    parts,
    picked,
    resized,
    sliced,
    telling,
    unfolded,
    unordered,
    written,
)

MIXES = set("conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d".split())
ADAPTIVE = set(
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d".split()
)
AVERAGES = AVERAGE_POOLS | ADAPTIVE
RESIZES = ADAPTIVE | set(
    """
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
    """.split()
)
VIEWS = set("view reshape _unsafe_view flatten unflatten view_as squeeze unsqueeze".split())
REDUCTIONS = set("mean sum amax amin max min var std prod logsumexp any all norm linalg_vector_norm".split())
PERMUTES = set("permute transpose t movedim swapaxes numpy_T mT mH matrix_H adjoint".split())
# these hold nothing of their inputs
CONSTANT = re.compile(r"(new_)?(zeros|ones|full|empty|rand|randn)(_like)?|arange|sym_size")
PRODUCTS = set("mm bmm matmul addmm baddbmm".split())
WEIGHTED = MIXES | PRODUCTS | {"linear", "einsum"}
PARTS = set("split split_with_sizes chunk tensor_split unbind".split())


def follow(nodes, clip, values):
    """Return {node: Tracked, for parts a tuple of them, or None} of the operations that depend on the `clip` node.

    values: {placeholder: tensor} of the network's own, parameters as such, in which indices may be looked up.
    """
    shape = clip.meta["val"].shape
    found = {clip: Tracked(tuple((Atom(label, length),) for label, length in zip("BCTHW", shape, strict=True)))}
    for node in nodes:
        inputs = [source for source in node.all_input_nodes if source in found]
        if node.op != "call_function" or not inputs or CONSTANT.fullmatch(opname(node)):
            continue
        try:
            result = _result(node, inputs, found, values)
            found[node] = coarse(result) if isinstance(result, Tracked) else result
        except (IndexError, ValueError, TypeError, AttributeError, KeyError):  # a form that no rule expects
            found[node] = None
    return found


def _result(node, inputs, found, values):
    """Return what is known of one operation's result."""
    inputs = [source for source in inputs if source is node.args[1]] if opname(node) == "copy" else inputs
    kind, value, first = opname(node), node.meta["val"], found[inputs[0]]
    if kind == "getitem":
        return first[node.args[1]] if type(first) is tuple else first if node.args[1] == 0 else None
    if kind in PARTS:
        return first and parts(node, first, value)
    tracked = [found[source] for source in inputs if isinstance(found[source], Tracked)]
    if not tracked or kind in PICKS and not isinstance(first, Tracked):
        return None
    if kind in WRITES and (len(tracked) > 1 or inputs[0] is not node.args[0]):  # anywhere, in any order
        return None
    shape = tuple((value[0] if isinstance(value, (tuple, list)) else value).shape)
    steps = [t.step for t in tracked if t.step is not None]
    state = dict(step=max(steps, key=_when, default=None), averaged=all(t.averaged for t in tracked))
    if kind in ("index", "index_select"):
        return indexed(node, found[node.args[0]], shape, values)
    if kind in ("cat", "stack"):
        return _joined(node, found, shape, state, values)
    if kind in MIXING:
        return MIXING[kind](node, found, shape, state)
    alone = len(inputs) == 1
    return _unmixed(node, kind, first, tuple(inputs[0].meta["val"].shape), shape, alone, tracked, state)


def _unmixed(node, kind, first, before, shape, alone, tracked, state):
    """Return what is known of an operation's result that mixes no features.

    before, shape: of its first input and its result; alone: whether that input is its only one.
    """
    dims = len(before)
    if kind in REDUCTIONS and alone and shape != before:
        return _reduced(node, first, dims, shape, state)
    if kind == "select":
        return picked(first, node.args[1] % dims, node.args[2])
    if kind in ("slice", "narrow"):
        return sliced(node, first, shape)
    if kind in AVERAGES and len(shape) == dims:
        state["averaged"] |= any(size(axis) != length for axis, length in zip(first.axes, shape, strict=True))
    axes = _rearranged(node, kind, first, before, shape, tracked)
    return axes and Tracked(axes, **state)


def _attended(node, found, shape, state):
    """Return the result of fused attention: the places of the queries, the features of the values."""
    query, _, values = (found[source] for source in node.args[:3])
    return Tracked(query.axes[:-1] + values.axes[-1:], state["step"])


def _linear(node, found, shape, state):
    """Return the result of a linear layer: the last axis holds features from here on."""
    return Tracked((*found[node.all_input_nodes[0]].axes[:-1], (Atom("C", shape[-1]),)), **state)


def _rearranged(node, kind, first, before, shape, tracked):
    """Return the axes after an operation that mixes no features: a view, a permutation, a resize, entry by entry."""
    if kind in VIEWS:
        return regroup(first.axes, shape)
    if kind in PERMUTES:
        return tuple(first.axes[i] for i in _order(node, len(before)))
    if kind in ("roll", "flip"):
        return _turned(node, kind, first.axes)
    if kind == "as_strided":  # anywhere, in any order
        return None
    if kind == "repeat":
        axes = (None,) * (len(shape) - len(before)) + first.axes
        return _fitting(
            [axis and (*_times(n // size(axis)), *axis) for axis, n in zip(axes, shape, strict=True)], shape
        )
    if kind in ("expand", "expand_as"):
        return _fitting((None,) * (len(shape) - len(before)) + first.axes, shape)
    if kind in PICKS:
        axes, dim = list(_fitting(first.axes, shape)), bound(node)["dim"]
        axes[dim] = unordered(first.axes[dim], shape[dim])
        return tuple(axes)
    if kind in KERNELS and len(shape) == len(before):
        return resized(node, first.axes, kernel_of(node), shape)
    if kind in RESIZES and len(shape) == len(before):
        return tuple(map(stretched, first.axes, shape))
    return _elementwise(tracked, shape)


def _times(count):
    """Return the atoms of a repetition in front of what is repeated."""
    return (Atom("", count),) if count > 1 else ()


def _order(node, dims):
    """Return the order of the axes after a permutation, found out by permuting sizes."""
    sizes = torch.empty(list(range(1, dims + 1)), device="meta")
    return [n - 1 for n in node.target(sizes, *node.args[1:], **node.kwargs).shape]


def _when(step):
    """Return the first place of its axis that a time step is of."""
    return step.part.low if step.part else 0


def _turned(node, kind, axes):
    """Return axes after a roll or flip, which a later one may undo; None where they hold more than one thing."""
    axes = list(axes)
    dims = node.args[2] if kind == "roll" else node.args[1]
    for place, dim in enumerate(dims):
        (atom,) = axes[dim]
        if atom.inner or atom.stride != 1 or (kind == "flip" and atom.moved > 0) or (kind == "roll" and atom.moved < 0):
            return None
        moved = (atom.moved + node.args[1][place]) % atom.size if kind == "roll" else -1 - atom.moved
        axes[dim] = (replace(atom, moved=moved),)
    return tuple(axes)


def _fitting(axes, shape):
    """Return axes with an unnamed one wherever there is none of the right length."""
    return tuple(a if a and size(a) == n else (Atom("", n),) for a, n in zip(axes, shape, strict=True))


def _reduced(node, first, dims, shape, state):
    """Return the result of a mean or sum over some axes."""
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    over = range(dims) if over is None else [over] if isinstance(over, int) else over
    over = {dim % dims for dim in over}
    space = any(atom.label in SPACE for dim in over for atom in flat(first.axes[dim]))
    if len(shape) == dims:
        axes = tuple((Atom("", 1),) if dim in over else axis for dim, axis in enumerate(first.axes))
    else:
        axes = tuple(axis for dim, axis in enumerate(first.axes) if dim not in over)
    return Tracked(axes, state["step"], state["averaged"] or space)


def _convolved(node, found, shape, state):
    """Return the result of a convolution: the axis that it mixes holds features from here on."""
    first = found[node.all_input_nodes[0]]
    kernel = node.args[1].meta["val"].shape
    at = len(shape) - len(kernel) + 1
    axes = list(first.axes)
    each = kernel[1] == 1 and kernel[0] == shape[at] == size(axes[at])  # depthwise: features are kept apart
    axes[at] = axes[at] if each else (Atom("C", shape[at]),)
    over = zip(kernel[2:], axes[at + 1 :], strict=True)
    mixes = any(reach > 1 and any(atom.label in SPACE for atom in flat(axis)) for reach, axis in over)
    return Tracked(resized(node, tuple(axes), kernel[2:], shape), state["step"], state["averaged"] and not mixes)


def _product(node, found, shape, state):
    """Return the result of a matrix product of two tensors of which at least one depends on the clip."""
    left, right = (
        found.get(operand) for operand in (node.args[1:3] if opname(node) in ("addmm", "baddbmm") else node.args[:2])
    )
    if left is None:
        axes = (*right.axes[:-2], (Atom("", shape[-2]),), right.axes[-1])
    else:
        axes = (*left.axes[:-1], right.axes[-1] if right else (Atom("C", shape[-1]),))
    both = left is not None and right is not None
    return Tracked(
        _fitting((None,) * (len(shape) - len(axes)) + axes, shape), state["step"], state["averaged"] and not both
    )


def _einsum(node, found, shape, state):
    """Return the result of einsum: its letters name the axes."""
    inputs, output = node.args[0].replace(" ", "").split("->")
    known = {}
    for letters, operand in zip(inputs.split(","), node.args[1], strict=True):
        if found.get(operand) is not None:
            for letter, axis in zip(letters, found[operand].axes, strict=True):
                known.setdefault(letter, axis)
    return Tracked(tuple(known.get(letter, (Atom("C", n),)) for letter, n in zip(output, shape, strict=True)), **state)


def _joined(node, found, shape, state, values):
    """Return the result of `cat` or `stack`: time steps in order become time, tokens stand beside places."""
    members = node.args[0]
    dim = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % len(shape)
    known = [found.get(member) if isinstance(member, fx.Node) else None for member in members]
    tracked = [member for member in known if member is not None]
    steps = [member and member.step for member in known]
    ordered = joined([1] * len(known), [(step,) for step in steps]) if len(known) > 1 and all(steps) else ()
    in_order = bool(ordered and ordered[0].label)
    state = {**state, "step": None if in_order else state["step"]}
    axes = [telling(axes) for axes in zip(*(member.axes for member in tracked), strict=True)]
    if opname(node) == "stack":
        axes.insert(dim, ordered or (Atom("", len(known)),))
        return Tracked(tuple(axes), **state)
    lengths = [member.meta["val"].shape[dim] for member in members]
    if in_order and set(lengths) == {1}:
        axes[dim] = ordered
    else:
        learned = [member not in found and _learned(member, values) for member in members]
        each = [  # None for what holds nothing of the clip
            k.axes[dim] if k else (Atom("", n),) if member in found else None
            for k, n, member in zip(known, lengths, members, strict=True)
        ]
        axes[dim] = _concatenated(lengths, each, shape[dim], learned)
    return Tracked(tuple(axes), **state)


def _learned(node, values):
    """Whether a node holds what the network has learned, as a class token does, and not zeros that pad an axis."""
    while node.op == "call_function" and node.all_input_nodes and not CONSTANT.fullmatch(opname(node)):
        node = node.all_input_nodes[0]
    value = values.get(node)
    if value is not None and not isinstance(value, nn.Parameter) and not value.any():  # a class token may start at zero
        return False
    return node.op in ("placeholder", "get_attr")


def _concatenated(lengths, axes, total, learned):
    """Return the axis that comes of several one after the other; learned: which of them are parameters."""
    beside = [len(axes) > 1 and all(learned[:i] + learned[i + 1 :]) for i in range(len(axes))]
    placed = [i for i, axis in enumerate(axes) if axis and len(places(axis)) + beside[i] > 1 and places(axis)]
    if len(placed) == 1:  # places, and tokens beside them
        (here,) = placed
        before, inner = sum(lengths[:here]), axes[here]
        if len(inner) == 1 and inner[0].inner:
            before, inner = before + inner[0].before, inner[0].inner
        return (Atom("", total, 1, inner, before),)
    return joined(lengths, axes)


def _elementwise(tracked, shape):
    """Return the axes of a result computed element by element, after broadcasting; None for any other shape."""
    axes = [None] * len(shape)
    for back in range(1, len(shape) + 1):
        fit = [t.axes[-back] for t in tracked if len(t.axes) >= back and size(t.axes[-back]) == shape[-back]]
        axes[-back] = telling(fit) if fit else None
    for dim in range(len(shape) - max(len(member.axes) for member in tracked)):  # in front of all that is known
        axes[dim] = (Atom("", 1),) if shape[dim] == 1 else None
    return None if None in axes else tuple(axes)


# How the results of operations that mix features are known, or that may take a place from one tensor to another's:
# (node, found, shape, what is known besides)
MIXING = {
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(MIXES, _convolved),
    **dict.fromkeys(PADS, padded),
    "slice_scatter": written,
    "unfold": unfolded,
    "scaled_dot_product_attention": _attended,
    "einsum": _einsum,
    "linear": _linear,
}
