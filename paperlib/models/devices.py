"""Where a network computes."""

import torch

from ..errors import InputError


def device(wanted="auto"):
    """Return the torch device for `auto`, `cpu`, `cuda`, `cuda:N` or a torch.device; `auto` is a GPU if there is one.

    Raises InputError for any other device and for a GPU that there is not.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(wanted)
    except (RuntimeError, TypeError):
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise InputError(f"device {str(wanted)!r} is not one of auto, cpu, cuda, cuda:N")
    if found.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(f"device {str(wanted)!r} was asked for but torch sees no GPU; use --device cpu or auto")
        there = torch.cuda.device_count()
        if (found.index or 0) >= there:
            raise InputError(
                f"GPU {found.index} was asked for but torch sees {there}, counted from 0; name one of these, or give "
                "torchrun a lower --nproc-per-node"
            )
    return found
