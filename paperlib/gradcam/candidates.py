"""Which layers of a network give maps of places in a clip, how their values are laid out, and which one to explain by.

Found out from a recording of the network, through which its axes are followed (tracing/recording.py, following.py).
"""

import weakref
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import InputError
from ..tracing.architecture import kept
from ..tracing.axes import CLIPS, Layout, layout
from ..tracing.following import WEIGHTED, follow
from ..tracing.inputs import class_logits
from ..tracing.probing import evaluating
from ..tracing.recording import record
from ..tracing.slices import opname

FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool2d,
    nn.AvgPool3d,
)

WRITES = {
    "copy_",
    "index_put_",
    "fill_",
    "zero_",
    "set_",
}  # into a part of a tensor, maybe; what else is in place is not

_recorded = weakref.WeakKeyDictionary()


@dataclass
class Layer:
    """What a layer returns, at its last run: `layout` None where its axes are not those of maps."""

    path: str
    layout: Layout | None
    narrow: bool  # everything that the logits know of the clip passes through this tensor
    inside: bool  # behind weights, and more of them follow on the way to the logits
    shape: tuple


def tensor_of(output):
    """Return (the one floating point tensor in a layer's output, a function that puts another in its place)."""
    if torch.is_tensor(output):
        return (output, lambda other: other) if output.is_floating_point() else (None, None)
    if isinstance(output, (tuple, list)):
        places = [i for i, x in enumerate(output) if torch.is_tensor(x) and x.is_floating_point()]
        if len(places) == 1 and type(output) in (tuple, list):
            (at,) = places
            return output[at], lambda other: type(output)([*output[:at], other, *output[at + 1 :]])
    return None, None


def layers(model, clip):
    """Return {path: Layer} of the modules that return a tensor, in the order in which they last ran.

    clip: [B, 3, T, H, W]; only its first is used. Raises InputError where the network cannot be recorded.
    """
    place = (tuple(clip.shape[1:]), clip.dtype, clip.device)
    return kept(_recorded, model, place, lambda: _read(model, clip[:1].repeat(CLIPS, 1, 1, 1, 1)))


class _Outputs(nn.Module):
    """Returns the network's logits and what all its modules return, so that the recording says where these are."""

    def __init__(self, model, report):
        super().__init__()
        self.model, self.report = model, report

    def forward(self, clip):
        found = {}

        def keep(path):
            def hook(module, inputs, output):
                tensor, _ = tensor_of(output)
                found.pop(path, None)  # a later run comes later in the order
                if tensor is not None:
                    found[path] = tensor

            return hook

        handles = [module.register_forward_hook(keep(path)) for path, module in self.model.named_modules() if path]
        try:
            logits = self.model(clip)
        finally:
            for handle in handles:
                handle.remove()
        self.report(list(found))
        return logits, *found.values()


def _read(model, clips):
    """Return the layers of a recording of `model` at `clips`."""
    runs = []  # not an attribute: torch.export sets those back
    program = record(model, f"{type(model).__name__}.forward", _Outputs(model, runs.append), clips, WRITES)
    signature = program.graph_signature
    nodes = list(program.graph.nodes)
    by_name = {node.name: node for node in nodes}
    clip = by_name[signature.user_inputs[0]]
    own = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    tensors = {**program.state_dict, **program.constants}
    known = follow(nodes, clip, {by_name[name]: tensors[path] for name, path in own.items()})
    logits, *results = (by_name[result] for result in signature.user_outputs)
    narrow, inside = _narrow(nodes, clip, logits), _inside(nodes, clip, logits)
    return {
        path: Layer(path, layout(known.get(node)), node in narrow, node in inside, tuple(node.meta["val"].shape))
        for path, node in zip(runs[-1], results, strict=True)
    }


def _narrow(nodes, clip, logits):
    """Return the nodes through which every way from the clip to the logits leads."""
    below, above = {clip}, {logits}
    for node in nodes:
        if any(source in below for source in node.all_input_nodes):
            below.add(node)
    for node in reversed(nodes):
        if node in above:
            above.update(node.all_input_nodes)
    order = [node for node in nodes if node in below and node in above]
    place = {node: i for i, node in enumerate(order)}
    found, furthest = set(), 0
    for i, node in enumerate(order):
        if furthest <= i:
            found.add(node)
        furthest = max([furthest, *(place[user] for user in node.users if user in place)])
    return found


