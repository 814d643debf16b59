"""Capture a network's frame logits as a list of tensor operations without side effects.

`torch.export` records what the network computes, below modules and Python: `+=`, in-place ReLU, functional
pools, modules used twice, slices written into a buffer all become plain ATen operations that produce new
tensors. Each operation remembers the module it ran in, so that rules and errors can speak of layers.
"""

import functools
import logging
import operator
import warnings
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import fx, nn

from ..errors import InputError

aten = torch.ops.aten
UNROLLED = [aten.lstm, aten.gru, aten.rnn_tanh, aten.rnn_relu]  # taken apart into their time steps
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

    Raises InputError where the model has no `frame_logits` or decides on tensor values in Python.
    """
    if not callable(getattr(model, "frame_logits", None)):
        raise InputError(
            f"{type(model).__name__} has no frame_logits(clip) -> [B, T', K]; give the network "
            f"one, with forward(clip) its mean over time"
        )
    key = (tuple(clip.shape), clip.dtype, clip.device, tuple(map(id, model.modules())))
    graphs = _captured.setdefault(model, {})
    if key not in graphs:
        graphs[key] = _read(_export(model, clip))
    return graphs[key]


class _FrameLogits(nn.Module):
    """Make `frame_logits` the forward of a module, which is what torch.export records."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clip):
        return self.model.frame_logits(clip)


@contextmanager
def evaluating(model):
    """Put `model` into evaluation mode and every module back to its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _quiet():
    """Silence torch's own reports of a failed capture; the error itself says what is wrong."""
    loggers = [
        logging.getLogger(name)
        for name in ("torch._subclasses", "torch.export", "torch._dynamo", "torch.fx", "torch._export")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _export(model, clip):
    """Return the ExportedProgram of `frame_logits` in evaluation mode, without in-place operations."""
    with evaluating(model), torch.no_grad(), _quiet():
        try:
            program = torch.export.export(_FrameLogits(model), (clip,), strict=False)
        except InputError:
            raise
        except Exception as error:
            try:  # a network that cannot run the clip says so best itself
                model.frame_logits(clip)
            except Exception as own:
                raise InputError(
                    f"{type(model).__name__}.frame_logits cannot run a clip of shape "
                    f"{tuple(clip.shape)}: {_first_line(own)}"
                ) from own
            raise InputError(
                f"the operations of {type(model).__name__}.frame_logits cannot be recorded, "
                f"since its Python code depends on tensor values: {_first_line(error)}"
            ) from error
        if any(map(_needs_rewriting, program.graph.nodes)):  # which takes longer than the recording
            program = program.run_decompositions(torch._decomp.get_decompositions(UNROLLED))
        return program


def _needs_rewriting(node):
    """Whether an operation writes into its inputs or is a whole recurrent layer."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and (schema.is_mutable or node.target.overloadpacket in UNROLLED)


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
