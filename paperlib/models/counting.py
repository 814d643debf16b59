"""Size and cost of a network, without running it."""

from dataclasses import dataclass

import torch
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import InputError
from ..tracing.probing import evaluating
from .base import VideoModel

aten = torch.ops.aten


@dataclass(frozen=True)
class Count:
    """parameters: number of learned values. flops: multiply-accumulates for one clip, as `count` counts them."""

    parameters: int
    flops: int


def count(model: VideoModel, size: int = 224) -> Count:
    """Count the parameters of `model` and the multiply-accumulates of one clip of size x size pixels.

    The published convention (CVPR 2021): convolutions only, the classifier is left out; of a transformer all matrix
    products as well. Works on shapes (the meta device), so the model may be on any device, and nothing is computed.
    """
    if not isinstance(getattr(model, "num_frames", None), int):
        raise InputError(f"{type(model).__name__} has no num_frames; give it the frames of its clips")
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    clip = torch.empty(1, 3, model.num_frames, size, size, device="meta")
    with evaluating(model), torch.no_grad(), Convolutions(getattr(model, "attends", False)) as seen:
        functional_call(model, tensors, (clip,))
    return Count(sum(p.numel() for p in model.parameters()), seen.flops)


class Convolutions(TorchDispatchMode):
    """Adds up the multiply-accumulates of all convolutions, faster than torch's own FlopCounterMode.

    That one takes batch norms apart; this one passes them and ReLUs by, since they do not change shapes.
    products: whether to count matrix products too.
    """

    def __init__(self, products=False):
        from torch.utils import flop_counter  # here, because it imports Triton where there is one

        super().__init__()
        self.flops, self.products, self.formulas = 0, products, flop_counter

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run one operation, counting convolutions."""
        if func is aten.native_batch_norm.default:
            return args[0], args[0].new_empty(0), args[0].new_empty(0)
        if func is aten.relu.default:
            return args[0]
        result = func(*args, **(kwargs or {}))
        if func is aten.convolution.default:
            shapes = args[0].shape, args[1].shape, result.shape
            self.flops += self.formulas.conv_flop_count(*shapes, transposed=args[6]) // 2
        elif self.products and (formula := self.formulas.flop_registry.get(func.overloadpacket)):
            self.flops += formula(*args, **(kwargs or {}), out_val=result) // 2
        return result
