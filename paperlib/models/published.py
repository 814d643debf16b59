"""Load weights stored in the layout of the papers' public checkpoints, by structure and strictly."""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import InputError

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")


def load_published(model, source):
    """Load a public checkpoint into `model` (in place) and return the model.

    source: a file (.pth, .pt, .pth.tar, .pyth, .safetensors) or a state dict, with or without a `state_dict`
    wrapper and `module.` prefixes. Accepted layouts: the one released with the CVPR 2021 paper (2D
    networks with 2D kernels), the public PyTorch port of the original I3D, PyTorchVideo's SlowFast,
    torchvision's video networks, and the project's own. Keys are translated by rules (one table per
    layout), never by listing a network's layers.
    Raises InputError that names missing and unexpected keys and wrong shapes; nothing is loaded then.
    """
    theirs, origin = read(source)
    ours = model.state_dict()
    found = reshape(translate(theirs, ours), ours)
    problems = differences(found, ours)
    if problems:
        raise InputError(f"{origin} does not fit {describe(model)}: {problems}")
    model.load_state_dict(found)
    settle(model, theirs)
    return model


def settle(model, theirs):
    """Set what a public checkpoint implies but does not store: the last pool of the released I3D-Inc."""
    config = getattr(model, "config", {})
    released = any(key.startswith("conv1.conv") for key in theirs)
    if released and config.get("name", "").startswith("I3D-Inc-") and config.get("last_pool") is None:
        model.maxpool4.kernel_size, model.maxpool4.padding = 3, 1
        config["last_pool"] = 3


def describe(model):
    """Name a model in an error."""
    config = getattr(model, "config", {})
    if "name" not in config:
        return type(model).__name__
    return f"{config['name']} with {config['num_classes']} classes"


def read(source):
    """Return (flat state dict without wrappers and prefixes, what to call it in an error)."""
    origin = "the state dict"
    if isinstance(source, (str, Path)):
        origin = str(source)
        source = _read_file(Path(source))
    for wrapper in WRAPPERS:
        if isinstance(source, dict) and isinstance(source.get(wrapper), dict):
            source = source[wrapper]
    if not isinstance(source, dict) or not any(isinstance(value, torch.Tensor) for value in source.values()):
        raise InputError(f"{origin} holds no state dict: expected a mapping from names to tensors, "
                         f"possibly under 'state_dict'")
    tensors = {key: value for key, value in source.items() if isinstance(value, torch.Tensor)}
    while all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors, origin


def _read_file(path):
    if not path.is_file():
        raise InputError(f"there is no checkpoint file {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    except Exception as error:  # torch.load wraps what it refuses to unpickle in its own exception type
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise InputError(f"{path} is not a readable checkpoint of tensors only: {reason}")


# Each layout is a list of (pattern, replacement); a key is passed through all of them.
RELEASED = [  # CVPR 2021: tensors called tam*, one 1x1 kernel per neighbouring frame
    (r"(^|\.)tam(\w*)\.", r"\1temporal\2."),
]
ORIGINAL_I3D = [  # units are called 3b, 3c, 4b ... 4f there
    (r"^logits\.conv3d\.", "fc."),
    (r"^Conv3d_1a_7x7\.", "conv1."), (r"^Conv3d_2b_1x1\.", "conv2."), (r"^Conv3d_2c_3x3\.", "conv3."),
    (r"^Mixed_(\d)([b-z])\.", lambda m: f"inception{m[1]}{chr(ord(m[2]) - 1)}."),
    (r"\.b0\.", ".branch1."), (r"\.b([12])a\.", lambda m: f".branch{int(m[1]) + 1}.0."),
    (r"\.b([12])b\.", lambda m: f".branch{int(m[1]) + 1}.1."), (r"\.b3b\.", ".branch4.1."),
    (r"\.conv3d\.", ".conv."),
]
SLOWFAST = [  # PyTorchVideo
    (r"^blocks\.(\d+)\.multipathway_fusion\.conv_fast_to_slow\.", r"fuse.\1.conv."),
    (r"^blocks\.(\d+)\.multipathway_fusion\.norm\.", r"fuse.\1.bn."),
    (r"^blocks\.(\d+)\.multipathway_blocks\.0\.", r"slow.\1."),
    (r"^blocks\.(\d+)\.multipathway_blocks\.1\.", r"fast.\1."),
    (r"^blocks\.\d+\.proj\.", "fc."),
    (r"^(slow|fast)\.0\.norm\.", r"\1.0.bn."),
    (r"\.res_blocks\.(\d+)\.", r".\1."),
    (r"\.branch1_conv\.", ".downsample.0."),
    (r"\.branch1_norm\.", ".downsample.1."),
    (r"\.branch2\.conv_([abc])\.", lambda m: f".conv{'abc'.index(m[1]) + 1}."),
    (r"\.branch2\.norm_([abc])\.", lambda m: f".bn{'abc'.index(m[1]) + 1}."),
]
TORCHVISION = [(r"^", "net.")]
LAYOUTS = (RELEASED, ORIGINAL_I3D, SLOWFAST, TORCHVISION)


def translate(theirs, ours):
    """Rename `theirs` by the layout that fits the names of `ours` best; names already ours stay."""
    def renamed(layout):
        result = {}
        for key, value in theirs.items():
            for pattern, replacement in layout:
                key = re.sub(pattern, replacement, key)
            result[key] = value
        return stack_neighbours(result)

    candidates = [dict(theirs), *map(renamed, LAYOUTS)]
    return max(candidates, key=lambda candidate: len(candidate.keys() & ours.keys()))


def stack_neighbours(state):
    """Join the per-frame 1x1 kernels of a TAM (first the earliest frame) into one kernel over time."""
    order = {"prev_se": 0, "curr_se": 1, "next_se": 2}
    result, groups = {}, {}
    for key, value in state.items():
        match = re.fullmatch(r"(.*)\.(?:(prev_se|curr_se|next_se)|blending_layers\.(\d+))\.fc1\.weight", key)
        if match:
            step = order[match[2]] if match[2] else int(match[3])
            groups.setdefault(match[1], {})[step] = value
        else:
            result[key] = value
    for name, steps in groups.items():
        result[f"{name}.conv.weight"] = torch.stack([steps[i] for i in sorted(steps)], 2)
    return result


def reshape(found, ours):
    """Give 2D kernels the time axis of length one, and 1x1x1 classifiers the shape of a linear layer."""
    def fit(key, value):
        target = ours[key].shape if key in ours else value.shape
        kernel = value.dim() == 4 and len(target) == 5
        if kernel and value.unsqueeze(2).shape == target:
            return value.unsqueeze(2)
        if value.dim() == 5 and len(target) == 2 and value.shape == (*target, 1, 1, 1):
            return value.flatten(1)
        return value

    return {key: fit(key, value) for key, value in found.items()}


def differences(found, ours, listed=8):
    """Describe missing and unexpected keys and wrong shapes in one sentence, or return ''."""
    def names(keys):
        keys = list(keys)
        return ", ".join(keys[:listed]) + (f" and {len(keys) - listed} more" if len(keys) > listed else "")

    missing = [k for k in ours if k not in found and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in found if k not in ours]
    shapes = [f"{k} is {list(found[k].shape)} and should be {list(ours[k].shape)}" for k in ours
              if k in found and found[k].shape != ours[k].shape]
    parts = [f"{len(keys)} {what}: {names(keys)}" for what, keys in
             (("missing", missing), ("unexpected", unexpected), ("of the wrong shape", shapes)) if keys]
    return "; ".join(parts)
