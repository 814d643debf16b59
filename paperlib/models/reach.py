"""Theoretical temporal receptive field: how many frames can influence one output step."""

import math
import operator
from dataclasses import dataclass, replace

import torch
from torch import fx, nn
from torch.nn.modules import activation, batchnorm, dropout

from ..errors import InputError
from ..tracing.inputs import first_line, network
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
ADAPTIVE = {2: (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), 3: (nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d)}
# layers for pictures, which have the frames in their batch
PICTURES = (nn.Conv2d, nn.InstanceNorm2d, nn.MaxPool2d, nn.AvgPool2d, *ADAPTIVE[2])
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
MOVES = REDUCTIONS | set("transpose permute unsqueeze squeeze flatten unflatten getitem".split())
SIZES = {"B": 1009, "C": 1013, "T": 1019, "H": 1021, "W": 1031}  # primes, by which axes are known again


@dataclass(frozen=True)
class Reach:
    """How far one entry of a tensor sees: its field and the step to the next entry, in frames of the clip.

    mean: the node that averaged over time, None without one. axes: the tensor's, as letters of BCTHW, "" for
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
    network inside, whose batch may hold the frames. Raises InputError where its Python code cannot be followed
    without a clip, and for operations of which the code does not tell whether they look across time.
    """
    clip, model = Reach(), network(model)
    if isinstance(model, Adapted):
        if model.layout == "B (T C) H W":
            return math.inf
        axes = {"B T C H W": tuple("BTCHW"), "(B T) C H W": ("BT", "C", "H", "W")}
        clip = Reach(axes=axes.get(model.layout, clip.axes))
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
    after = axes and _axes(node, model, axes)
    extent = _extent(node, model, before.mean is not None, axes, after)
    before = replace(before, axes=after)
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


def _axes(node, model, axes):
    """Return the axes of an operation's result, given those of what it takes; None where they are lost."""
    name = _name(node)
    if node.op == "call_module":
        sizes = _pooled_to(model.get_submodule(node.target))
        ahead = len(axes) - len(sizes)
        return axes[:ahead] + tuple("" if n == 1 else axis for n, axis in zip(sizes, axes[ahead:], strict=True))
    if node.target is slowfast.pool:
        return axes[:3]
    if name not in MOVES:
        return axes if name in ALONE_FUNCTIONS or node.target in (*OWN_FUNCTIONS, base.average_pairs) else None
    try:
        return _moved(node, name, axes)
    except (TypeError, IndexError, KeyError, RuntimeError):  # arguments that come of the clip, or do not fit it
        return None


def _moved(node, name, axes):
    """Return the axes after an operation that moves some of them, found out by what it does to sizes."""
    args, kwargs = node.args[1:], node.kwargs
    if name == "getitem":
        if node.args[0].op == "placeholder" and isinstance(args[0], int):  # one of several pathways
            return axes
        args = (tuple(i if i is None or i is ... or isinstance(i, int) else slice(None) for i in _index(node)),)
    if name == "squeeze" and (args or kwargs):  # of any axis, since a pool may have left one entry of it
        dims = args[0] if args else kwargs["dim"]
        gone = {dim % len(axes) for dim in (dims if isinstance(dims, tuple | list) else [dims])}
        return tuple(axis for dim, axis in enumerate(axes) if dim not in gone)
    if name == "squeeze" and {"H", "W"} & set("".join(axes)):
        return None
    if name == "unflatten":  # only of what was flattened before
        dim = args[0] % len(axes)
        return axes[:dim] + tuple(axes[dim]) + axes[dim + 1 :] if len(axes[dim]) == len(args[1]) else None
    clip = torch.empty([math.prod(SIZES[letter] for letter in axis) for axis in axes], device="meta")
    moved = getattr(clip, name)(*args, **kwargs) if node.op == "call_method" else node.target(clip, *args, **kwargs)
    return tuple("".join(letter for letter in "".join(axes) if size % SIZES[letter] == 0) for size in moved.shape)


