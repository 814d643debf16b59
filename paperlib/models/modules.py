"""Spatio-temporal modules: the one part in which two networks of the framework differ (CVPR 2021, Figure 3).

A backbone (resnet.py, inception.py) is a stack of blocks. It asks its module for four things:

* `conv`: the convolution that the 2D backbone has as a k x k one (I3D gives it a temporal extent),
* `after_conv`: a temporal convolution behind each of them (S3D),
* `at_input`: a layer in front of a block's residual branch, or behind each Inception unit (TAM, TSM, Conv1D),
* `at_output`: a layer behind a block (non-local),

and `joint_pooling` says how temporal pooling is done if it is on: as a stride of the 3D convolutions and
pools, or as separate 3 x 1 x 1 max pools (2D networks).

To add a module, write one class with the parts that differ and add one line to MODULES:

    class Blur(TSN):
        '''Averages three neighbouring frames in front of every block.'''
        def at_input(self, channels):
            return nn.AvgPool3d((3, 1, 1), stride=1, padding=(1, 0, 0))

    MODULES["Blur"] = Blur        # models.create("Blur-R18-f8", num_classes=10) now works
"""

import torch
from torch import nn

from .base import MaxPool3d, TimeConv


class TSN:
    """No exchange between frames: a 2D network on every frame (TSN; with `-tp` only the pools see time)."""

    kernel_sizes = ()  # temporal kernels that may be asked for; empty: the module has none
    joint_pooling = False
    placeable = False  # whether `at_input` can be restricted to half of the blocks
    stem = {"ResNet": 1, "InceptionV1": 1}  # temporal extent of the first convolution

    def __init__(self, kernel_size=3):
        self.kernel_size = kernel_size

    def conv(self, in_channels, out_channels, size, stride=1, time_stride=1):
        """Return the block's size x size convolution."""
        return spatial_conv(in_channels, out_channels, 1, size, stride, time_stride)

    def after_conv(self, channels, time_stride=1, bias=False):
        """Return the temporal convolution that follows each size > 1 convolution, or None."""

    def at_input(self, channels):
        """Return the layer in front of a block, or None."""

    def at_output(self, channels, stage, index):
        """Return the layer behind block `index` of `stage` (1 to 4, halving the resolution each), or None."""


class I3D(TSN):
    """Joint convolutions in space and time, inflated from 2D (Carreira & Zisserman 2017)."""

    kernel_sizes = (3, 5, 7)
    joint_pooling = True
    stem = {"ResNet": 3, "InceptionV1": 7}

    def conv(self, in_channels, out_channels, size, stride=1, time_stride=1):
        """k x size x size; 1 x 1 convolutions stay without temporal extent."""
        time = self.kernel_size if size > 1 else 1
        return spatial_conv(in_channels, out_channels, time, size, stride, time_stride)


class S3D(TSN):
    """Separate convolutions in space, then time (S3D; on a ResNet: R(2+1)D without channel expansion)."""

    kernel_sizes = (3, 5, 7)
    joint_pooling = True
    stem = {"ResNet": 3, "InceptionV1": 3}

    def conv(self, in_channels, out_channels, size, stride=1, time_stride=1):
        """1 x size x size; the temporal stride is left to `after_conv`."""
        return spatial_conv(in_channels, out_channels, 1, size, stride)

    def after_conv(self, channels, time_stride=1, bias=False):
        """k x 1 x 1 over all channels."""
        return TimeConv(channels, channels, self.kernel_size, time_stride, bias=bias)


class TAM2D(TSN):
    """Temporal aggregation: every channel mixes k neighbouring frames, then ReLU (Fan et al. 2019)."""

    kernel_sizes = (3, 5, 7)
    placeable = True

    def at_input(self, channels):
        """Depthwise k x 1 x 1 convolution and ReLU."""
        return Aggregation(channels, self.kernel_size, groups=channels)


class Conv1D(TAM2D):
    """Plain 1D temporal convolution over all channels, where TAM2D has a depthwise one (CVPR Table 5)."""

    def at_input(self, channels):
        """Full k x 1 x 1 convolution and ReLU."""
        return Aggregation(channels, self.kernel_size, groups=1)


class TSM(TSN):
    """Temporal shift: an eighth of the channels comes from the next frame, an eighth from the one before."""

    placeable = True

    def at_input(self, channels):
        """Parameter-free shift."""
        return Shift(max(1, channels // 8))


class NLN(TSN):
    """Non-local blocks: two behind blocks of the second stage, three of the third, every other one.

    That is where Wang et al. 2018 put five; the CVPR 2021 paper says it follows them, but has the two
    numbers the other way round.
    """

    positions = {2: (0, 2), 3: (0, 2, 4)}

    def at_output(self, channels, stage, index):
        """Non-local block, or None where the stage or index has none."""
        return NonLocal(channels) if index in self.positions.get(stage, ()) else None


MODULES = {"I3D": I3D, "S3D": S3D, "TSN": TSN, "TAM2D": TAM2D, "TSM": TSM, "NLN": NLN, "Conv1D": Conv1D}


def spatial_conv(in_channels, out_channels, time, size, stride=1, time_stride=1):
    """Return a time x size x size convolution without bias that keeps the size where the strides are 1."""
    return nn.Conv3d(
        in_channels,
        out_channels,
        (time, size, size),
        stride=(time_stride, stride, stride),
        padding=(time // 2, size // 2, size // 2),
        bias=False,
    )


class Aggregation(nn.Module):
    """Temporal convolution and ReLU; zero padding at both ends of the clip."""

    def __init__(self, channels, kernel_size, groups):
        super().__init__()
        self.conv = TimeConv(channels, channels, kernel_size, groups=groups)
        self.relu = nn.ReLU()

    def forward(self, x):
        """[B, C, T, H, W] -> the same shape."""
        return self.relu(self.conv(x))


class Shift(nn.Module):
    """Move `fold` channels one frame back in time and the next `fold` one frame ahead; zeros come in."""

    def __init__(self, fold):
        super().__init__()
        self.fold = fold

    def forward(self, x):
        """[B, C, T, H, W] -> the same shape."""
        back, ahead, rest = x[:, : self.fold], x[:, self.fold : 2 * self.fold], x[:, 2 * self.fold :]
        back = nn.functional.pad(back[:, :, 1:], (0, 0, 0, 0, 0, 1))
        ahead = nn.functional.pad(ahead[:, :, :-1], (0, 0, 0, 0, 1, 0))
        return torch.cat([back, ahead, rest], 1)


class NonLocal(nn.Module):
    """Embedded-Gaussian non-local block: every position attends to all positions of all frames.

    Keys and values are max-pooled 2 x 2 in space. The last batch norm starts at zero, so that a new
    block is the identity.
    """

    def __init__(self, channels):
        super().__init__()
        inner = max(1, channels // 2)
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.g = nn.Conv3d(channels, inner, 1)
        self.pool = MaxPool3d((1, 2, 2), ceil_mode=True)
        self.out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)

    def start(self):
        """Begin as the identity."""
        nn.init.zeros_(self.bn.weight)

    def forward(self, x):
        """[B, C, T, H, W] -> the same shape."""
        query = self.theta(x).flatten(2).transpose(1, 2)
        key = self.pool(self.phi(x)).flatten(2)
        value = self.pool(self.g(x)).flatten(2).transpose(1, 2)
        attention = torch.softmax(query @ key, dim=-1)
        mixed = (attention @ value).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.bn(self.out(mixed))
