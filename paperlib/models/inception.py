"""InceptionV1 backbone (GoogLeNet with batch norm) for any spatio-temporal module."""

import torch
from torch import nn

from .base import MaxPool3d, VideoModel
from .modules import spatial_conv

# unit: channels of 1x1; 1x1, 3x3; 1x1, "5x5" (a 3x3 in practice); pooling projection
UNITS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
PLACES = ("1", "2", "3", *UNITS)  # where a module's `at_input` layer goes: behind each of these
EPS = 1e-3


class InceptionV1(VideoModel):
    """InceptionV1 whose units get their temporal part from `module` (CVPR 2021, Figure 3).

    `module`, `placed`, `temporal_pooling` and `width` are those of ResNet; every channel count is scaled by
    width / 64. last_pool: kernel of the last max pool in 3D networks, 3 (padded) or 2 (unpadded; without
    temporal pooling it takes one time step away, so that T' = T - 1).
    """

    def __init__(
        self, module, num_frames, num_classes, width=64, temporal_pooling=False, placed=None, dropout=0.0, last_pool=3
    ):
        super().__init__(num_frames)

        def scaled(channels):
            return max(1, channels * width // 64)

        placed = dict(zip(PLACES, placed or [True] * len(PLACES), strict=True))
        self.conv1 = ConvUnit(spatial_conv(3, scaled(64), module.stem["InceptionV1"], 7, stride=2))
        self.conv2 = ConvUnit(module.conv(scaled(64), scaled(64), 1))
        self.conv3 = ConvUnit(module.conv(scaled(64), scaled(192), 3), module)
        channels = scaled(192)
        outputs = {"1": scaled(64), "2": scaled(64), "3": channels}
        counted = {}
        self.nonlocals = nn.ModuleDict()
        for name, sizes in UNITS.items():
            unit = InceptionUnit(module, channels, *map(scaled, sizes))
            self.add_module(f"inception{name}", unit)
            channels = outputs[name] = unit.channels
            index = counted[name[0]] = counted.get(name[0], -1) + 1
            after = module.at_output(channels, int(name[0]) - 1, index)
            if after is not None:
                self.nonlocals[name] = after
        for place in PLACES:
            layer = module.at_input(outputs[place]) if placed[place] else None
            if layer is not None:
                self.add_module(f"temporal{place}", layer)
        for number, pool in enumerate(pools(module, temporal_pooling, last_pool), 1):
            self.add_module(f"maxpool{number}", pool)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> feature maps [B, C, T', H/32, W/32]."""
        x = self._mix("1", self.conv1(clip))
        x = self._mix("2", self.conv2(self.maxpool1(x)))
        x = self.maxpool2(self._mix("3", self.conv3(x)))
        for name in UNITS:
            if name == "4a":
                x = self.maxpool3(x)
            if name == "5a":
                x = self.maxpool4(x)
            x = self._mix(name, getattr(self, f"inception{name}")(x))
        return x

    def _mix(self, place, x):
        """Apply the temporal layers that sit behind `place`."""
        if hasattr(self, f"temporal{place}"):
            x = getattr(self, f"temporal{place}")(x)
        return self.nonlocals[place](x) if place in self.nonlocals else x


def pools(module, temporal_pooling, last_pool):
    """Return the four max pools: joint ones for 3D networks, spatial then temporal ones for 2D networks."""
    if module.joint_pooling:
        stride = (2 if temporal_pooling else 1, 2, 2)
        return [
            MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            MaxPool3d(3, stride, 1),
            MaxPool3d(3, stride, 1),
            MaxPool3d(last_pool, stride, last_pool // 3),
        ]
    spatial = [MaxPool3d((1, size, size), (1, 2, 2), ceil_mode=True) for size in (3, 3, 3, 2)]
    if not temporal_pooling:
        return spatial
    return spatial[:1] + [nn.Sequential(pool, MaxPool3d((3, 1, 1), (2, 1, 1), (1, 0, 0))) for pool in spatial[1:]]


class ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU; then the module's temporal convolution with its own, if it has one."""

    def __init__(self, conv, module=None):
        super().__init__()
        self.conv, self.bn, self.relu = conv, nn.BatchNorm3d(conv.out_channels, eps=EPS), nn.ReLU()
        self.conv_t = None if module is None else module.after_conv(conv.out_channels, bias=True)
        if self.conv_t is not None:
            self.bn_t, self.relu_t = nn.BatchNorm3d(conv.out_channels, eps=EPS), nn.ReLU()

    def forward(self, x):
        """[B, C, T, H, W] -> [B, C', T, H', W']."""
        x = self.relu(self.bn(self.conv(x)))
        return x if self.conv_t is None else self.relu_t(self.bn_t(self.conv_t(x)))


class InceptionUnit(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3; 1x1 and 3x3; max pool and 1x1."""

    def __init__(self, module, channels, one, reduce3, three, reduce5, five, projection):
        super().__init__()
        time = 3 if module.joint_pooling else 1

        def unit(inputs, outputs, size):
            return ConvUnit(module.conv(inputs, outputs, size), module if size > 1 else None)

        self.branch1 = unit(channels, one, 1)
        self.branch2 = nn.Sequential(unit(channels, reduce3, 1), unit(reduce3, three, 3))
        self.branch3 = nn.Sequential(unit(channels, reduce5, 1), unit(reduce5, five, 3))
        self.branch4 = nn.Sequential(MaxPool3d((time, 3, 3), 1, (time // 2, 1, 1)), unit(channels, projection, 1))
        self.channels = one + three + five + projection

    def forward(self, x):
        """[B, C, T, H, W] -> [B, C', T, H, W]."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)
