"""Size, cost and temporal reach of a network, without running it at full size."""

from dataclasses import dataclass

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Count:
    """parameters: number of learned values. flops: multiply-accumulates of the convolutions for one clip."""

    parameters: int
    flops: int


def count(model, size=224):
    """Count the parameters of `model` and the multiply-accumulates of one clip of size x size pixels.

    The published convention (CVPR 2021): convolutions only, the classifier is left out. Works on shapes (the
    meta device), so the model may be on any device, and nothing is computed.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    clip = torch.empty(1, 3, model.num_frames, size, size, device="meta")
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            functional_call(model, tensors, (clip,))
    finally:
        model.train(training)
    convolutions = counter.get_flop_counts()["Global"].get(torch.ops.aten.convolution, 0)
    return Count(sum(p.numel() for p in model.parameters()), convolutions // 2)
