"""What all video networks share: the input check, the head, and how weights start."""

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import InputError


@torch.fx.wrap
def check_clip(clip, frames):
    """Raise InputError unless `clip` is [B, 3, frames, H, W]."""
    shape = list(clip.shape)
    if len(shape) != 5:
        raise InputError(f"a clip has 5 dimensions [B, 3, T, H, W], but this one has {len(shape)}: {shape}")
    if shape[1] != 3:
        raise InputError(f"a clip [B, 3, T, H, W] has 3 colour channels, but this has {shape[1]}: {shape}")
    if shape[2] != frames:
        raise InputError(f"this network takes {frames} frames, but the clip has {shape[2]}: {shape}")


def check_options(name, options, known):
    """Raise InputError for options of `models.create` that the network `name` does not have.

    kernel_size and placement, which belong to the framework's modules, pass at their defaults.
    """
    neutral = {"kernel_size": 3, "placement": "all"}
    for key, value in options.items():
        if key not in neutral:
            known = ", ".join(["width", "dropout", *known])
            raise InputError(f"{name} has no option '{key}'; it has {known}")
        if value != neutral[key]:
            raise InputError(f"{key}={value!r} for {name}: this network is fixed, leave it out")


@torch.fx.wrap
def average_pairs(x):
    """Average neighbouring time steps of [B, C, T, H, W]; a single step stays as it is."""
    return (x[:, :, 1:] + x[:, :, :-1]) / 2 if x.shape[2] > 1 else x


class MaxPool3d(nn.MaxPool3d):
    """nn.MaxPool3d: the same values, on a CPU 3 to 9 times as fast, on a GPU with the same gradients in every call."""

    def forward(self, x):
        """[B, C, T, H, W] -> [B, C, T', H', W']."""
        return max_pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


@torch.fx.wrap
def max_pool(x, kernel, stride, padding, dilation, ceil_mode):
    """Pool [B, C, T, H, W] in the way that suits the device; arguments as those of `torch.nn.MaxPool3d`."""
    if x.device.type == "cpu":  # where PyTorch uses its vector instructions with the channels last
        x = x.contiguous(memory_format=torch.channels_last_3d)
        return F.max_pool3d(x, kernel, stride, padding, dilation, ceil_mode).contiguous()
    return max_pool_by_frames(x, kernel, stride, padding, dilation, ceil_mode)


def max_pool_by_frames(x, kernel, stride, padding, dilation, ceil_mode):
    """Pool in 2D where no frames meet: PyTorch's 3D gradients on a GPU add in any order, its 2D ones do not."""
    geometry = [[n] * 3 if isinstance(n, int) else list(n) for n in (kernel, stride, padding, dilation)]
    if [n[0] for n in geometry[:3]] != [1, 1, 0]:
        return F.max_pool3d(x, kernel, stride, padding, dilation, ceil_mode)
    found = F.max_pool2d(x.flatten(1, 2), *(n[1:] for n in geometry), ceil_mode)
    return found.unflatten(1, x.shape[1:3])


class VideoModel(nn.Module):
    """A network that scores every output time step and averages the scores.

    Subclasses give `features` and own `dropout` and `fc`. `config` holds the arguments with which
    `models.create(**config)` rebuilds the network.
    """

    num_frames: int
    config: dict

    def __init__(self, num_frames):
        super().__init__()
        self.num_frames = num_frames
        self.config = {}

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> feature maps [B, C, T', H', W'] before spatial average pooling."""
        raise NotImplementedError

    def frame_logits(self, clip):
        """Clip [B, 3, T, H, W] -> logits of every output time step [B, T', K]."""
        check_clip(clip, self.num_frames)
        return self.fc(self.dropout(self.features(clip).mean((3, 4)).transpose(1, 2)))

    def forward(self, clip):
        """Clip [B, 3, T, H, W] -> clip logits [B, K], the mean of `frame_logits` over time."""
        return self.frame_logits(clip).mean(1)


class TimeConv(nn.Conv3d):
    """A (k, 1, 1) convolution, computed as a (k, 1) convolution over [B, C, T, H*W].

    Same numbers as nn.Conv3d; several times faster on CPU, most of all when depthwise.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, groups=1, bias=False):
        super().__init__(
            in_channels,
            out_channels,
            (kernel_size, 1, 1),
            stride=(stride, 1, 1),
            padding=(kernel_size // 2, 0, 0),
            groups=groups,
            bias=bias,
        )

    def forward(self, x):
        """[B, C, T, H, W] -> [B, C', T', H, W]."""
        y = nn.functional.conv2d(
            x.flatten(3), self.weight.squeeze(-1), self.bias, self.stride[:2], self.padding[:2], groups=self.groups
        )
        return y.unflatten(3, x.shape[3:])


def initialise(model):
    """Start all weights as the papers' code does: Kaiming (fan out) convolutions, unit batch norms.

    A depthwise temporal kernel (TAM) is drawn per frame as the 1x1 convolutions of the released code are:
    standard deviation sqrt(2 / channels). The classifier starts small. A layer with a method `start` has the
    last word on its own weights.
    """
    for module in model.modules():
        if isinstance(module, TimeConv) and module.groups > 1:
            nn.init.normal_(module.weight, std=(2 / module.out_channels) ** 0.5)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            if module.affine:
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in model.modules():
        if hasattr(module, "start"):
            module.start()
    return model
