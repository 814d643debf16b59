"""What every instrument must pass, wherever the truth lies: randomised weights, a frame twice, a clip shifted.

Every check takes as `before` the importance [B, N] of the clips as they are, where it is known already.
"""

import copy

import numpy as np
import torch
from torch import nn

from ..errors import InputError, whole
from ..tracing.inputs import network
from ..tracing.probing import indices
from .scoring import per_frame, ranks


@torch.inference_mode(False)
def cascade(model: nn.Module, seed: int = 0):
    """Yield (name, network) with the weights of one more layer drawn anew, from the classifier down (Adebayo 2018).

    Layers are the modules with weights of their own: parameters called `weight`, and all others of two or more
    dimensions; where a weight is computed from others, such as a weight norm's, those it is computed from. A layer
    keeps the mean and spread of each, which is shuffled; statistics of batch norms stay. The first network is a copy of
    the model itself, called "", and what a network holds beside its layers is called by the network's class.
    """
    for name, shuffled in _cascade(model, seed):
        yield name, copy.deepcopy(shuffled)


@torch.inference_mode(False)
def _cascade(model, seed):
    """Yield (name, network) as `cascade` does, but one network in which one more layer is shuffled every time."""
    model = copy.deepcopy(network(model))
    generator = torch.Generator().manual_seed(whole("seed", seed, 0))
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
    before, found = _asked(instrument, model, clips, targets, before), {}
    for depth, (_, changed) in enumerate(_cascade(model, seed)):
        shares = [share for share in depths if round(share * layers) == depth]
        if shares:
            found |= dict.fromkeys(shares, ranks(before, _asked(instrument, changed, clips, targets)))
    return found


def duplicated(instrument, model, clips, targets, frame: int, before=None):
    """Return what frame `frame`, shown twice in a row, gets together, over what it gets once, [B].

    Each is what the frame gets over what all others get: 1 where importance is shared between the two, 2 where both
    have what the one had. Of a network that looks for a frame the first is right, of one that averages frames the
    second: exact Shapley values of absent frames in the mean colour give 1 and 2 there. The clip keeps its length: its
    last frame makes room, and is left out. NaN where the frame, or all that is not the frame, has no importance.
    """
    frames = clips.shape[2]
    if whole("frame", frame, 0) >= frames - 2:
        raise InputError(f"a frame to show twice lies in front of the last two of {frames} frames, not at {frame}.")
    order = torch.tensor([*range(frame + 1), *range(frame, frames - 1)])
    once = _asked(instrument, model, clips, targets, before)[:, :-1].clip(0)
    twice = _asked(instrument, model, clips[:, :, order], targets).clip(0)
    both, own = twice[:, frame : frame + 2].sum(1), once[:, frame]
    rest = np.delete(once, frame, 1).sum(1), np.delete(twice, [frame, frame + 1], 1).sum(1)
    told = (own > 0) & (rest[0] > 0) & (rest[1] > 0)
    return np.divide(both * rest[0], own * rest[1], out=np.full(len(own), np.nan), where=told)


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
    a, b = _asked(instrument, model, early, targets, before), _asked(instrument, model, late, targets)
    return ranks(a[:, by:], b[:, : a.shape[1] - by])


def permuted_labels(instrument, model, clips, targets, classes: int, seed: int = 0, before=None) -> np.ndarray:
    """Return the rank correlation [B] of importance for the target with that for another class drawn at random."""
    targets, classes = indices(targets, clips.device), whole("classes", classes, 2)
    generator = torch.Generator().manual_seed(whole("seed", seed, 0))
    shift = torch.randint(1, classes, targets.shape, generator=generator).to(targets)
    own = _asked(instrument, model, clips, targets, before)
    return ranks(own, _asked(instrument, model, clips, (targets + shift) % classes))


def _asked(instrument, model, clips, targets, before=None):
    """Return the importance float64 [B, N] of clips; `before` where it is known already."""
    found = instrument(model, clips, targets) if before is None else before
    return per_frame(found, float, "importance that the instrument returns")
