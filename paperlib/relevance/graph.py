"""Capture a network's frame logits as a list of tensor operations without side effects.

`models.recording` records what the network computes. Each operation remembers the module it ran in, so that rules
and errors can speak of layers.
"""

import functools
import operator
import weakref
from dataclasses import dataclass, field

from torch import fx, nn

from ..errors import InputError
from ..models.inputs import check_frame_logits
from ..models.recording import record

VALUE_FREE = {
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "new_zeros",
    "new_ones",
    "new_full",
    "new_empty",
    "rand_like",
    "randn_like",
    "sym_size",
    "zeros",
    "ones",
    "full",
    "arange",
}

_captured = weakref.WeakKeyDictionary()


@dataclass
class Graph:
    """The operations from clip to frame logits, in the order in which they run."""

    clip: fx.Node
    output: fx.Node
    operations: list
    states: dict = field(default_factory=dict)  # placeholder -> path of a parameter or buffer, read live
    constants: dict = field(default_factory=dict)  # placeholder -> tensor written into the network's code
    varies: set = field(default_factory=set)  # nodes whose value depends on the clip


def capture(model, clip):
    """Return the Graph of `model.frame_logits` at the shape of `clip` [B, 3, T, H, W]; cached per model.

    Raises InputError where the model has no `frame_logits`, where their mean over time is not what `forward` gives for
    this clip, and where the model decides on tensor values in Python.
    """
    key = (tuple(clip.shape), clip.dtype, clip.device, tuple(map(id, model.modules())))
    graphs = _captured.setdefault(model, {})
    if key not in graphs:
        check_frame_logits(model, clip)
        name = f"{type(model).__name__}.frame_logits"
        graphs[key] = _read(record(model, name, _FrameLogits(model), clip))
    return graphs[key]


class _FrameLogits(nn.Module):
    """Make `frame_logits` the forward of a module, which is what torch.export records."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clip):
        return self.model.frame_logits(clip)


def _read(program):
    """Turn an ExportedProgram into a Graph."""
    signature = program.graph_signature
    nodes = list(program.graph.nodes)
    inputs = {node.name: node for node in nodes if node.op == "placeholder"}
    results = nodes[-1].args[0]
    if len(signature.user_inputs) != 1 or len(results) != 1 or not isinstance(results[0], fx.Node):
        raise InputError("frame_logits must take one clip and return one tensor [B, T', K]")
    graph = Graph(inputs[signature.user_inputs[0]], results[0], [n for n in nodes if n.op == "call_function"])
    for name, path in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items():
        graph.states[inputs[name]] = path.removeprefix("model.")
    for name, path in signature.inputs_to_lifted_tensor_constants.items():
        graph.constants[inputs[name]] = program.constants[path]
    graph.varies = {graph.clip}
    for node in graph.operations:
        if opname(node) not in VALUE_FREE and any(source in graph.varies for source in node.all_input_nodes):
            graph.varies.add(node)
    if graph.output not in graph.varies:
        raise InputError("frame_logits does not depend on the clip")
    return graph


def fetch(model, graph, node):
    """Return the present value of a parameter, buffer or constant of the graph."""
    if node in graph.constants:
        return graph.constants[node]
    return functools.reduce(getattr, graph.states[node].split("."), model).detach()


def opname(node):
    """Return the ATen name of a node's operation, as in `conv3d`; `getitem` for a part of a tuple."""
    if node.target is operator.getitem:
        return "getitem"
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))


def module_path(node):
    """Return the path of the innermost module that ran the operation, '' for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return "" if path == "model" else path.removeprefix("model.")


def owner(model, node):
    """Return the innermost module that ran the operation."""
    path = module_path(node)
    return functools.reduce(getattr, path.split("."), model) if path else model


def describe(model, node):
    """Name an operation for people: `layer1.0.conv1 (Conv3d): conv3d`."""
    return f"{module_path(node) or 'the network'} ({type(owner(model, node)).__name__}): {opname(node)}"
