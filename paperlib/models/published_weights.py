"""Load weights stored in the layout of the papers' public checkpoints, by structure and strictly."""

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from ..errors import InputError
from .layouts import match

# training scripts store accuracies beside the weights, some as numpy scalars
SCALAR = np.float64(0).__reduce__()[0]  # what numpy pickles a scalar with
NUMPY_SCALARS = [
    (SCALAR, "numpy.core.multiarray.scalar"),
    SCALAR,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64")),
]
LISTED = 20  # names of each kind in an error
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")


def load_published(model: nn.Module, source: str | Path | dict, origin: str = "") -> nn.Module:
    """Load a public checkpoint into `model` (in place) and return the model.

    source: a file (.pth, .pt, .pth.tar, .pyth, .safetensors) or a state dict, with or without a `state_dict`
    wrapper and `module.` prefixes; origin: what to call it in an error. Accepted layouts (layouts.py): the ones
    released with the CVPR 2021 and ACCV 2020 papers, the public PyTorch port of the original I3D, SlowFast as in
    PyTorchVideo and as in PySlowFast, torchvision's video networks, and the project's own.
    An I3D-Inc network gets the last pool of the released code (`last_pool=3`), whatever it had.
    Raises InputError that names missing and unexpected keys and wrong shapes; nothing is loaded then.
    """
    theirs, called = read(source)
    found = match(theirs, model.state_dict())
    problems = [
        f"{len(keys)} {what}: {', '.join(keys[:LISTED])}{' ...' if len(keys) > LISTED else ''}"
        for what, keys in (
            ("missing", found.missing),
            ("unexpected", found.unexpected),
            ("of the wrong shape", found.wrong),
        )
        if keys
    ]
    if problems:
        raise InputError(f"{origin or called} does not fit {describe(model)}: {'; '.join(problems)}")
    model.load_state_dict(found.tensors)
    settle(model, theirs)
    return model


def settle(model, theirs):
    """Set what a public checkpoint implies but does not store: the last pool of the released I3D-Inc."""
    config = _config(model)
    if config.get("name", "").startswith("I3D-Inc-") and any(key.startswith("conv1.conv") for key in theirs):
        model.maxpool4.kernel_size, model.maxpool4.padding = 3, 1
        config["last_pool"] = 3


def describe(model):
    """Name a model in an error."""
    config = _config(model)
    if not {"name", "num_classes"} <= config.keys():
        return type(model).__name__
    return f"{config['name']} with {config['num_classes']} classes"


def _config(model):
    """Return the settings of a network that `models.create` made; {} for any other, whatever its `config` is."""
    config = getattr(model, "config", None)
    return config if isinstance(config, dict) else {}


def read(source):
    """Return (flat state dict without wrappers and prefixes, what to call it in an error)."""
    origin = "the state dict"
    if isinstance(source, nn.Module):
        source = source.state_dict()
    if isinstance(source, (str, Path)):
        origin = str(source)
        source = _read_file(Path(source))
    for wrapper in WRAPPERS:
        if isinstance(source, dict) and isinstance(source.get(wrapper), dict):
            source = source[wrapper]
    pairs = source.items() if isinstance(source, dict) else ()
    tensors = {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if not tensors:
        raise InputError(
            f"{origin} holds no state dict: expected a mapping from names to tensors, possibly under 'state_dict'"
        )
    while all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors, origin


def _read_file(path):
    if not os.path.isfile(path):
        raise InputError(f"there is no checkpoint file {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_SCALARS):
            # of a pickle's protocol: it advises to file an issue with torch
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle, safetensors and system errors, each of its own type
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, LookupError) or type(error).__name__ == "UnpicklingError":
            # torch's own words advise to let the file run code
            reason = "it is no file of PyTorch, or holds other objects, which could run code"
    raise InputError(f"{path} is not a readable checkpoint of tensors only: {reason}")
