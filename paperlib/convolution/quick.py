"""A copy of a network for running it alone: the same numbers up to rounding, on a CPU in less time."""

import copy
from operator import add

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .transposes import every, mix, pointwise

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
FEW = 2  # output channels up to which a 3D convolution takes less time frame by frame


def quick(model: nn.Module) -> nn.Module:
    """Return a network that gives the same logits in evaluation mode and takes less time on a CPU; for running alone.

    A copy whose batch norms are folded into the convolutions in front of them, whose ReLUs write over what nothing else
    reads, and whose convolutions of one pixel are matrix products. Relevance and Grad-CAM, which look at the layers,
    take the network itself, and so do masks, which rounding sends other ways. A network that torch.fx cannot trace, or
    that is on another device, in other numbers than float32 or in training mode, is returned as it is.
    """
    first = next(model.parameters(), None)
    if model.training or first is None or first.device.type != "cpu" or first.dtype != torch.float32:
        return model
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # whatever a forward that depends on values leads to
        return model
    made = copy.deepcopy(model).requires_grad_(False)
    modules = dict(made.named_modules())
    calls: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls.setdefault(node.target, []).append(node)
    for path, nodes in calls.items():
        module, sources = modules[path], [node.args[0] for node in nodes]
        if type(module) in NORMS and len(nodes) == 1:
            before = _convolution(sources[0], modules, calls)
            if before is not None:
                _put(made, modules, before, fuse_conv_bn_eval(modules[before], module))
                _put(made, modules, path, nn.Identity())
        elif type(module) is nn.ReLU and all(_of_its_own(source, modules) for source in sources):
            module.inplace = True
    for path in calls:
        faster = _faster(modules[path])
        if faster is not None:
            _put(made, modules, path, faster)
    return made


def _convolution(source, modules, calls):
    """Return the path of the convolution, run once, whose only use is what a node gives; None for anything else."""
    if source.op != "call_module" or len(source.users) > 1 or len(calls[source.target]) > 1:
        return None
    return source.target if type(modules[source.target]) in CONVOLUTIONS else None


def _of_its_own(source, modules):
    """Whether a node gives new memory that nothing but its one user reads."""
    if len(source.users) > 1:
        return False
    if source.op == "call_module":
        module = type(modules[source.target])
        folded = module is nn.Identity and _of_its_own(source.args[0], modules)
        return folded or module in (*CONVOLUTIONS, *NORMS)
    return source.op == "call_function" and source.target in (torch.add, add)


def _put(made, modules, path, module):
    """Put a module in the place of the one of this path."""
    parent, _, name = path.rpartition(".")
    setattr(made.get_submodule(parent), name, module)
    modules[path] = module


def _faster(module):
    """Return what computes a convolution faster, None where nothing does."""
    if type(module) not in CONVOLUTIONS or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return None
    if pointwise(module.weight, module.padding, module.groups):
        return Pointwise(module)
    steps = zip(module.stride, module.dilation, module.kernel_size, module.padding, strict=True)
    stride, dilation, size, padding = next(steps)
    if type(module) is nn.Conv3d and module.groups == 1 and module.out_channels <= FEW and size > 1:
        return ByFrame(module) if (stride, dilation, 2 * padding) == (1, 1, size - 1) else None
    return None


class Pointwise(nn.Module):
    """A convolution of single pixels as a matrix product."""

    def __init__(self, convolution):
        super().__init__()
        self.weight, self.bias, self.stride = convolution.weight, convolution.bias, convolution.stride

    def forward(self, x):
        """[B, C, ...] -> [B, C', ...]."""
        out = mix(every(x, self.stride), self.weight)
        return out if self.bias is None else out.add_(self.bias.view(-1, *[1] * (x.dim() - 2)))


class ByFrame(nn.Module):
    """A 3D convolution to few channels: each tap in time is a channel of a 2D convolution, moved and added up."""

    def __init__(self, convolution):
        super().__init__()
        self.taps = convolution.kernel_size[0]
        self.bias = convolution.bias
        channels = convolution.out_channels * self.taps
        self.flat = nn.Conv2d(
            convolution.in_channels, channels, convolution.kernel_size[1:], convolution.stride[1:],
            convolution.padding[1:], convolution.dilation[1:], bias=False,
        )  # fmt: skip
        self.flat.weight = nn.Parameter(convolution.weight.permute(2, 0, 1, 3, 4).flatten(0, 1), requires_grad=False)

    def forward(self, x):
        """[B, C, T, H, W] -> [B, C', T, H', W']."""
        frames = self.flat(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)).unflatten(2, (self.taps, -1))
        middle = self.taps // 2
        out = frames[:, :, middle].clone()
        for tap in range(self.taps):
            away = tap - middle
            if 0 < away < x.shape[2]:
                out[:, :-away] += frames[:, away:, tap]
            elif 0 < -away < x.shape[2]:
                out[:, -away:] += frames[:, :away, tap]
        out = out.transpose(1, 2)
        return out if self.bias is None else out + self.bias.view(-1, 1, 1, 1)
