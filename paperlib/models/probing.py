"""What every explanation does with a model first: hold it still and settle which classes are asked about."""

import contextlib

import torch

from ..errors import InputError


@contextlib.contextmanager
def evaluating(model):
    """Put the model into evaluation mode, without gradients for its weights; afterwards all is as before."""
    modes = [(module, module.training) for module in model.modules()]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter in learned:
            parameter.requires_grad_(True)


def classes(logits, targets, what="target"):
    """Return class indices int64 [B]: the predicted ones for None, else checked against logits [B, K].

    targets: one index for all clips or [B] of them. Raises InputError for another number of them and for
    classes that the model does not have; `what` names them there.
    """
    if targets is None:
        return logits.argmax(1)
    targets = torch.as_tensor(targets, device=logits.device).long()
    targets = targets.expand(len(logits)) if targets.ndim == 0 else targets
    if targets.shape != logits.shape[:1]:
        raise InputError(
            f"there are {len(logits)} clips but {what} classes of shape {list(targets.shape)}; "
            "give one class index per clip."
        )
    outside = targets[(targets < 0) | (targets >= logits.shape[1])]
    if len(outside):
        raise InputError(
            f"{what} class {int(outside[0])} does not exist; the model has classes 0 to {logits.shape[1] - 1}."
        )
    return targets


def rows(values, part):
    """Return the slice `part` of one value per clip; None and single values serve every clip."""
    if values is None or isinstance(values, int):
        return values
    values = torch.as_tensor(values)
    return values if values.ndim == 0 else values[part]


@torch.no_grad()
def score(model, clips, targets):
    """Return the softmax score [B] of class targets[b] for each clip."""
    return model(clips).float().softmax(1).gather(1, targets[:, None])[:, 0]
