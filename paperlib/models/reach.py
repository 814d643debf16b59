"""Theoretical temporal receptive field: how many frames can influence one output step."""

import math
import operator
from dataclasses import dataclass, replace

import torch
from torch import fx, nn
from torch.nn.modules import activation, batchnorm, dropout

from ..errors import InputError
from ..tracing.inputs import first_line
from ..tracing.probing import evaluating
from . import base, original_i3d, slowfast
from .adapt import Adapted
from .clstm import Cell, check_size
from .modules import NonLocal, Shift

ENDS = (nn.Flatten, nn.Unflatten, nn.Softmax, nn.LogSoftmax, nn.Softmin)  # behind a mean over time
ONE_AXIS = (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d)  # of which the last axis is taken for time
KERNELS = (nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d, *ONE_AXIS)
GLOBAL = (
    *(NonLocal, Cell, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Transformer, nn.InstanceNorm1d, nn.InstanceNorm3d),
)
SHARES = ("Softmax", "LogSoftmax", "Softmin", "softmax", "log_softmax")
# layers for pictures, which have the frames in their batch
PICTURES = (nn.Conv2d, nn.InstanceNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
# what computes every frame by itself, where time is none of the axes that it mixes
ALONE = (
    *(nn.Identity, nn.Linear, nn.LayerNorm, batchnorm._BatchNorm, dropout._DropoutNd, *PICTURES),
    *(getattr(activation, name) for name in activation.__all__ if name not in ("MultiheadAttention", *SHARES)),
)
ALONE_FUNCTIONS = set(
    """
    add iadd sub isub mul imul truediv div neg pow abs exp log sqrt square clamp relu relu_ relu6 leaky_relu elu gelu
    silu mish hardswish hardtanh sigmoid hardsigmoid tanh softplus dropout dropout1d dropout2d dropout3d batch_norm
    linear transpose permute contiguous clone detach float to unsqueeze squeeze expand cat concat
    """.split()
)
OWN_FUNCTIONS = (base.check_clip, check_size, original_i3d.same_pad, slowfast.pool)  # leave time alone, too
REDUCTIONS = set("mean sum amax amin".split())
NUMBERS = set("size dim ndim len shape device dtype".split())  # what is asked of a tensor is no part of the clip
SPACE = ({3, 4}, {-1, -2}, {3}, {4})  # axes of [B, C, T, H, W] whose mean leaves time alone


@dataclass(frozen=True)
class Reach:
    """How far one entry of a tensor sees: its field and the step to the next entry, in frames of the clip.

    mean: the node that may have averaged over time, None without one. axes: the tensor's, as letters of BCTHW, "" for
    another; None where they were lost.
    """

    field: float = 1
    step: float = 1
    mean: fx.Node | None = None
    axes: tuple | None = tuple("BCTHW")


def temporal_receptive_field(model: nn.Module) -> float:
    """Return the number of consecutive input frames that one output step of `model` can depend on.

    Follows the model's graph with the usual recursion (field += (kernel - 1) x dilation x step; step *= stride) and
    takes the largest field where branches meet; a mean over time at the end is not part of a step. Frames beyond the
    clip's ends count, so the field can exceed the clip; it is math.inf for networks with global exchange (non-local,
    recurrent layers, attention, squeeze and excitation over all frames). Of an adapted network it is that of the
    network inside, 1 where that is given frame by frame. Raises InputError where its Python code cannot be followed
    without a clip, and for operations of which the code does not tell whether they look across time.
    """
    clip = Reach()
    if isinstance(model, Adapted):
        if model.layout == "(B T) C H W":
            return 1
        if model.layout == "B (T C) H W":
            return math.inf
        clip = Reach(axes=tuple("BTCHW")) if model.layout == "B T C H W" else clip
        model = model.net
    if getattr(model, "attends", False):
        return math.inf
    try:
        graph = Tracer().trace(model)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the receptive field of {type(model).__name__} cannot be read off its code, which symbolic tracing cannot "
            f"follow: {first_line(error)}"
        ) from error
    reach: dict[fx.Node, Reach] = {}  # of what depends on the clip
    for node in graph.nodes:
        inputs = [reach[n] for n in node.all_input_nodes if n in reach]
        if node.op == "placeholder":
            reach[node] = clip
        elif inputs and node.op != "output" and _name(node) not in NUMBERS:
            reach[node] = _behind(node, model, inputs)
    field = max((r.field for r in reach.values()), default=1)
    return field if field == math.inf else round(field)


