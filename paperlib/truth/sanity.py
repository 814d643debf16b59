"""What every instrument must pass, wherever the truth lies: randomised weights, a frame twice, a clip shifted.

Every check takes as `before` the importance [B, N] of the clips as they are, where it is known already.
"""

import copy

import numpy as np
import torch
from torch import nn

from ..errors import InputError, whole
from ..models.inputs import network
from .scoring import ranks


def cascade(model: nn.Module, seed: int = 0):
    """Yield (name, network) with the weights of one more layer drawn anew, from the classifier down (Adebayo 2018).

    Layers are the modules with weights of their own: parameters called `weight`, and all others of two or more
    dimensions; where a weight is computed from others, such as a weight norm's, those it is computed from. A layer
    keeps the mean and spread of each, which is shuffled; statistics of batch norms stay. The first network is a copy of
    the model itself, called "", and what a network holds beside its layers is called by the network's class.
    """
    for name, shuffled in _cascade(model, seed):
        yield name, copy.deepcopy(shuffled)


def _cascade(model, seed):
    """Yield (name, network) as `cascade` does, but one network in which one more layer is shuffled every time."""
    model = copy.deepcopy(network(model))
    generator = torch.Generator().manual_seed(seed)
    yield "", model
    for name, weights in reversed(_layers(model)):
        for weight in weights:
            with torch.no_grad():
                flat = weight.flatten()
                order = torch.randperm(len(flat), generator=generator).to(flat.device)
                weight.copy_(flat[order].view_as(weight))
        yield name, model


def _layers(model):
    """Return [(name, its own weights)] of a network's layers, from the clip up."""
    found = []
    for name, module in model.named_modules():
        own = module.named_parameters(recurse=False)
        weights = [weight for key, weight in own if key == "weight" or weight.dim() > 1]
        if weights:
            found.append((name or type(model).__name__, weights))
    return found


def randomised(instrument, model, clips, targets, depths=(0.0, 0.25, 0.5, 1.0), seed=0, before=None) -> dict:
    """Return {share of layers randomised from the top: rank correlation [B] with the importance before}.

    depths: the shares, each of which stands for the nearest whole number of layers. An instrument whose importance
    stays the same does not explain the network. Rank correlations of constant importance count as 0.
    """
    if np.ndim(depths) != 1 or not all(0 <= share <= 1 for share in depths):
        raise InputError(f"depths must be shares of the layers, a list of numbers from 0 to 1, not {depths!r}.")
    layers = len(_layers(network(model)))
    before, found = _known(before, instrument, model, clips, targets), {}
    for depth, (_, changed) in enumerate(_cascade(model, seed)):
        shares = [share for share in depths if round(share * layers) == depth]
        if shares:
            found |= dict.fromkeys(shares, ranks(before, instrument(changed, clips, targets).cpu()))
    return found


def duplicated(instrument, model, clips, targets, frame: int, before=None):
    """Return what frame `frame`, shown twice in a row, gets together, over what it gets once, each as a share, [B].

    1 where importance is shared between the two, 2 where it is doubled. The clip keeps its length: its last frame
    makes room, and shares leave that one out. NaN where the frame has no importance.
    """
    frames = clips.shape[2]
    if whole("frame", frame, 0) >= frames - 2:
        raise InputError(f"a frame to show twice lies in front of the last two of {frames} frames, not at {frame}.")
    order = torch.tensor([*range(frame + 1), *range(frame, frames - 1)])
    given = _known(before, instrument, model, clips, targets), instrument(model, clips[:, :, order], targets).cpu()
    once, twice = (importance.clamp(min=0).double().numpy() for importance in given)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = once[:, frame] / once[:, :-1].sum(1)
        return (twice[:, frame] + twice[:, frame + 1]) / twice.sum(1) / np.where(share > 0, share, np.nan)


def shifted(
    instrument, model, early: torch.Tensor, late: torch.Tensor, targets, by: int, before: torch.Tensor | None = None
) -> np.ndarray:
    """Return the rank correlation [B] of importance between two clips of one video, the second `by` frames later.

    early, late: [B, 3, N, H, W], `late[:, :, t]` the same pictures as `early[:, :, t + by]`. Importance should shift
    along; compared are the frames that both have.
    """
    if early.shape != late.shape:
        raise InputError(f"the clips compared must be alike, not {list(early.shape)} and {list(late.shape)}.")
    if whole("by", by) >= early.shape[2] - 1:
        raise InputError(f"clips of {early.shape[2]} frames cannot be compared {by} frames apart.")
    a, b = _known(before, instrument, model, early, targets), instrument(model, late, targets).cpu()
    return ranks(a[:, by:], b[:, : a.shape[1] - by])


def permuted_labels(instrument, model, clips, targets, classes: int, seed: int = 0, before=None) -> np.ndarray:
    """Return the rank correlation [B] of importance for the target with that for another class drawn at random."""
    targets, classes = torch.as_tensor(targets), whole("classes", classes, 2)
    shift = torch.randint(1, classes, targets.shape, generator=torch.Generator().manual_seed(seed)).to(targets)
    own = _known(before, instrument, model, clips, targets)
    return ranks(own, instrument(model, clips, (targets + shift) % classes).cpu())


def _known(before, instrument, model, clips, targets):
    """Return the importance of the clips as they are, on the CPU."""
    return (instrument(model, clips, targets) if before is None else before).cpu()