def _pooled_to(layer):
    """Return the sizes that a layer brings the last axes to, None for one that stays as it is."""
    dims = next((dims for dims, kinds in ADAPTIVE.items() if isinstance(layer, kinds)), 0)
    size = layer.output_size if dims else ()
    return tuple(size) if isinstance(size, tuple | list) else (size,) * dims


def _index(node):
    """Return what each axis is indexed with."""
    index = node.args[1]
    return index if isinstance(index, tuple) else (index,)


def _extent(node, model, averaged, axes, after):
    """Return (kernel, stride) in time of one operation, (1, 1) where it does not look across time.

    averaged: whether its tensor is averaged over time already; axes: the tensor's, after: the result's. "mean" where
    that happens here, None where what it does with time is not known.
    """
    if node.op == "call_module":
        return _of_layer(model.get_submodule(node.target), averaged, axes)
    name = _name(node)
    if node.target is base.average_pairs:
        return 2, 1
    if name == "scaled_dot_product_attention":
        return math.inf, 1
    if averaged and name in ("getitem", "flatten", "view", "reshape", "unflatten", *REDUCTIONS, *SHARES):
        return 1, 1
    if name in REDUCTIONS:
        return after and ((1, 1) if any("T" in axis for axis in after) else "mean")
    if node.target is operator.getitem:
        return axes and _of_part(_index(node), axes)
    if name in ("flatten", "unflatten"):
        return (1, 1) if after and all(set(axis) <= {"B", "T"} for axis in after if "T" in axis) else None
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
        at = _place(axes, dims)
        if at is None:
            return (1, 1) if averaged or axes else None
        kernel, stride, dilation = (v if isinstance(v, int) else v[at] for v in sizes)
        return (kernel - 1) * dilation + 1, stride
    if isinstance(layer, GLOBAL):
        return math.inf, 1
    if isinstance(layer, ADAPTIVE[3]):
        at = _place(axes, 3)
        if at is None:
            return (1, 1) if averaged or axes else None
        return {1: "mean", None: (1, 1)}.get(_pooled_to(layer)[at])
    if isinstance(layer, Shift):
        return 3, 1
    if isinstance(layer, (nn.Linear, nn.LayerNorm)) and not averaged:
        return _all_of(axes, 1 if isinstance(layer, nn.Linear) else len(layer.normalized_shape))
    if isinstance(layer, PICTURES) and not averaged and (not axes or any("T" in axis for axis in axes[-3:])):
        return None
    return (1, 1) if isinstance(layer, ALONE) or averaged and isinstance(layer, ENDS) else None


def _place(axes, count):
    """Return which of the last `count` axes is time, None for none of them."""
    return next((dim for dim, axis in enumerate((axes or ())[-count:]) if "T" in axis), None)


def _of_part(index, axes):
    """Return what `_extent` does of a tensor's part, by its index for each of the first axes."""
    given = [one for one in index if one is not None]
    if ... in given:
        at = given.index(...)
        given[at : at + 1] = [slice(None)] * (len(axes) - len(given) + 1)
    picked = [(axis, one) for axis, one in zip(axes, given, strict=False) if one != slice(None)]
    if len(picked) > 1 and not all(isinstance(one, int | slice) for _, one in picked):
        return None
    one = next((one for axis, one in picked if "T" in axis), None)
    if isinstance(one, list) and len(one) > 1 and one == sorted(one):  # SlowFast's slow frames
        return 1, round((one[-1] - one[0]) / (len(one) - 1))
    return (1, 1) if one is None else "mean" if isinstance(one, int) else None  # one step


class Tracer(fx.Tracer):
    """Symbolic tracer for which layers with a temporal extent are single operations."""

    def is_leaf_module(self, module, qualified_name):
        """Return whether to keep `module` as one operation."""
        return isinstance(module, (*KERNELS, *GLOBAL, Shift)) or super().is_leaf_module(module, qualified_name)

    def trace(self, root, concrete_args=None):
        """Trace in evaluation mode, without parameters' values being touched."""
        with evaluating(root), torch.no_grad():
            return super().trace(root, concrete_args)
