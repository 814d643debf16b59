"""I3D as first published (Carreira & Zisserman 2017), with the reduced strides of the ACCV 2020 paper."""

import torch
from torch import nn

from ..errors import InputError, whole
from . import base
from .base import MaxPool3d, VideoModel, check_options
from .inception import UNITS, ConvUnit, InceptionUnit
from .modules import I3D

PATTERN = r"I3D-original-f(?P<frames>[1-9]\d*)"
EXAMPLE = "I3D-original-f16"


def build(frames, num_classes, width, dropout, reduced_strides=False, spatial_stride=32, **options):
    """Build `I3D-original-f<frames>`.

    reduced_strides: the ACCV 2020 paper's variant, without temporal stride in the first convolution and the
    pool in front of unit 4a (called MaxPool3d_4a there), so that L/2 steps come out instead of L/8.
    spatial_stride: pixels from one cell of the last maps to the next, 32 as published or 16, without the last pool's
    stride over places: maps of small videos then have cells enough for Grad-CAM.
    """
    name = f"I3D-original-f{frames}"
    check_options(name, options, ["reduced_strides", "spatial_stride"])
    spatial_stride = whole(f"spatial_stride of {name}", spatial_stride)
    if spatial_stride not in (16, 32):
        raise InputError(f"spatial_stride={spatial_stride!r} for {name}: it should be 16 or 32")
    if not isinstance(reduced_strides, bool):
        raise InputError(f"reduced_strides={reduced_strides!r} for {name}: it should be True or False")
    model = OriginalI3D(int(frames), num_classes, width, dropout, reduced_strides, spatial_stride)
    model.config = dict(
        name=name, num_classes=num_classes, width=width, dropout=dropout,
        reduced_strides=reduced_strides, spatial_stride=spatial_stride,
    )  # fmt: skip
    return model


class OriginalI3D(VideoModel):
    """InceptionV1 with 3D convolutions, a 7 x 7 x 7 stem of stride 2 and TensorFlow's SAME padding.

    Without `reduced_strides`, neighbouring pairs of the L/8 last steps are averaged before the classifier,
    which leaves L/8 - 1 logits (2 x 7 x 7 average pooling of stride 1).
    """

    def __init__(self, num_frames, num_classes, width=64, dropout=0.0, reduced_strides=False, spatial_stride=32):
        super().__init__(num_frames)

        def scaled(channels):
            return max(1, channels * width // 64)

        module, time = I3D(), 1 if reduced_strides else 2
        self.pair = not reduced_strides
        self.pad1 = SamePad(7, (time, 2, 2))
        self.conv1 = ConvUnit(nn.Conv3d(3, scaled(64), 7, stride=(time, 2, 2), bias=False))
        self.maxpool1 = same_pool((1, 3, 3), (1, 2, 2))
        self.conv2 = ConvUnit(module.conv(scaled(64), scaled(64), 1))
        self.conv3 = ConvUnit(module.conv(scaled(64), scaled(192), 3))
        self.maxpool2 = same_pool((1, 3, 3), (1, 2, 2))
        self.maxpool3 = same_pool((3, 3, 3), (time, 2, 2))
        last = spatial_stride // 16
        self.maxpool4 = same_pool((2, 2, 2), (2, last, last))
        channels = scaled(192)
        for unit, sizes in UNITS.items():
            self.add_module(f"inception{unit}", InceptionUnit(module, channels, *map(scaled, sizes)))
            channels = getattr(self, f"inception{unit}").channels
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm3d):
                layer.momentum = 0.01
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> feature maps [B, C, T', H/32, W/32], or H/16, W/16 by `spatial_stride`."""
        x = self.conv3(self.conv2(self.maxpool1(self.conv1(self.pad1(clip)))))
        x = self.maxpool2(x)
        for unit in UNITS:
            if unit == "4a":
                x = self.maxpool3(x)
            if unit == "5a":
                x = self.maxpool4(x)
            x = getattr(self, f"inception{unit}")(x)
        return base.average_pairs(x) if self.pair else x


def same_pool(kernel, stride):
    """Return a max pool with SAME padding; padding with zeros is safe behind a ReLU."""
    return nn.Sequential(SamePad(kernel, stride), MaxPool3d(kernel, stride))


class SamePad(nn.Module):
    """TensorFlow's SAME padding: as many outputs as inputs / stride, the odd zero at the end."""

    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel = (kernel,) * 3 if isinstance(kernel, int) else kernel
        self.stride = stride

    def forward(self, x):
        """[B, C, T, H, W] -> padded in the last three dimensions."""
        return same_pad(x, self.kernel, self.stride)


@torch.fx.wrap
def same_pad(x, kernel, stride):
    """Pad [B, C, T, H, W] for SAME output sizes."""
    pads = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(k - s if size % s == 0 else k - size % s, 0)
        pads = [total // 2, total - total // 2] + pads  # F.pad wants the last dimension first
    return nn.functional.pad(x, pads) if any(pads) else x
