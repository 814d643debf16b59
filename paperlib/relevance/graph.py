"""Capture a network's frame logits as a list of tensor operations without side effects.

`tracing.recording` records what the network computes. Each operation remembers the module it ran in, so that rules
and errors can speak of layers.
"""

import functools
import weakref
from dataclasses import dataclass, field

import torch
from torch import fx, nn

from ..errors import InputError
from ..models.base import VideoModel
from ..tracing.architecture import architecture, kept
from ..tracing.inputs import check_frame_logits, class_logits
from ..tracing.probing import evaluating
from ..tracing.recording import record
from ..tracing.slices import opname
from . import fused

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
    "zero",
}

# operations whose result holds values of one argument only; of the other they take the type or the shape
HELD = dict.fromkeys(("type_as", "expand_as", "view_as", "reshape_as", "to"), 0) | {"copy": 1, "fill": 1}

_captured = weakref.WeakKeyDictionary()
_shared = weakref.WeakKeyDictionary()  # network -> Graphs of networks that were said to differ in weights alone


@dataclass
class Graph:
    """The operations from clip to frame logits, or to class logits, in the order in which they run."""

    clip: fx.Node
    output: fx.Node
    operations: list
    states: dict = field(default_factory=dict)  # placeholder -> path of a module's tensor, read live
    constants: dict = field(default_factory=dict)  # placeholder -> tensor written into the network's code, or in a list
    varies: set = field(default_factory=set)  # nodes whose value depends on the clip, and may have relevance


def capture(model, clip):
    """Return the Graph of `model.frame_logits` at the shape of `clip` [B, 3, T, H, W]; cached per model.

    Raises InputError where the model has no `frame_logits`, where their mean over time is not what `forward` gives for
    this clip, and where the model decides on tensor values in Python.
    """
    return _kept(model, clip, "frame_logits", lambda: check_frame_logits(model, clip))


def capture_forward(model, clip):
    """Return the Graph of `model(clip)`, class logits [B, K], at the shape of `clip` [B, 3, T, H, W]; cached per model.

    Raises InputError where `forward` gives no class logits, and where the model decides on tensor values in Python.
    """

    def check():
        with evaluating(model), torch.no_grad():
            class_logits(model, clip)

    return _kept(model, clip, "forward", check)


def _kept(model, clip, method, check):
    """Return the Graph of a method of the model, recorded anew after `check` where there is none of it as it is now."""
    place = (method, tuple(clip.shape), clip.dtype, clip.device)

    def make():
        check()
        alike, shared = (*place, architecture(model)), _shared.get(model, {})
        graph = shared.get(alike)
        if graph is None:
            name = f"{type(model).__name__}.{method}"
            graph = _read(model, fused.apart(record(model, name, _Method(model, method), clip)), method)
        if isinstance(model, VideoModel) and model.config:
            shared[alike] = graph
        return graph

    return kept(_captured, model, place, make)


def share_recordings(model, graphs):
    """Let a network have the Graph of another of the same architecture; graphs: a WeakValueDictionary for all of them.

    Recording takes as long as the relevance of several clips. Only for those who know that nothing but the weights
    differs: a function of torch that was replaced in between cannot be seen here.
    """
    _shared[model] = graphs


class _Method(nn.Module):
    """Make a method of the network the forward of a module, which is what torch.export records."""

    def __init__(self, model, method):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, clip):
        return self.model(clip) if self.method == "forward" else self.model.frame_logits(clip)


