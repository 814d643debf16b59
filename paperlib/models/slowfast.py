"""SlowFast networks (Feichtenhofer et al. 2019) with the logits of both pathways per frame."""

import torch
from torch import nn

from ..data.clips import MEAN, STD
from ..errors import InputError, whole
from . import base
from .base import MaxPool3d, TimeConv, VideoModel, check_options
from .known import statistics
from .resnet import DEPTHS

PATTERN = r"SlowFast-R(?P<depth>50|101|152)-(?P<slow>[1-9]\d*)x(?P<stride>[1-9]\d*)"
EXAMPLE = "SlowFast-R50-8x8"


def build(depth, slow, stride, num_classes, width, dropout, alpha=4, mean=None, std=None, **options):
    """Build `SlowFast-R<depth>-<slow frames>x<their stride in the video>`; clips have slow x alpha frames.

    mean, std: three values each where the weights want pixels normalised by others than ImageNet's, as the
    public checkpoints do; clips are then turned from the one into the other first.
    """
    name = f"SlowFast-R{depth}-{slow}x{stride}"
    check_options(name, options, ["alpha", "mean", "std"])
    alpha = whole(f"alpha of {name}", alpha)
    mean, std = statistics(mean, std)
    if width < 8 or width % 8:
        raise InputError(
            f"width={width} for {name}: it should be a multiple of 8, since the fast pathway has an eighth"
        )
    model = SlowFast(int(depth), int(slow), alpha, num_classes, width, dropout)
    model.config = dict(name=name, num_classes=num_classes, width=width, dropout=dropout, alpha=alpha)
    if mean is not None:
        model.renormalise(mean, std)
        model.config |= dict(mean=list(mean), std=list(std))
    return model


