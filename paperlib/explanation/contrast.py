"""Why this class and not that one: a network whose logit of one class is the difference of two."""

import copy

import torch
from torch import nn

from ..errors import InputError
from ..models.inputs import class_logits
from ..models.probing import evaluating

CLOSE = 1e-3  # of the largest logit, in which the folded network may differ; 2e-2 in half precision


def difference(net: nn.Module, clip: torch.Tensor, first: int, second: int) -> nn.Module:
    """Return a copy of `net` whose logit `first` is logit `first` minus logit `second`; the others stay.

    The last layer is linear, so the difference is a class with weights w_first - w_second: contrastive relevance,
    masks and maps treat it as any other, and its sigmoid is the probability of `first` where only the two can be.
    clip: [B, 3, N, H, W], on which it is checked that the logits are those. Raises InputError where they are not: then
    the last layer is not linear.
    """
    if first == second:
        raise InputError("the difference of a class and itself is nothing; name two classes")
    with torch.no_grad(), evaluating(net):
        logits = class_logits(net, clip)
    folded = copy.deepcopy(net)
    layer = _last(folded, clip, logits.shape[1])
    if layer is not None:
        with torch.no_grad():
            layer.weight[first] -= layer.weight[second]
            if layer.bias is not None:
                layer.bias[first] -= layer.bias[second]
            expected = logits.clone()
            expected[:, first] -= logits[:, second]
            with evaluating(folded):
                apart = (class_logits(folded, clip) - expected).abs().max()
        close = CLOSE if layer.weight.dtype in (torch.float32, torch.float64) else 20 * CLOSE
        if float(apart) <= close * float(logits.abs().max()):
            return folded
    raise InputError(
        "the difference of two classes needs a linear layer or a convolution with one output per class as the last "
        f"one, which {type(net).__name__} has not; explain one class"
    )


def _last(net, clip, classes):
    """Return the last layer with weights that has an output per class, None where there is none."""
    ran = []
    handles = [
        module.register_forward_hook(lambda m, i, o: ran.append(m))
        for module in net.modules()
        if getattr(module, "out_features", getattr(module, "out_channels", None)) == classes
        and isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    try:
        with torch.no_grad(), evaluating(net):
            net(clip)
    finally:
        for handle in handles:
            handle.remove()
    return ran[-1] if ran else None
