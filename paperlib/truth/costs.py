"""What an instrument costs, counted: the same on every machine, which seconds are not."""

from collections.abc import Callable

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..errors import InputError
from ..tracing.inputs import class_logits, network
from ..tracing.probing import evaluating


class Counted(TorchDispatchMode):
    """Adds up in `total` the operations of convolutions and matrix products, forward and backward, by torch's formulas.

    torch's own FlopCounterMode hangs hooks on every module as well, which captum's way to gradients does not survive.
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation and add what it takes; one made of others, as without autograd, part by part."""
        kwargs = kwargs or {}
        formula = flop_registry.get(function.overloadpacket)
        if formula is None and torch.is_inference_mode_enabled() and function._can_decompose():
            with self:
                found = function.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        found = function(*args, **kwargs)
        if formula is not None and not any(isinstance(x, FakeTensor) for x in args):  # those compute nothing
            self.total += formula(*args, **kwargs, out_val=found)
        return found


def cost(instrument: Callable, model: nn.Module, clips: torch.Tensor, targets: torch.Tensor) -> float:
    """Return what an instrument, function(model, clips, targets), computes, in forward passes of the same clips.

    Counted are the multiplications and additions of convolutions and matrix products, forward and backward, in all
    that it runs, over those of one forward pass of clips [B, 3, N, H, W]; targets: classes [B]. What is looked up once
    per network, as the recording of its operations, is left out: the instrument runs twice and the second run counts.
    InputError for a network without convolutions and matrix products.
    """
    with evaluating(network(model, scripted=True)), torch.no_grad():
        class_logits(model, clips)  # what it looks up is left out here, too
        with Counted() as once:
            class_logits(model, clips)
    if not once.total:
        raise InputError(f"{type(model).__name__} has no convolution or matrix product that could be counted.")
    instrument(model, clips, targets)
    with Counted() as all_of_it:
        instrument(model, clips, targets)
    return all_of_it.total / once.total
