"""Networks that answer another question of the same features: a difference of two classes, or some of the classes."""

import copy
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .inputs import class_logits, network
from .probing import classes, evaluating, indices

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
CLOSE = 1e-3  # of the largest logit, in which the copy's logits may differ; 20 times that in half precision


@torch.inference_mode(False)
def recombined(model: nn.Module, mix: torch.Tensor, clips: torch.Tensor) -> nn.Module:
    """Return a copy of the network whose logits [B, J] are `mix` [J, K] times the logits [B, K] of the original.

    The last linear layer, or convolution, takes the mix in, so nothing else changes and relevance sees one layer, not
    two. It is the last of K outputs that runs or, where weights are used without their layer, the last there is; the
    copy is compared with the original on two of the `clips` [B, 3, T, H, W]. All other layers are shared. InputError
    where the network has no such layer.
    """
    model = network(model)
    logits, layers = _run(model, clips[:2])
    for layer in layers if mix.shape[1] == logits.shape[1] else []:
        kept: dict[int, Any] = {id(module): module for module in model.modules() if layer not in module.modules()}
        kept |= {id(value): value for value in (*model.parameters(), *model.buffers())}
        found = copy.deepcopy(model, {**kept, id(layer): _mixed(layer, mix)})
        try:
            wanted, given = logits @ mix.T.to(logits), _run(found, clips[:2])[0]
        except InputError:  # other layers want the K outputs of this one
            continue
        close = CLOSE if layer.weight.dtype in (torch.float32, torch.float64) else 20 * CLOSE
        if given.shape == wanted.shape and float((given - wanted).abs().max()) <= close * float(logits.abs().max()):
            return found
    raise InputError(
        f"{type(model).__name__} has no linear layer or convolution of {mix.shape[1]} outputs as the last one, from "
        "which the difference of two classes or some of the classes could be read; ask for one class of all"
    )


def difference(model: nn.Module, clips: torch.Tensor, first: int, second: int) -> nn.Module:
    """Return the network whose logit `first` is logit `first` minus logit `second`; the others stay.

    Contrastive relevance, masks and maps treat the difference as any other class, and its sigmoid is the probability
    of `first` where only the two can be. Arguments and errors otherwise as in `recombined`.
    """
    if first == second:
        raise InputError("the difference of a class and itself is nothing; name two classes")
    mix = _every(model, clips)
    mix[first, second] = -1
    return recombined(model, mix, clips)


def versus(model: nn.Module, targets, others, clips: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """Return (network, targets): its logit targets[b] is the logit of class targets[b] minus that of class others[b].

    targets, others: one class for all clips or one for each. One logit per pair of classes that occurs. Scores are the
    sigmoid of a logit, which is the softmax over the two classes alone: the network carries that as `scores`.
    """
    every = _every(model, clips)
    each = every[:1].expand(len(clips), -1)  # of as many classes as the logits
    pairs = torch.stack([classes(each, indices(asked, "cpu")) for asked in (targets, others)], 1)
    unique, index = pairs.unique(dim=0, return_inverse=True)
    found = recombined(model, every[unique[:, 0]] - every[unique[:, 1]], clips)
    setattr(found, "scores", "sigmoid")  # noqa: B010 (a module takes tensors and modules only, says its type)
    return found, index.to(clips.device)


def question(model: nn.Module, first: int, after: int, clips: torch.Tensor) -> nn.Module:
    """Return the network with the classes first (included) to after (excluded) alone: one question of several."""
    return recombined(model, _every(model, clips)[first:after], clips)


def _every(model, clips):
    """Return the mix [K, K] that leaves every class as it is."""
    return torch.eye(_run(network(model), clips[:1])[0].shape[1])


def _run(model, clips):
    """Return (logits [B, K], layers of K outputs that may give them: the last that ran, the last of the network)."""
    there, ran = [m for m in model.modules() if isinstance(m, KINDS) and getattr(m, "groups", 1) == 1], []
    handles = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in there]
    try:
        with evaluating(model), torch.no_grad():
            logits = class_logits(model, clips)
    finally:
        for handle in handles:
            handle.remove()
    last = ([layer for layer in some if len(layer.weight) == logits.shape[1]][-1:] for some in (ran, there))
    return logits, list(dict.fromkeys(sum(last, [])))


def _mixed(layer, mix):
    """Return the layer that gives `mix` [J, K] times the K outputs of a linear layer or convolution."""
    mix, bias = mix.to(layer.weight), layer.bias is not None
    if isinstance(layer, nn.Linear):
        found = nn.Linear(layer.in_features, len(mix), bias)
    else:
        kind = next(kind for kind in KINDS if isinstance(layer, kind))
        how = layer.kernel_size, layer.stride, layer.padding, layer.dilation, 1, bias, layer.padding_mode
        found = kind(layer.in_channels, len(mix), *how)
    found = found.to(layer.weight)
    with torch.no_grad():
        found.weight.copy_((mix @ layer.weight.flatten(1)).view_as(found.weight))
        if bias:
            found.bias.copy_(mix @ layer.bias)
    return found
