"""Start a network from another one: from 2D weights, or from the same network at another frame count."""

from pathlib import Path

from torch import nn

from ..errors import InputError
from .published_weights import describe, read


def inflate(model: nn.Module, source: str | Path | dict | nn.Module, rescale: bool = True) -> list[str]:
    """Copy the weights of `source` into `model` (in place) and return the names that keep their fresh values.

    source: a file or state dict of a torchvision ImageNet network (resnet18 ... resnet152, googlenet), or of
    a network of this package, for example one trained on fewer frames. A 2D kernel is repeated over
    time; `rescale` divides it by the temporal extent, so that a still clip gives what the picture gave the
    2D network (Carreira & Zisserman 2017; the code released with the CVPR 2021 paper does not divide).
    Not copied: a classifier of another number of classes, auxiliary classifiers, and temporal modules
    that the source does not have. Raises InputError, with nothing copied, if the source has tensors that the
    network has not, or in another size.
    """
    theirs, origin = read(source)
    ours = model.state_dict()
    found, wrong, fresh = {}, [], []
    for key, own in ours.items():
        value = theirs.get(key)
        if value is not None and value.shape != own.shape:
            value = stretch(value, own, rescale)
        if value is not None:
            found[key] = value
        elif key in theirs and not key.startswith("fc."):
            wrong.append(f"{key} is {list(theirs[key].shape)} and should fit {list(own.shape)}")
        elif not key.endswith("num_batches_tracked"):
            fresh.append(key)
    unused = [key for key in theirs if key not in ours and not key.startswith(("aux", "fc."))]
    if wrong or unused or not found:
        problem = "; ".join(wrong[:8]) or f"it has {', '.join(unused[:8])}, which the network has not"
        raise InputError(f"{origin} does not fit the backbone of {describe(model)}: {problem}")
    model.load_state_dict({**ours, **found})
    return fresh


def stretch(kernel, own, rescale):
    """Return the 2D kernel [O, I, h, w] repeated to the shape of `own` [O, I, t, h, w], or None."""
    if kernel.dim() != 4 or own.dim() != 5 or kernel.shape != own.shape[:2] + own.shape[3:]:
        return None
    repeated = kernel.unsqueeze(2).expand(own.shape)
    return repeated / own.shape[2] if rescale else repeated.clone()