def _behind(node, model, inputs):
    """Return the Reach of an operation's result, given those of what it takes."""
    axes = max((r.axes for r in inputs if r.axes), key=len, default=None)
    before = Reach(max(r.field for r in inputs), max(r.step for r in inputs), inputs[0].mean, axes)
    if before.field == math.inf:
        return before
    if len({r.mean is None for r in inputs}) == 2:  # what is averaged over time meets what is not
        mean = next(r.mean for r in inputs if r.mean)
        if mean.op == "call_module":
            return Reach(math.inf)
        raise _unknown(model, f"{_name(mean)}, which meets its own tensor in {_name(node)},")
    extent = _extent(node, model, before.mean is not None, axes)
    before = replace(before, axes=axes and _axes(node, axes))
    if extent == "mean":
        return replace(before, mean=node)
    if extent is None:
        layer = node.op == "call_module"
        raise _unknown(model, _name(node) + (f" ({type(model.get_submodule(node.target)).__name__})" if layer else ""))
    kernel, stride = extent
    return replace(before, field=before.field + (kernel - 1) * before.step, step=before.step * stride)


def _unknown(model, what):
    """Return the InputError for an operation of which it is not known what it does with time."""
    return InputError(
        f"the receptive field of {type(model).__name__} cannot be read off its code, which does not tell whether "
        f"{what} looks across time"
    )


def _name(node):
    """Return the name of an operation, for a module that of its path."""
    if node.target is getattr:
        return node.args[1]
    return node.target if isinstance(node.target, str) else node.target.__name__


def _axes(node, axes):
    """Return the axes of an operation's result, given those of what it takes; None where they are lost."""
    name, rest = _name(node), node.args[1:]
    if node.op == "call_module":
        return axes
    if node.target is slowfast.pool:
        return axes[:3]
    if name in REDUCTIONS:
        given = rest[0] if rest else node.kwargs.get("dim")
        given = given if isinstance(given, tuple | list) else [given]
        over = {dim % len(axes) for dim in given if dim is not None}
        kept = node.kwargs.get("keepdim", len(rest) > 1 and rest[1])
        return tuple("" if dim in over else axis for dim, axis in enumerate(axes) if kept or dim not in over)
    found = list(axes)
    if name == "transpose":
        one, two = rest
        found[one], found[two] = found[two], found[one]
    elif name == "permute":
        found = [axes[dim] for dim in (rest[0] if isinstance(rest[0], tuple | list) else rest)]
    elif name == "unsqueeze":
        found.insert(rest[0] % (len(axes) + 1), "")
    elif name == "squeeze" and rest:
        del found[rest[0]]
    elif name == "flatten" and rest == (0, 1):
        found[:2] = [axes[0] + axes[1]]
    elif name == "getitem":
        index = rest[0] if isinstance(rest[0], tuple) else (rest[0],)
        if node.args[0].op != "placeholder" and any(one is None or one is ... or isinstance(one, int) for one in index):
            return None
    elif name not in ALONE_FUNCTIONS and node.target not in (*OWN_FUNCTIONS, base.average_pairs):
        return None
    return tuple(found)


