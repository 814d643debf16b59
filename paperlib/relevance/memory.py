"""How many clips and targets fit into memory at once."""

import math

import psutil
import torch

from ..errors import number

HELD = 5  # tensors of the largest size alive at once per target: R, s, their product, two branches
CPU_PORTION = 512 * 2**20  # beyond this, more clips at once no longer run faster on a CPU
CPU_FRAMES = 64  # nor with more frames, and every other number of clips has to be captured anew


def largest_portion(clips):
    """Return the first of the clips, as many as may go at once where memory is no concern."""
    return clips[: max(1, CPU_FRAMES // clips.shape[2])] if clips.device.type == "cpu" else clips


def portions(graph, steps, batch, device, memory="auto"):
    """Return (clips at once, output steps at once) for a graph captured with `batch` clips, the largest portion.

    Smaller portions of it are as equal as they can be, since every size of portion is captured anew.
    """
    sizes = [size(node) / batch for node in graph.varies]
    per_target = HELD * max(sizes)
    per_clip = 2 * sum(sizes)  # activations and denominators
    free = budget(device, memory)
    width = _equal(steps, free / per_target)
    at_once = free / (per_clip + per_target * width)
    if device.type == "cpu":  # where targets go on in smaller portions, see held.too_large
        at_once = min(at_once, CPU_PORTION / (per_clip + per_target))
    return _equal(batch, at_once), width


def _equal(total, most):
    """Return the size of equal portions of `total`, at least 1 and at most `most` each."""
    return math.ceil(total / math.ceil(total / max(1, min(total, int(most)))))


def budget(device, memory):
    """Return the bytes that relevance may occupy."""
    if memory != "auto":
        return number("memory", memory, "of bytes above 0 or 'auto'", lambda size: size > 0)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    else:
        free = psutil.virtual_memory().available
    return free / 2


def size(node):
    """Return the bytes of a node's value."""
    value = node.meta.get("val")
    parts = value if isinstance(value, (tuple, list)) else [value]
    return sum(x.numel() * x.element_size() for x in parts if isinstance(x, torch.Tensor))