class SlowFast(VideoModel):
    """Two ResNets: a slow one on every alpha-th frame and a fast one, 1/8 as wide, on all frames.

    After the stem and the first three stages the fast pathway feeds the slow one through a convolution in
    time. Clips [B, 3, slow x alpha, H, W]; the slow pathway sees frames linspace(0, T-1, T/alpha), truncated.
    """

    def __init__(self, depth, slow_frames, alpha, num_classes, width=64, dropout=0.0):
        super().__init__(slow_frames * alpha)
        self.alpha, thin = alpha, width // 8
        self.renormalised = False
        index = torch.linspace(0, self.num_frames - 1, slow_frames, device="cpu").long()
        self.slow_frames = index.tolist()
        counts = DEPTHS[depth]
        self.slow = nn.ModuleList([Stem(width, 1)])
        self.fast = nn.ModuleList([Stem(thin, 5)])
        self.fuse = nn.ModuleList([Fusion(thin, alpha)])
        slow_in, fast_in = width + 2 * thin, thin
        for stage, count in enumerate(counts):
            planes, stride = 2**stage, 1 if stage == 0 else 2
            time = 1 if stage < 2 else 3  # the slow pathway sees time in its last two stages only
            self.slow.append(stack(slow_in, width * planes, count, stride, time))
            self.fast.append(stack(fast_in, thin * planes, count, stride, 3))
            fast_in = 4 * thin * planes
            slow_in = 4 * width * planes + 2 * fast_in
            if stage < 3:
                self.fuse.append(Fusion(fast_in, alpha))
        self.slow_channels = 4 * width * 8
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.slow_channels + fast_in, num_classes)

    def renormalise(self, mean, std):
        """Take ImageNet-normalised clips and give the network ones normalised by `mean` and `std`."""
        ours, spread, theirs, other = (torch.tensor(v).float().view(3, 1, 1, 1) for v in (MEAN, STD, mean, std))
        self.register_buffer("scale", spread / other, persistent=False)
        self.register_buffer("shift", (ours - theirs) / other, persistent=False)
        self.renormalised = True

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> maps of both pathways [B, C, T/alpha, H', W'] and [B, C', T, H', W']."""
        if self.renormalised:
            clip = clip * self.scale + self.shift
        slow, fast = clip[:, :, self.slow_frames], clip
        for stage in range(5):
            slow, fast = self.slow[stage](slow), self.fast[stage](fast)
            if stage < 4:
                slow = torch.cat([slow, self.fuse[stage](fast)], 1)
        return slow, fast

    def pathway_logits(self, clip):
        """Clip -> logits of the slow steps [B, T/alpha, K] and of the fast steps [B, T, K].

        The sum of their means over time is `forward`; each carries half of the classifier's bias.
        """
        base.check_clip(clip, self.num_frames)
        slow, fast = self.features(clip)
        slow, fast = (self.dropout(pool(maps).transpose(1, 2)) for maps in (slow, fast))
        return (
            nn.functional.linear(slow, self.fc.weight[:, : self.slow_channels], self.fc.bias / 2),
            nn.functional.linear(fast, self.fc.weight[:, self.slow_channels :], self.fc.bias / 2),
        )

    def frame_logits(self, clip):
        """Clip [B, 3, T, H, W] -> [B, T, K]: fast logits, with the slow ones added at the slow frames.

        As in the temporal relevance paper, appendix A, frames that the slow pathway does not see get zero
        from it. The slow logits are multiplied by alpha, so that the mean over time stays the clip's logits.
        """
        slow, fast = self.pathway_logits(clip)
        expanded = torch.zeros_like(fast)
        expanded[:, self.slow_frames] = slow * self.alpha
        return fast + expanded

    def forward(self, clip):
        """Clip [B, 3, T, H, W] -> clip logits [B, K]."""
        slow, fast = self.pathway_logits(clip)
        return slow.mean(1) + fast.mean(1)


@torch.fx.wrap
def pool(maps, window=7):
    """Average [B, C, T, H, W] over space as the published head does: 7 x 7 windows, then their mean."""
    if min(maps.shape[3:]) > window:
        maps = nn.functional.avg_pool3d(maps, (1, window, window), stride=1)
    return maps.mean((3, 4))


class Stem(nn.Module):
    """k x 7 x 7 convolution, batch norm, ReLU, max pool."""

    def __init__(self, channels, time):
        super().__init__()
        self.conv = nn.Conv3d(3, channels, (time, 7, 7), (1, 2, 2), (time // 2, 3, 3), bias=False)
        self.bn, self.relu = nn.BatchNorm3d(channels), nn.ReLU()
        self.pool = MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x):
        """[B, 3, T, H, W] -> [B, C, T, H/4, W/4]."""
        return self.pool(self.relu(self.bn(self.conv(x))))


class Fusion(nn.Module):
    """Lateral connection: 7 x 1 x 1 convolution of stride alpha in time, to twice the channels."""

    def __init__(self, channels, alpha):
        super().__init__()
        self.conv = TimeConv(channels, 2 * channels, 7, alpha)
        self.bn, self.relu = nn.BatchNorm3d(2 * channels), nn.ReLU()

    def forward(self, fast):
        """[B, C, T, H, W] -> [B, 2C, T/alpha, H, W]."""
        return self.relu(self.bn(self.conv(fast)))


def stack(in_channels, planes, count, stride, time):
    """Return a stage of `count` bottlenecks; the first has the spatial stride."""
    first = Bottleneck(in_channels, planes, stride, time)
    return nn.Sequential(first, *[Bottleneck(4 * planes, planes, 1, time) for _ in range(count - 1)])


class Bottleneck(nn.Module):
    """time x 1 x 1, 1 x 3 x 3 and 1 x 1 x 1 convolutions beside a shortcut."""

    def __init__(self, in_channels, planes, stride, time):
        super().__init__()
        self.conv1 = TimeConv(in_channels, planes, time)
        self.conv2 = nn.Conv3d(planes, planes, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.conv3 = nn.Conv3d(planes, 4 * planes, 1, bias=False)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm3d(c) for c in (planes, planes, 4 * planes))
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.downsample = None
        if stride != 1 or in_channels != 4 * planes:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, 4 * planes, 1, (1, stride, stride), bias=False), nn.BatchNorm3d(4 * planes)
            )

    def forward(self, x):
        """[B, C, T, H, W] -> [B, 4 planes, T, H', W']."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu3(y + (x if self.downsample is None else self.downsample(x)))