def _extent(node, model, averaged, axes):
    """Return (kernel, stride) in time of one operation, (1, 1) where it does not look across time.

    averaged: whether its tensor may be averaged over time already; axes: the tensor's. "mean" where that may happen
    here, None where what it does with time is not known.
    """
    if node.op == "call_module":
        return _of_layer(model.get_submodule(node.target), averaged, axes)
    name, rest = _name(node), node.args[1:]
    if node.target is base.average_pairs:
        return 2, 1
    if name == "scaled_dot_product_attention":
        return math.inf, 1
    if name in REDUCTIONS:
        over = rest[0] if rest else node.kwargs.get("dim")
        return (
            (1, 1) if over is not None and {*(over if isinstance(over, tuple | list) else [over])} in SPACE else "mean"
        )
    if node.target is operator.getitem:
        return _of_part(rest[0] if isinstance(rest[0], tuple) else (rest[0],), averaged)
    if (
        averaged
        and name in ("flatten", "view", "reshape", "unflatten", *SHARES)
        or name == "flatten"
        and rest == (0, 1)
    ):
        return 1, 1
    if name == "linear" and not averaged:
        return _all_of(axes, 1)
    library = (getattr(node.target, "__module__", None) or "torch").partition(".")[0] in ("torch", "_operator")
    return (1, 1) if name in ALONE_FUNCTIONS and library or node.target in OWN_FUNCTIONS else None


def _all_of(axes, count):
    """Return what `_extent` does of an operation that mixes all of the last `count` axes."""
    return axes and ((math.inf if any("T" in axis for axis in axes[-count:]) else 1), 1)


def _of_layer(layer, averaged, axes):
    """Return what `_extent` does of a module."""
    if isinstance(layer, KERNELS):
        sizes = layer.kernel_size, layer.stride, getattr(layer, "dilation", 1)
        dims = 1 if isinstance(layer, ONE_AXIS) else 3
        if axes and isinstance(layer, nn.modules.conv._ConvNd) and "T" in axes[-dims - 1]:
            return math.inf, 1
        at = next((dim for dim, axis in enumerate(axes[-dims:]) if "T" in axis), None) if axes else 0
        if at is None:
            return 1, 1
        kernel, stride, dilation = (v if isinstance(v, int) else v[at] for v in sizes)
        return (kernel - 1) * dilation + 1, stride
    if isinstance(layer, GLOBAL):
        return math.inf, 1
    if isinstance(layer, (nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d)):
        size = layer.output_size
        return {1: "mean", None: (1, 1)}.get(size[0] if isinstance(size, tuple | list) else size)
    if isinstance(layer, Shift):
        return 3, 1
    if isinstance(layer, (nn.Linear, nn.LayerNorm)) and not averaged:
        return _all_of(axes, 1 if isinstance(layer, nn.Linear) else len(layer.normalized_shape))
    if isinstance(layer, PICTURES) and not averaged and (not axes or any("T" in axis for axis in axes[-3:])):
        return None
    return (1, 1) if isinstance(layer, ALONE) or averaged and isinstance(layer, ENDS) else None


def _of_part(index, averaged):
    """Return what `_extent` does of a tensor's part, by its index for each of the first axes."""
    picked = [(axis, one) for axis, one in enumerate(index) if one not in (slice(None), None)]
    if averaged or all(axis == 0 or axis > 2 for axis, _ in picked) and ... not in index:
        return 1, 1
    if len(picked) > 1:
        return None
    ((axis, one),) = picked
    if axis == 2 and isinstance(one, list) and len(one) > 1 and one == sorted(one):  # SlowFast's slow frames
        return 1, round((one[-1] - one[0]) / (len(one) - 1))
    return "mean" if isinstance(one, int) else None  # one step, or one feature


class Tracer(fx.Tracer):
    """Symbolic tracer for which layers with a temporal extent are single operations."""

    def is_leaf_module(self, module, qualified_name):
        """Return whether to keep `module` as one operation."""
        return isinstance(module, (*KERNELS, *GLOBAL, Shift)) or super().is_leaf_module(module, qualified_name)

    def trace(self, root, concrete_args=None):
        """Trace in evaluation mode, without parameters' values being touched."""
        with evaluating(root), torch.no_grad():
            return super().trace(root, concrete_args)
