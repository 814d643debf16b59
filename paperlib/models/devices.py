"""Where a network computes."""

import torch

from ..errors import InputError


def device(wanted="auto"):
    """Return the torch device for `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {wanted!r} was asked for but torch sees no GPU; use --device cpu or auto")
    try:
        return torch.device(wanted)
    except RuntimeError:
        raise InputError(f"device {wanted!r} is not one of auto, cpu, cuda, cuda:N") from None