def _inside(nodes, clip, logits):
    """Return the nodes with weights on a way from the clip, and more of them on a way to the logits."""
    behind, before, seen, reached = set(), set(), {clip}, {logits}
    for node in nodes:
        if any(source in seen for source in node.all_input_nodes):
            seen.add(node)
            if _has_weights(node) or any(source in behind for source in node.all_input_nodes):
                behind.add(node)
    for node in reversed(nodes):
        if node in reached:
            reached.update(node.all_input_nodes)
            if _has_weights(node) or node in before:
                before.update(node.all_input_nodes)
    return behind & before


def _has_weights(node):
    return node.op == "call_function" and opname(node) in WEIGHTED


def default(model, clip):
    """Return the path of the last layer with maps in space and time that is not behind the head.

    It has to have weights between itself and the logits, must not be averaged over space, must be passed by all that
    the logits know of the clip (which leaves out the inside of blocks and of attentions; where no layer is passed by
    everything, any will do, those without time last), and its places must matter to the logits (behind the last
    attention only the class token does). Of modules that return the same tensor it is the outermost.
    """
    try:
        recorded = layers(model, clip)
    except InputError as error:
        with evaluating(model), torch.no_grad():
            class_logits(model, clip)  # a network that cannot run the clip says so best itself
        raise InputError(f"which layer to explain by cannot be found out; name one with layer= ({error})") from None
    found = [layer for layer in recorded.values() if layer.layout and layer.inside]
    found = [layer for layer in found if layer.layout.height * layer.layout.width > 1 and not layer.layout.averaged]
    narrow = [layer for layer in found if layer.narrow]
    rest = sorted((layer for layer in found if not layer.narrow), key=lambda layer: layer.layout.steps > 1)
    chosen = _last_that_matters(model, clip[:1], narrow, rest)
    if chosen:
        return chosen
    raise InputError(
        f"no layer of {type(model).__name__} is known to return maps of places in the clip, as Grad-CAM needs; name "
        "one with layer= (from Python also how its values become [B, C, T, H, W], with reshape=)"
    )


def _last_that_matters(model, clip, narrow, rest):
    """Return the path of the last layer, of `narrow` before the `rest`, whose places have a gradient; None for none.

    Of modules with the same tensor it is the outermost. Where nothing has a gradient (a network of zeros, a black
    clip), the last of `narrow`.
    """
    modules, tensors = dict(model.named_modules()), {}

    def keep(path):
        def hook(module, inputs, output):
            tensors[path] = tensor_of(output)[0]

        return hook

    handles = [modules[layer.path].register_forward_hook(keep(layer.path)) for layer in (*narrow, *rest)]
    try:
        with evaluating(model), torch.enable_grad():
            logits = class_logits(model, clip.clone().requires_grad_())[0]
            # no class may be left out or cancel another
            some = logits @ torch.linspace(1, 2, len(logits)).to(logits)
            for layer in (*narrow[::-1], *rest[::-1]):
                tensor = tensors.get(layer.path)
                if tensor is None or not tensor.requires_grad:
                    continue
                (gradient,) = torch.autograd.grad(some, tensor, allow_unused=True, retain_graph=True)
                if gradient is not None and layer.layout.maps(gradient, 1).any():
                    same = [path for path, other in tensors.items() if other is tensor]
                    return min(same, key=lambda path: path.count("."))
    finally:
        for handle in handles:
            handle.remove()
    return narrow[-1].path if narrow else None


def layout_of(model, clip, path):
    """Return the Layout of what the module `path` returns, or raise InputError naming it."""
    module = model.get_submodule(path)
    try:
        found = layers(model, clip).get(path)
    except InputError as error:
        if isinstance(_last(module), FIRST):  # these have their features in the second axis
            return None
        raise InputError(
            f"how the values of layer {path} ({type(module).__name__}) are laid out cannot be found out; say it from "
            f"Python with reshape=, a function from them to [B, C, T, H, W] ({error})"
        ) from None
    if found is None or found.layout is not None:
        return found and found.layout
    raise InputError(
        f"layer {path} ({type(module).__name__}) returns {list(found.shape)} for two clips, in which no axes of maps "
        "[B, C, T, H, W] were found; choose another layer, or say from Python, with reshape=, how its values become "
        "[B, C, T, H, W]"
    )


def _last(module):
    while isinstance(module, nn.Sequential) and len(module):
        module = module[-1]
    return module
