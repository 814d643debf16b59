"""How public checkpoints name things: per layout a short table of rules, none for a single network."""

import re
from dataclasses import dataclass, field

import torch

# A rule is (pattern, replacement) from a name here to the name there; all rules of a layout apply in order.
# <frame> and <gate> stand for the parts of a tensor that is one here and several there.
RELEASED = [  # CVPR 2021 code: torchvision's names, and a 1 x 1 convolution per frame of a temporal module
    (r"(^|\.)temporal(\w*)\.conv\.weight$", r"\1tam\2.<frame>.fc1.weight"),
]
ORIGINAL_I3D = [  # public PyTorch port of the original I3D, whose units are 3b, 3c, 4b ... 4f
    (r"\.conv\.", ".conv3d."),
    (r"^fc\.", "logits.conv3d."),
    (r"^conv1\.", "Conv3d_1a_7x7."),
    (r"^conv2\.", "Conv3d_2b_1x1."),
    (r"^conv3\.", "Conv3d_2c_3x3."),
    (r"^inception(\d)([a-z])\.", lambda m: f"Mixed_{m[1]}{chr(ord(m[2]) + 1)}."),
    (r"\.branch1\.", ".b0."),
    (r"\.branch4\.1\.", ".b3b."),
    (r"\.branch([23])\.([01])\.", lambda m: f".b{int(m[1]) - 1}{'ab'[int(m[2])]}."),
]
PYTORCHVIDEO = [  # SlowFast
    (r"^fuse\.(\d)\.conv\.", r"blocks.\1.multipathway_fusion.conv_fast_to_slow."),
    (r"^fuse\.(\d)\.bn\.", r"blocks.\1.multipathway_fusion.norm."),
    (r"^(slow|fast)\.0\.bn\.", r"\1.0.norm."),
    (r"^(slow|fast)\.(\d)\.(\d+)\.", r"\1.\2.res_blocks.\3."),
    (r"^(slow|fast)\.(\d)\.", lambda m: f"blocks.{m[2]}.multipathway_blocks.{'sf'.index(m[1][0])}."),
    (r"\.downsample\.0\.", ".branch1_conv."),
    (r"\.downsample\.1\.", ".branch1_norm."),
    (r"\.conv([123])\.", lambda m: f".branch2.conv_{'_abc'[int(m[1])]}."),
    (r"\.bn([123])\.", lambda m: f".branch2.norm_{'_abc'[int(m[1])]}."),
    (r"^fc\.", "blocks.6.proj."),
]
PYSLOWFAST = [
    (r"^fuse\.(\d)\.", lambda m: f"s{int(m[1]) + 1}_fuse."),
    (r"_fuse\.conv\.", "_fuse.conv_f2s."),
    (r"^(slow|fast)\.0\.", lambda m: f"s1.pathway{'sf'.index(m[1][0])}_stem."),
    (r"^(slow|fast)\.(\d)\.(\d+)\.", lambda m: f"s{int(m[2]) + 1}.pathway{'sf'.index(m[1][0])}_res{m[3]}."),
    (r"\.downsample\.0\.", ".branch1."),
    (r"\.downsample\.1\.", ".branch1_bn."),
    (r"\.conv([123])\.", lambda m: f".branch2.{'_abc'[int(m[1])]}."),
    (r"\.bn([123])\.", lambda m: f".branch2.{'_abc'[int(m[1])]}_bn."),
    (r"^fc\.", "head.projection."),
]
ACCV_CLSTM = [
    (r"^cells\.(\d+)\.input\.", r"clstm.cell\1.Wx<gate>."),
    (r"^cells\.(\d+)\.hidden\.", r"clstm.cell\1.Wh<gate>."),
    (r"^bn\.\d+\.", "clstm.bn."),
    (r"^fc\.", "endFC."),
]
TORCHVISION = [(r"^net\.", "")]
OWN = []
LAYOUTS = (RELEASED, ORIGINAL_I3D, PYTORCHVIDEO, PYSLOWFAST, ACCV_CLSTM, TORCHVISION, OWN)  # first wins ties


@dataclass
class Match:
    """A public state dict seen through one layout: tensors under our names, and what does not fit."""

    tensors: dict = field(default_factory=dict)
    missing: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    wrong: list = field(default_factory=list)


def match(theirs, ours):
    """Fit the tensors `theirs` to the state dict `ours` through the layout that shares most names with it."""
    tables = [{key: names(key, own, layout) for key, own in ours.items()} for layout in LAYOUTS]
    table = max(tables, key=lambda t: sum(name in theirs for there in t.values() for name in there))
    known = {name for there in table.values() for name in there}
    result = Match(unexpected=[name for name in theirs if name not in known])
    for key, there in table.items():
        absent = [name for name in there if name not in theirs]
        # Checkpoints older than PyTorch 0.4.1 do not count batches.
        result.missing += [name for name in absent if not name.endswith("num_batches_tracked")]
        if not absent:
            _take(result, key, ours[key].shape, {name: theirs[name] for name in there})
    return result


def _take(result, key, shape, parts):
    """Put the tensor `key` of a shape into a `Match`, from its parts {name there: tensor}, or say what is wrong."""
    target = part_shape(shape, list(parts))
    fitted = {name: fit(value, target) for name, value in parts.items()}
    wrong = [name for name, value in fitted.items() if value is None]
    result.wrong += [f"{name} is {list(parts[name].shape)} and should be {list(target)}" for name in wrong]
    if not wrong:
        values = list(fitted.values())  # gates of an LSTM lie one after the other, frames of a kernel along its time
        result.tensors[key] = values[0] if len(values) == 1 else torch.cat(values, 0 if is_gate(list(parts)) else 2)


def names(key, own, layout):
    """Return the names under which a layout stores the tensor `own`, which is called `key` here."""
    for pattern, replacement in layout:
        key = re.sub(pattern, replacement, key)
    if "<frame>" in key:  # from the earliest frame to the latest
        frames = own.shape[2]
        parts = ["prev_se", "curr_se", "next_se"] if frames == 3 else [f"blending_layers.{i}" for i in range(frames)]
        return [key.replace("<frame>", part) for part in parts]
    return [key.replace("<gate>", gate) for gate in "ifco"] if "<gate>" in key else [key]


def is_gate(there):
    """Return whether `there` are the names of the four gates of an LSTM (and not the frames of a kernel)."""
    return there[0].startswith("clstm.")


def part_shape(shape, there):
    """Return the shape that each of the parts called `there` has, when all of them have `shape` together."""
    if len(there) == 1:
        return shape
    return (shape[0] // 4, *shape[1:]) if is_gate(there) else (*shape[:2], 1, *shape[3:])


def fit(value, target):
    """Return `value` in the shape `target`, or None.

    2D kernels get a time axis of length one; 1 x 1 x 1 convolutions become linear layers.
    """
    if value.shape == target:
        return value
    if value.dim() == 4 and len(target) == 5 and value.unsqueeze(2).shape == target:
        return value.unsqueeze(2)
    return value.flatten(1) if value.shape == (*target, 1, 1, 1) else None