def _read(model, program, method):
    """Turn an ExportedProgram of a model's method into a Graph."""
    signature = program.graph_signature
    nodes = list(program.graph.nodes)
    inputs = {node.name: node for node in nodes if node.op == "placeholder"}
    results = nodes[-1].args[0][len(signature.buffers_to_mutate) :]  # what it leaves in its buffers explains nothing
    if len(signature.user_inputs) != 1 or len(results) != 1 or not isinstance(results[0], fx.Node):
        raise InputError(f"{method} must take one clip and return one tensor of logits")
    graph = Graph(inputs[signature.user_inputs[0]], results[0], [n for n in nodes if n.op == "call_function"])
    for name, path in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items():
        graph.states[inputs[name]] = path.removeprefix("model.")
    for name, path in signature.inputs_to_lifted_tensor_constants.items():
        path, value = path.removeprefix("model."), program.constants[path]
        if torch.is_tensor(_attribute(model, path)):
            graph.states[inputs[name]] = path
        else:
            graph.constants[inputs[name]] = value
    mark(graph)
    if graph.output not in graph.varies:
        raise InputError(f"{method} does not depend on the clip, or by comparisons and indices alone")
    return graph


def mark(graph):
    """Note which nodes of the graph depend on the clip.

    Truth values and indices do not count, nor what is made of them alone: they decide which values are taken.
    """
    graph.varies = {graph.clip}
    for node in graph.operations:
        if _continuous(node) and any(source in graph.varies for source in valued(node)):
            graph.varies.add(node)


def _continuous(node):
    """Whether an operation gives numbers that are no integers, in one of its results at least."""
    value = node.meta.get("val")  # none of checks that give nothing
    parts = value if isinstance(value, (tuple, list)) else [value]
    return any(isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex()) for x in parts)


def walk(model, graph, clips, keep):
    """Yield (operation, {node: value}) in order, for whoever adds its value; what nobody needs any more is dropped.

    clips: of the shape that the graph was made for. keep: nodes whose values stay.
    """
    values = {graph.clip: clips} | {node: fetch(model, graph, node) for node in (*graph.states, *graph.constants)}
    last_use = {source: node for node in graph.operations for source in node.all_input_nodes}
    for node in graph.operations:
        yield node, values
        for source in node.all_input_nodes:
            if last_use[source] is node and source not in keep:
                values.pop(source, None)


def compute(node, values):
    """Return what an operation gives, {node: value} of its inputs given."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
    return node.target(*args, **kwargs)


def run(model, graph, clips, keep, leaf=None):
    """Return {node: value} of the nodes in `keep`; leaf: node from whose value on gradients can be taken, or None."""
    with torch.no_grad():
        for node, values in walk(model, graph, clips, keep):
            if opname(node) == "copy":  # (destination, source): of what stands for copy_, there is no derivative
                to, source = (values[x] for x in node.args[:2])
                values[node] = source.to(to.dtype).expand(to.shape)
            else:
                values[node] = compute(node, values)
            if node is leaf:
                values[node].requires_grad_()
                torch.set_grad_enabled(True)
    return {node: values[node] for node in keep}


def valued(node):
    """Return the nodes whose values an operation uses, not only their types or shapes, as often as they stand there."""
    name, found = opname(node), []
    if name in VALUE_FREE:
        return found
    taken = (node.args, node.kwargs) if name not in HELD else node.args[HELD[name]]
    fx.map_arg(taken, lambda x: found.append(x))
    return found


def own(model, graph, node):
    """Return a parameter, buffer, other tensor of a module or constant of the graph as it is now."""
    return graph.constants[node] if node in graph.constants else _attribute(model, graph.states[node])


def fetch(model, graph, node):
    """Return the present value of what is the network's own, without a way back for gradients."""
    return own(model, graph, node).detach()


def _attribute(model, path):
    """Return what stands at a path in the network, None where there is nothing."""
    return functools.reduce(lambda inside, name: getattr(inside, name, None), path.split("."), model)


def module_path(node):
    """Return the path of the innermost module that ran the operation, '' for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return "" if path == "model" else path.removeprefix("model.")


def owner(model, node):
    """Return the innermost module that ran the operation."""
    path = module_path(node)
    return _attribute(model, path) if path else model


def describe(model, node):
    """Name an operation for people: `layer1.0.conv1 (Conv3d): conv3d`."""
    return f"{module_path(node) or 'the network'} ({type(owner(model, node)).__name__}): {opname(node)}"
