"""Theoretical temporal receptive field: how many frames can influence one output step."""

import math
import operator

import torch
from torch import fx, nn

from ..errors import InputError
from . import base
from .adapt import Adapted
from .clstm import Cell
from .inputs import first_line
from .modules import NonLocal, Shift

KERNELS = (nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d)


def temporal_receptive_field(model: nn.Module) -> float:
    """Return the number of consecutive input frames that one output step of `model` can depend on.

    Follows the model's graph with the usual recursion (field += (kernel - 1) x step; step *= stride) and
    takes the largest field where branches meet. Frames beyond the clip's ends count, so the field can exceed
    the clip; it is math.inf for networks with global exchange (non-local, C-LSTM, transformers). Of an adapted network
    it is that of the network inside. Raises InputError where its Python code cannot be followed without a clip.
    """
    model = model.net if isinstance(model, Adapted) else model
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
    reach: dict[fx.Node, tuple[float, float]] = {}  # node -> (field, step), both in input frames
    for node in graph.nodes:
        inputs = [reach[n] for n in node.all_input_nodes if n in reach]
        field = max((f for f, _ in inputs), default=1)
        step = max((s for _, s in inputs), default=1)
        kernel, stride = _extent(node, model)
        reach[node] = (field + (kernel - 1) * step if kernel < math.inf else math.inf, step * stride)
    field = max(f for f, _ in reach.values())
    return field if field == math.inf else round(field)


def _extent(node, model):
    """Return (kernel, stride) in time of one operation; (1, 1) if it does not look across time."""
    if node.op == "call_module":
        layer = model.get_submodule(node.target)
        if isinstance(layer, KERNELS):
            first = [v if isinstance(v, int) else v[0] for v in (layer.kernel_size, layer.stride)]
            return tuple(first)
        if isinstance(layer, (NonLocal, Cell)):
            return math.inf, 1
        return (3, 1) if isinstance(layer, Shift) else (1, 1)
    if node.op == "call_function" and node.target is base.average_pairs:
        return 2, 1
    if node.op == "call_function" and node.target is operator.getitem and isinstance(node.args[1], tuple):
        frames = [index for index in node.args[1] if isinstance(index, list)]  # SlowFast's slow frames
        if frames and len(frames[0]) > 1:
            return 1, round((frames[0][-1] - frames[0][0]) / (len(frames[0]) - 1))
    return 1, 1


class Tracer(fx.Tracer):
    """Symbolic tracer for which layers with a temporal extent are single operations."""

    def is_leaf_module(self, module, qualified_name):
        """Return whether to keep `module` as one operation."""
        return isinstance(module, (*KERNELS, NonLocal, Cell, Shift)) or super().is_leaf_module(module, qualified_name)

    def trace(self, root, concrete_args=None):
        """Trace in evaluation mode, without parameters' values being touched."""
        training = root.training
        root.eval()
        try:
            with torch.no_grad():
                return super().trace(root, concrete_args)
        finally:
            root.train(training)
