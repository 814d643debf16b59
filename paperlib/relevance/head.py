"""Frame logits of a network that averages over time in front of its classifier: the mean, moved behind it.

What leads from the last tensor with a time axis to the logits is a chain of averages, views and at most one linear
layer. In such a chain the order does not matter, so that classifying each step and averaging then gives the same
logits; what is averaged are the rows that the temporal relevance paper explains.
"""

import math
from dataclasses import dataclass

import torch
from torch import fx

from ..tracing.axes import Tracked, flat, whole_of
from ..tracing.following import AVERAGES, PERMUTES, VIEWS
from ..tracing.slices import opname
from .gates import sources
from .graph import Graph, mark, module_path
from .operations import CONVOLUTIONS, COPIES

aten = torch.ops.aten
LINEARS = {"linear": (0, 1, 2), "addmm": (1, 2, 0), "mm": (0, 1, None), "matmul": (0, 1, None)}  # input, weight, bias


@dataclass
class Head:
    """The chain from features to logits: the tensor it starts at, its classifier if it has one, its operations."""

    start: fx.Node
    classifier: fx.Node | None
    operations: list

    @property
    def where(self):
        """Where the mean over time was found, for people."""
        if self.classifier is None:
            return "the mean over time that ends forward"
        name = module_path(self.classifier) or opname(self.classifier)
        return f"the mean over time in front of {name}, moved behind it"


def find(graph, tracked):
    """Return the Head of a Graph of class logits, None where something else than averages leads to them.

    tracked: {node: Tracked} of its operations, see `tracing.following`.
    """
    node, chain, classifier = graph.output, [], None
    while True:
        inputs = sources(node, graph.varies)
        kind = _kind(node, graph) if len(inputs) == 1 else None
        if kind is None or (kind == "linear" and classifier is not None):
            break
        chain.append(node)
        classifier = node if kind == "linear" else classifier
        node = inputs[0]
    for place in range(len(chain), 0, -1):  # the tensor farthest from the logits that has a time axis
        start = node if place == len(chain) else chain[place]
        if _atoms(tracked.get(start)):
            above = chain[:place]
            return (
                None if _averaged(start, tracked) else Head(start, classifier if classifier in above else None, above)
            )
    return None


def _averaged(node, tracked):
    """Whether the single time step of a tensor is an average of several, so that these would be the rows."""
    while node is not None and _steps(tracked.get(node)) == 1:
        before = [source for source in node.all_input_nodes if _steps(tracked.get(source))]
        source = max(before, key=_size, default=None)
        if source is not None and _steps(tracked[source]) > 1 and opname(node) in AVERAGES:
            return True
        node = source
    return False


def _size(node):
    """Return how many numbers an operation gives, 0 for several tensors at once (those are looked at one by one)."""
    value = node.meta["val"]
    return value.numel() if isinstance(value, torch.Tensor) else 0


def _steps(tracked):
    """Return how many time steps a tensor has, 0 for none."""
    atoms = [a for axis in tracked.axes for a in flat(axis) if a.label == "T"] if isinstance(tracked, Tracked) else []
    return math.prod(atom.size for atom in atoms) if atoms else 0


def _kind(node, graph):
    """Return what an operation of the chain does: "view", "mean" or "linear"; None for any other operation."""
    name = opname(node)
    if name in VIEWS | PERMUTES | COPIES:
        return "view"
    if name == "mean" or (name in AVERAGES and _of_all(node)):
        return "mean"
    if name in LINEARS and node.args[LINEARS[name][0]] in graph.varies:
        return "linear"
    if name in CONVOLUTIONS - {"convolution"} and not name.startswith("conv_t"):
        weight = node.args[1].meta["val"]
        alone = (
            all(n == 1 for n in weight.shape[2:]) and node.args[0].meta["val"].shape[2:] == node.meta["val"].shape[2:]
        )
        return "linear" if alone and weight.shape[1] == node.args[0].meta["val"].shape[1] else None
    return None


def _of_all(node):
    """Whether a pool averages all places of each dimension that it changes."""
    before, after = node.args[0].meta["val"].shape, node.meta["val"].shape
    return len(before) == len(after) and all(b == a or a == 1 for b, a in zip(before, after, strict=True))


def _atoms(tracked):
    """Return all atoms of a tensor that holds whole clips, all their time steps and features; None of any other."""
    if not isinstance(tracked, Tracked):
        return None
    atoms = [atom for axis in tracked.axes for atom in axis]
    if any(atom.inner or atom.moved or (not atom.label and atom.size > 1) for atom in atoms):
        return None
    try:
        whole = {label: whole_of([a for a in atoms if a.label == label]) for label in "BTC"}
    except ValueError:
        return None
    return atoms if whole["B"] and whole["T"] and whole["C"] else None


def moved(graph, head, tracked, batch):
    """Return the Graph of frame logits [B, T', K] that the head's features give, None where shapes do not fit.

    batch: the number of clips that the graph was recorded with.
    """
    added = []

    def emit(target, *args, like=head.operations[-1]):
        node = head.start.graph.call_function(target, args)
        node.meta["val"] = target(*fx.map_arg(args, lambda x: x.meta["val"]))
        node.meta["nn_module_stack"] = like.meta.get("nn_module_stack")
        added.append(node)
        return node

    node = _per_step(emit, head.start, _atoms(tracked[head.start]), batch)
    if head.classifier is not None:
        classifier, name = head.classifier, opname(head.classifier)
        _, weight_at, bias_at = LINEARS.get(name, (0, 1, 2))
        weight = classifier.args[weight_at]
        bias = classifier.args[bias_at] if bias_at is not None and len(classifier.args) > bias_at else None
        shape = weight.meta["val"].shape
        if name not in LINEARS:
            weight = emit(aten.flatten.using_ints, weight, 1)
        elif name != "linear" and len(shape) == 2:
            weight = emit(aten.t.default, weight)
        if weight.meta["val"].dim() != 2 or weight.meta["val"].shape[1] != node.meta["val"].shape[2]:
            return None
        node = emit(aten.linear.default, node, weight, *([bias] if bias is not None else []), like=classifier)
    needed = {node}
    for operation in reversed([*graph.operations, *added]):
        if operation in needed:
            needed.update(operation.all_input_nodes)
    found = Graph(graph.clip, node, [n for n in graph.operations if n in needed] + added, graph.states, graph.constants)
    mark(found)
    return found


def _per_step(emit, node, atoms, batch):
    """Return the node's values averaged over space, [B, T', C]."""
    sizes = [batch if atom.label == "B" else atom.size for atom in atoms]
    if list(node.meta["val"].shape) != sizes:
        node = emit(aten.reshape.default, node, sizes)
    places = [dim for dim, atom in enumerate(atoms) if atom.label not in ("B", "T", "C")]
    if places:
        node = emit(aten.mean.dim, node, places)
    kept = [atom for atom in atoms if atom.label in ("B", "T", "C")]
    order = sorted(range(len(kept)), key=lambda i: ("BTC".index(kept[i].label), -kept[i].stride))
    if order == [0, 2, 1]:
        node = emit(aten.transpose.int, node, 1, 2)
    elif order != list(range(len(kept))):
        node = emit(aten.permute.default, node, order)
    steps, features = (math.prod(atom.size for atom in kept if atom.label == label) for label in "TC")
    if len(kept) != 3:
        node = emit(aten.reshape.default, node, [batch, steps, features])
    return node
