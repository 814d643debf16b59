"""Class logits [B, K] in whatever a network's forward returns: found out once from one run, checked by two more."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ..errors import InputError
from .inputs import LOOSE, are_probabilities, first_line, others_count

# where a dictionary may hold them
KEYS = ("logits", "logit", "cls_score", "scores", "out", "output", "pred", "preds", "cls")


@dataclass
class Output:
    """How class logits come out of what forward returns.

    part: attribute, key or place of the tensor in it, None where it is the tensor. axes: of the tensor, from "B" clips,
    "F" frames of clips, "K" classes and "T" time steps, the last averaged over. softmax: path of a module that would
    turn logits into probabilities, '' without one, and call: which of its calls in a forward does, from 1. said:
    sentences about it. width: K.
    """

    part: str | int | None
    axes: str
    softmax: str = ""
    call: int = 0
    said: list = field(default_factory=list)
    width: int = 0

    def run(self, net, given, batch):
        """Return the logits [batch, K] of `net(given)`, for `batch` clips."""
        with _left_out(net, self.softmax, self.call):
            found = net(given)
        return self.logits(found, batch)

    def tensor(self, found):
        """Return the tensor of logits, axes as in `axes`, in what forward returned."""
        return _squeezed(_taken(found, self.part))

    def logits(self, found, batch):
        """Return logits [batch, K] out of what forward returned."""
        tensor = self.tensor(found)
        if self.axes == "FK":
            return tensor.unflatten(0, (batch, -1)).mean(1)
        return tensor if self.axes == "BK" else tensor.mean(self.axes.index("T"))


def read(net, given, batch, classes=None):
    """Run `net(given)`, for `batch` clips, and return its Output; InputError where it holds no class logits.

    classes: how many names of classes there are, None if unknown.
    """
    ran, handles = [], []
    for path, module in net.named_modules():
        if isinstance(module, nn.Softmax) or _width(module):
            handles.append(
                module.register_forward_hook(lambda m, i, out, path=path: ran.append((path, m, out)) and None)
            )
    try:
        found = net(given)
    finally:
        for handle in handles:
            handle.remove()
    name, said = type(net).__name__, []
    last = next((m for _, m, _ in reversed(ran) if _width(m)), None)
    part, tensor = _opened(found, name, classes or _width(last))
    if classes is None and isinstance(found, (tuple, list)):
        _check_alone(net, given, found, part)
    if part is not None:
        said.append(f"it returns {type(found).__name__}, of which {part!r} are the logits")
    tensor = _squeezed(tensor)
    axes = _axes(name, tensor, batch, classes, last)
    if axes == "FK":
        said.append("it scores frames; the clip's logits are their mean")
    elif "T" in axes:
        said.append(f"it returns logits per time step, {list(tensor.shape)} as {' '.join(axes)}; their mean is taken")
    output = Output(part, axes, said=said)
    output.width = output.logits(found, batch).shape[1]
    if classes not in (None, output.width):
        raise InputError(f"{classes} names of classes are given, but {name} gives {output.width} logits")
    if are_probabilities(output.logits(found, batch)):
        output.softmax, output.call = _softmax(ran, name)
        said.append(f"its softmax ({output.softmax}) is left out, so that it gives logits")
        _check_softmax(net, given, output, output.tensor(found))
    return output


def check_batch(net, way, clip, output):
    """Raise InputError unless a clip [1, C, T, H, W] has the same logits beside another clip as alone.

    way(clips): how clips become what `net` takes. A network that only runs single clips is said to; one that draws at
    random is left to `inputs.class_logits`, as one that gives NaN is.
    """
    alone = output.run(net, way(clip.clone()), 1)
    try:
        changed = others_count(lambda clips: output.run(net, way(clips), len(clips)), clip, alone)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        output.said.append(f"it does not run two clips together, one by one they run: {first_line(error)}")
        return
    if changed is False:
        return
    raise InputError(
        f"{type(net).__name__} gives a clip other logits beside another clip than alone; where it returns a row of "
        "logits for each frame, all frames of a clip must come before those of the next clip"
    )


def _opened(found, name, width):
    """Return (part, the tensor of logits) of what forward returned; of several the first as wide as the last layer."""
    if isinstance(found, torch.Tensor):
        return None, found
    if isinstance(getattr(found, "logits", None), torch.Tensor):
        return "logits", found.logits
    if isinstance(found, Mapping):
        tensors = [key for key, value in found.items() if isinstance(value, torch.Tensor)]
        here = [key for key in KEYS if key in tensors] or (tensors if len(tensors) == 1 else [])
        if here:
            return here[0], found[here[0]]
        raise InputError(
            f"forward of {name} returns a dictionary with {', '.join(map(repr, found)) or 'nothing'}, none of which is "
            "known to be class logits; let it return the logits [B, K]"
        )
    if isinstance(found, (tuple, list)):
        tensors = {k: value for k, value in enumerate(found) if isinstance(value, torch.Tensor) and value.dim() > 1}
        fit = [k for k, value in tensors.items() if width in value.shape[1:]]
        for place in (*fit, *tensors):
            return place, tensors[place]
    raise InputError(f"forward of {name} must return class logits [B, K], but it returns {type(found).__name__}")


@torch.inference_mode(False)
@torch.enable_grad()
def _check_alone(net, given, found, part):
    """Raise InputError where forward returns another tensor [B, n] that the one at `part` is not made of."""
    shapes = {k: list(x.shape) for k, x in enumerate(found) if isinstance(x, torch.Tensor) and x.is_floating_point()}
    others = [k for k, shape in shapes.items() if len(shape) == 2 and shape[1] != shapes[part][1]]
    if not others:
        return
    again = net(tree_map_only(torch.Tensor, lambda x: x.clone().requires_grad_(x.is_floating_point()), given))
    used = torch.autograd.grad(again[part].sum(), [again[k] for k in others], allow_unused=True)
    beside = [k for k, gradient in zip(others, used, strict=True) if gradient is None]
    if beside:
        told = " and ".join(f"{k} {shapes[k]}" for k in sorted([part, *beside]))
        raise InputError(
            f"forward of {type(net).__name__} returns a {type(found).__name__} of which {told} may be the class "
            "logits; let it return them alone, or give the names of the classes with classes="
        )


def _taken(found, part):
    """Return the part of what forward returned."""
    if part is None:
        return found
    return getattr(found, part) if isinstance(part, str) and hasattr(found, part) else found[part]


def _squeezed(tensor):
    """Return a tensor without axes of length one behind the second."""
    while tensor.dim() > 2 and 1 in tensor.shape[2:]:
        tensor = tensor.squeeze(2 + tensor.shape[2:].index(1))
    return tensor.squeeze(1) if tensor.dim() == 3 and tensor.shape[1] == 1 else tensor


def _width(module):
    """Return how many features a layer with weights gives, None for any other module."""
    return getattr(module, "out_features", None) or getattr(module, "out_channels", None)


def _axes(name, tensor, batch, classes, last):
    """Return which axes a tensor of logits has: "BK", "FK", "BTK" or "BKT".

    classes: how many there are, None if unknown; last: the last layer with weights that ran.
    """
    shape = list(tensor.shape)
    if tensor.is_floating_point() and len(shape) == 2:
        if shape[0] == batch:
            return "BK"
        if shape[0] > batch and shape[0] % batch == 0:
            return "FK"
    if tensor.is_floating_point() and len(shape) == 3 and shape[0] == batch:
        width = classes or _width(last)
        fits = [axis for axis in (1, 2) if shape[axis] == width]
        if len(fits) == 2:  # features are last behind linear layers, second behind convolutions
            fits = [2 if isinstance(last, nn.Linear) else 1]
        if len(fits) == 1:
            return "BKT" if fits == [1] else "BTK"
    raise InputError(
        f"forward of {name} must return class logits [B, K], here [{batch}, K], but it returns {tensor.dtype} of shape "
        f"{shape}, in which no axis of classes is found"
        + ("" if classes is None else f" ({classes} names of classes are given)")
    )


def _softmax(ran, name):
    """Return (path, number of calls) of the last softmax that ran; InputError where no module made probabilities."""
    if ran and isinstance(ran[-1][1], nn.Softmax):
        return ran[-1][0], sum(module is ran[-1][1] for _, module, _ in ran)
    raise InputError(
        f"forward of {name} returns probabilities that sum to one, not logits; let it return what its softmax is given"
    )


def _check_softmax(net, given, output, probabilities):
    """Raise InputError unless the network without its softmax gives what the softmax makes these probabilities from."""
    with _left_out(net, output.softmax, output.call):
        bare = output.tensor(net(given))
    close = 1e-2 if bare.dtype in LOOSE else 1e-4
    if bare.shape != probabilities.shape or not torch.allclose(
        bare.softmax(output.axes.index("K")).float(), probabilities.float(), rtol=0, atol=close
    ):
        raise InputError(
            f"forward of {type(net).__name__} goes on behind its softmax ({output.softmax}), so that its logits cannot "
            "be had by leaving that out; let it return logits"
        )


@contextlib.contextmanager
def _left_out(net, path, call):
    """Let the module at `path`, '' for none, hand on what it is given at one of its calls, counted from 1."""
    if not path:
        yield
        return
    calls = 0

    def hand_on(module, inputs, output):
        nonlocal calls
        calls += 1
        return inputs[0] if calls == call else None

    handle = net.get_submodule(path).register_forward_hook(hand_on)
    try:
        yield
    finally:
        handle.remove()
