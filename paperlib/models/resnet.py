"""ResNet backbones (18, 34, 50, 101, 152) for any spatio-temporal module."""

from torch import nn

from .base import MaxPool3d, VideoModel
from .modules import spatial_conv

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class ResNet(VideoModel):
    """A ResNet whose blocks get their temporal part from `module` (CVPR 2021, Figure 3).

    module: an object of modules.py. placed: which of the blocks have its `at_input` layer (one flag each).
    temporal_pooling halves the time steps three times: by strides in 3D networks, by max pools behind the
    first three stages in 2D ones. width: channels of the first convolution, 64 in the papers.
    """

    def __init__(
        self, module, depth, num_frames, num_classes, width=64, temporal_pooling=False, placed=None, dropout=0.0
    ):
        super().__init__(num_frames)
        counts = DEPTHS[depth]
        placed = iter(placed or [True] * sum(counts))
        time_stride = 2 if temporal_pooling and module.joint_pooling else 1
        self.conv1 = spatial_conv(3, width, module.stem["ResNet"], 7, stride=2)
        self.bn1 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU()
        self.maxpool = MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.pools = nn.ModuleDict()
        channels = width
        for stage, count in enumerate(counts, 1):
            blocks = []
            for index in range(count):
                first = index == 0 and stage > 1
                blocks.append(
                    Block(
                        module,
                        channels,
                        width * 2 ** (stage - 1),
                        bottleneck=depth >= 50,
                        stride=2 if first else 1,
                        time_stride=time_stride if first else 1,
                        temporal=next(placed),
                        stage=stage,
                        index=index,
                    )
                )
                channels = blocks[-1].channels
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            if temporal_pooling and not module.joint_pooling and stage < 4:
                self.pools[f"pool{stage}"] = MaxPool3d((3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> feature maps [B, C, T', H/32, W/32]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(clip))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            if f"pool{stage}" in self.pools:
                x = self.pools[f"pool{stage}"](x)
        return x


class Block(nn.Module):
    """A basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1) residual block with its temporal parts.

    The stride sits on the first 3x3 convolution. Only the residual branch sees `at_input`.
    """

    def __init__(self, module, in_channels, planes, bottleneck, stride, time_stride, temporal, stage, index):
        super().__init__()
        self.channels = planes * 4 if bottleneck else planes
        sizes = (1, 3, 1) if bottleneck else (3, 3)
        self.temporal = module.at_input(in_channels) if temporal else None
        self.steps = []
        channels, strides = in_channels, (stride, time_stride)
        for number, size in enumerate(sizes, 1):
            out = self.channels if number == len(sizes) else planes
            here, strides = (strides, (1, 1)) if size == 3 else ((1, 1), strides)
            self._add(f"{number}", module.conv(channels, out, size, *here))
            after = module.after_conv(out, here[1]) if size == 3 else None
            if after is not None:
                self._add(f"{number}_t", after)
            channels = out
        self.downsample = None
        if stride != 1 or in_channels != self.channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, self.channels, 1, stride=(time_stride, stride, stride), bias=False),
                nn.BatchNorm3d(self.channels),
            )
        self.after = module.at_output(self.channels, stage, index)

    def _add(self, suffix, conv):
        """Append convolution, batch norm and ReLU under torchvision's names (conv1, bn1, ...)."""
        self.add_module(f"conv{suffix}", conv)
        self.add_module(f"bn{suffix}", nn.BatchNorm3d(conv.out_channels))
        self.add_module(f"relu{suffix}", nn.ReLU())
        self.steps.append(suffix)

    def start_as_identity(self):
        """Begin with a residual branch that gives zero: the block passes its (positive) input on."""
        nn.init.zeros_(getattr(self, f"bn{self.steps[-1]}").weight)

    def forward(self, x):
        """[B, C, T, H, W] -> [B, C', T', H', W']."""
        y = x if self.temporal is None else self.temporal(x)
        for suffix in self.steps:
            y = getattr(self, f"bn{suffix}")(getattr(self, f"conv{suffix}")(y))
            if suffix != self.steps[-1]:
                y = getattr(self, f"relu{suffix}")(y)
        y = y + (x if self.downsample is None else self.downsample(x))
        y = getattr(self, f"relu{self.steps[-1]}")(y)
        return y if self.after is None else self.after(y)
