"""Networks that answer another question of the same features: a difference of two classes, or some of the classes."""

import copy

import torch
from torch import nn

from ..errors import InputError
from ..models.inputs import class_logits, network
from ..models.probing import evaluating


def recombined(model: nn.Module, mix: torch.Tensor, clips: torch.Tensor) -> nn.Module:
    """Return a copy of the network whose logits [B, J] are `mix` [J, K] times the logits [B, K] of the original.

    The last linear layer takes the mix in, so nothing else changes and relevance sees one layer, not two. Its rows
    are looked for by their number, and the copy is compared with the original on `clips` [B, 3, T, H, W]. All layers
    but that one are shared. InputError where the network has no last linear layer of K rows.
    """
    model = network(model)
    names = [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and m.out_features == mix.shape[1]]
    if names:
        found = _replaced(model, names[-1], _mixed(model.get_submodule(names[-1]), mix))
        with evaluating(model), evaluating(found), torch.no_grad():
            wanted, given = class_logits(model, clips[:2]) @ mix.T.to(clips), class_logits(found, clips[:2])
        if given.shape == wanted.shape and torch.allclose(given, wanted, atol=1e-3 * float(wanted.abs().max()) + 1e-6):
            return found
    raise InputError(
        f"{type(model).__name__} has no last linear layer of {mix.shape[1]} rows that gives its logits, so no "
        "difference of classes can be asked for; score the classes themselves (targets=)"
    )


def versus(model: nn.Module, targets, others, clips: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """Return (network, targets): its logit targets[b] is the logit of class targets[b] minus that of class others[b].

    One logit per pair of classes that occurs. Scores are the sigmoid of a logit, which is the softmax over the two
    classes alone: the network carries that as `scores`.
    """
    pairs = torch.stack([torch.as_tensor(targets), torch.as_tensor(others)], 1).cpu()
    unique, index = pairs.unique(dim=0, return_inverse=True)
    with evaluating(model), torch.no_grad():
        width = class_logits(model, clips[:1]).shape[1]
    eye = torch.eye(width)
    found = recombined(model, eye[unique[:, 0]] - eye[unique[:, 1]], clips)
    setattr(found, "scores", "sigmoid")  # noqa: B010 (a module takes tensors and modules only, says its type)
    return found, index.to(clips.device)


def question(model: nn.Module, first: int, after: int, clips: torch.Tensor) -> nn.Module:
    """Return the network with the classes first (included) to after (excluded) alone: one question of several."""
    with evaluating(model), torch.no_grad():
        width = class_logits(model, clips[:1]).shape[1]
    return recombined(model, torch.eye(width)[first:after], clips)


def _mixed(linear, mix):
    """Return the linear layer that gives `mix` times what `linear` gives."""
    mix = mix.to(linear.weight)
    found = nn.Linear(linear.in_features, len(mix), linear.bias is not None).to(linear.weight)
    with torch.no_grad():
        found.weight.copy_(mix @ linear.weight)
        if linear.bias is not None:
            found.bias.copy_(mix @ linear.bias)
    return found


def _replaced(model, path, layer):
    """Return a copy of a network with `layer` at `path`; what is not on the way there is shared."""
    found = copy.copy(model)
    found._modules = dict(model._modules)
    name, _, rest = path.partition(".")
    found._modules[name] = _replaced(model._modules[name], rest, layer) if rest else layer
    return found
