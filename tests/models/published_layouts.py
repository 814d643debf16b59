"""Weights and inputs of the parity fixtures, made from their layout alone (see the fixtures' README)."""

import zlib

import numpy as np
import torch

BACKBONES = {
    "resnet18": "R18",
    "resnet34": "R34",
    "resnet50": "R50",
    "resnet101": "R101",
    "resnet152": "R152",
    "inception_v1": "Inc",
}


def weights(layout):
    """{key: shape} -> {key: tensor}."""
    result = {}
    for key, shape in layout.items():
        if key.endswith("num_batches_tracked"):
            result[key] = torch.tensor(0)
            continue
        draw = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
        if key.endswith("running_var"):
            value = 1 + 0.5 * np.abs(draw)
        elif key.endswith("running_mean"):
            value = 0.1 * draw
        elif len(shape) == 1:
            value = 1 + 0.1 * draw if key.endswith("weight") else 0.1 * draw
        else:
            value = np.sqrt(2 / np.prod(shape[1:])) * draw
        result[key] = torch.tensor(value.astype(np.float32))
    return result


def clip(case):
    """The input of a case, [1, 3, T, size, size]."""
    shape = (1, 3, case["num_frames"], case["size"], case["size"])
    return torch.tensor(np.random.RandomState(0).standard_normal(shape).astype(np.float32))


def network(case):
    """(name, options) of models.create for a case."""
    arch = case["arch"]
    if arch["module"] == "SlowFast":
        return "SlowFast-R50-8x8", {}
    if "variant" in arch:
        return f"I3D-original-f{case['num_frames']}", {}
    options = {"kernel_size": arch["kernel_size"]} if "kernel_size" in arch else {}
    pooling = "-tp" if arch["temporal_pooling"] else ""
    return f"{arch['module']}-{BACKBONES[arch['backbone']]}-f{case['num_frames']}{pooling}", options
