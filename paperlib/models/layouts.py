"""How public checkpoints name things: a short table of rules per layout, none of them for a single layer."""

import re

import torch

# A rule is (pattern, replacement); every key passes through all rules of a layout in order.
RELEASED = [  # CVPR 2021 code: torchvision's names, temporal modules called tam
    (r"(^|\.)tam(\w*)\.", r"\1temporal\2."),
]
ORIGINAL_I3D = [  # public PyTorch port of the original I3D, whose units are 3b, 3c, 4b ... 4f
    (r"^logits\.conv3d\.", "fc."),
    (r"^Conv3d_1a_7x7\.", "conv1."), (r"^Conv3d_2b_1x1\.", "conv2."), (r"^Conv3d_2c_3x3\.", "conv3."),
    (r"^Mixed_(\d)([b-z])\.", lambda m: f"inception{m[1]}{chr(ord(m[2]) - 1)}."),
    (r"\.b0\.", ".branch1."), (r"\.b([12])a\.", lambda m: f".branch{int(m[1]) + 1}.0."),
    (r"\.b([12])b\.", lambda m: f".branch{int(m[1]) + 1}.1."), (r"\.b3b\.", ".branch4.1."),
    (r"\.conv3d\.", ".conv."),
]
RESIDUAL = [  # both SlowFast layouts: units a, b, c of a bottleneck
    (r"\.branch1_conv\.", ".downsample.0."), (r"\.branch1_(?:norm|bn)\.", ".downsample.1."),
    (r"\.branch1\.", ".downsample.0."),
    (r"\.branch2\.(?:conv_)?([abc])\.", lambda m: f".conv{'abc'.index(m[1]) + 1}."),
    (r"\.branch2\.(?:norm_([abc])|([abc])_bn)\.", lambda m: f".bn{'abc'.index(m[1] or m[2]) + 1}."),
]
PYTORCHVIDEO = [
    (r"^blocks\.(\d+)\.multipathway_fusion\.conv_fast_to_slow\.", r"fuse.\1.conv."),
    (r"^blocks\.(\d+)\.multipathway_fusion\.norm\.", r"fuse.\1.bn."),
    (r"^blocks\.(\d+)\.multipathway_blocks\.0\.", r"slow.\1."),
    (r"^blocks\.(\d+)\.multipathway_blocks\.1\.", r"fast.\1."),
    (r"^blocks\.\d+\.proj\.", "fc."),
    (r"^(slow|fast)\.0\.norm\.", r"\1.0.bn."),
    (r"\.res_blocks\.(\d+)\.", r".\1."),
    *RESIDUAL,
]
PYSLOWFAST = [
    (r"^s(\d)_fuse\.conv_f2s\.", lambda m: f"fuse.{int(m[1]) - 1}.conv."),
    (r"^s(\d)_fuse\.bn\.", lambda m: f"fuse.{int(m[1]) - 1}.bn."),
    (r"^s(\d)\.pathway([01])_(?:stem|res(\d+))\.",
     lambda m: f"{('slow', 'fast')[int(m[2])]}.{int(m[1]) - 1}." + (f"{m[3]}." if m[3] else "")),
    (r"^head\.projection\.", "fc."),
    *RESIDUAL,
]
ACCV_CLSTM = [
    (r"^clstm\.cell(\d+)\.", r"cells.\1."), (r"^clstm\.bn\.", "bn."), (r"^endFC\.", "fc."),
]
TORCHVISION = [(r"^", "net.")]
LAYOUTS = (RELEASED, ORIGINAL_I3D, PYTORCHVIDEO, PYSLOWFAST, ACCV_CLSTM, TORCHVISION)

# Tensors that are one here and several there: (pattern, name here, position of a part, how parts are joined).
JOINS = [
    (r"(?P<name>.*)\.(?P<part>prev_se|curr_se|next_se)\.fc1\.weight", "{name}.conv.weight",
     ("prev_se", "curr_se", "next_se").index, lambda parts: torch.stack(parts, 2)),
    (r"(?P<name>.*)\.blending_layers\.(?P<part>\d+)\.fc1\.weight", "{name}.conv.weight",
     int, lambda parts: torch.stack(parts, 2)),
    (r"(?P<name>cells\.\d+)\.Wx(?P<part>[ifco])\.(?P<kind>weight|bias)", "{name}.input.{kind}",
     "ifco".index, torch.cat),
    (r"(?P<name>cells\.\d+)\.Wh(?P<part>[ifco])\.(?P<kind>weight|bias)", "{name}.hidden.{kind}",
     "ifco".index, torch.cat),
]


def translate(theirs, ours):
    """Rename the tensors `theirs` by the layout that fits the names `ours` best, or not at all."""
    candidates = [dict(theirs), *(join(rename(theirs, layout)) for layout in LAYOUTS)]
    return max(candidates, key=lambda candidate: len(candidate.keys() & ours.keys()))


def rename(state, layout):
    """Pass every key through the rules of one layout."""
    result = {}
    for key, value in state.items():
        for pattern, replacement in layout:
            key = re.sub(pattern, replacement, key)
        result[key] = value
    return result


def join(state):
    """Join what is several tensors in a public layout (a TAM's kernel per frame, an LSTM's gates)."""
    result, groups = {}, {}
    for key, value in state.items():
        for pattern, name, position, joined in JOINS:
            match = re.fullmatch(pattern, key)
            if match:
                parts = groups.setdefault(name.format(**match.groupdict()), ({}, joined))[0]
                parts[position(match["part"])] = value
                break
        else:
            result[key] = value
    for name, (parts, joined) in groups.items():
        shapes = {tuple(part.shape) for part in parts.values()}
        # parts that do not fit together are left as the first one, so that the shape check names the tensor
        result[name] = joined([parts[i] for i in sorted(parts)]) if len(shapes) == 1 else parts[min(parts)]
    return result


def reshape(found, ours):
    """Give 2D kernels a time axis of length one, and 1 x 1 x 1 classifiers the shape of a linear layer."""
    def fit(key, value):
        target = ours[key].shape if key in ours else value.shape
        if value.dim() == 4 and len(target) == 5 and value.unsqueeze(2).shape == target:
            return value.unsqueeze(2)
        if value.dim() == 5 and value.shape == (*target, 1, 1, 1):
            return value.flatten(1)
        return value

    return {key: fit(key, value) for key, value in found.items()}
