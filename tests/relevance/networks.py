"""Small networks for the relevance tests, and torchvision's with one logit vector per time step."""

import torch
from torch import nn
from torch.nn import functional as F


class Frames(nn.Module):
    """frame_logits from a trunk [B, C, T', H, W] by spatial averaging and a linear layer per time step."""

    def __init__(self, trunk, channels, classes=4):
        super().__init__()
        self.trunk = trunk
        self.fc = nn.Linear(channels, classes)

    def frame_logits(self, clip):
        return self.fc(self.trunk(clip).mean((3, 4)).transpose(1, 2))

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


class Torchvision(Frames):
    """A torchvision video ResNet: its head, applied to every time step."""

    def __init__(self, model):
        trunk = nn.Sequential(model.stem, model.layer1, model.layer2, model.layer3, model.layer4)
        super().__init__(trunk, model.fc.in_features, model.fc.out_features)
        self.fc = model.fc


class TorchvisionS3D(nn.Module):
    """torchvision's S3D: features, an average pool without temporal extent, its 1x1x1 classifier."""

    def __init__(self, model):
        super().__init__()
        self.features, self.classifier = model.features, model.classifier

    def frame_logits(self, clip):
        x = self.features(clip)
        x = F.avg_pool3d(x, (1, *x.shape[-2:]), stride=1)
        return self.classifier(x).mean((3, 4)).transpose(1, 2)


def plain(channels=4, bias=True):
    """Convolution, ReLU, max pool, convolution, ReLU; nothing in it that any LRP library could not do."""
    return Frames(
        nn.Sequential(
            nn.Conv3d(3, channels, (3, 3, 3), stride=(1, 2, 2), padding=1, bias=bias),
            nn.ReLU(),
            nn.MaxPool3d((1, 2, 2)),
            nn.Conv3d(channels, 2 * channels, 3, padding=1, bias=bias),
            nn.ReLU(),
        ),
        2 * channels,
    )


def settle(model, seed=0):
    """Give batch norms statistics and scales, as training would, and return the model in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            size = module.running_mean.shape
            module.running_mean.copy_(0.1 * torch.randn(size, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
            if module.affine:
                module.weight.data.copy_(0.5 + torch.rand(size, generator=generator))
                module.bias.data.copy_(0.1 * torch.randn(size, generator=generator))
    return model.eval()


def clip(frames=4, size=12, batch=1, seed=0, dtype=torch.float32):
    """A clip of random pixels in [0, 1], normalised."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(batch, 3, frames, size, size, generator=generator, dtype=torch.float64)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1, 1)
    return ((pixels - mean) / std).to(dtype)


class Residual(nn.Module):
    """`out += identity`, in-place ReLU, one ReLU module used twice, batch norm."""

    def __init__(self, channels, groups=1, dilation=1):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.conv2(out)
        out += identity
        return self.relu(out)


class Twice(nn.Module):
    """One convolution used twice, functional ReLU, concatenation, 1x1 convolution."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.mix = nn.Conv3d(2 * channels, channels, 1)

    def forward(self, x):
        once = F.relu(self.conv(x))
        again = F.relu_(self.conv(once))
        return F.relu(self.mix(torch.cat([once, again], 1)))


class PreActivated(nn.Module):
    """A residual block with its batch norm in front, so that no ReLU stands behind its sum."""

    def __init__(self, channels):
        super().__init__()
        self.bn = nn.BatchNorm3d(channels)
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv(F.relu(self.bn(x)))


class SqueezeExcitation(nn.Module):
    """A channel gate from global averages."""

    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv3d(channels, 2, 1), nn.Conv3d(2, channels, 1)

    def forward(self, x):
        gate = F.adaptive_avg_pool3d(x, 1)
        return x * self.up(F.relu(self.down(gate))).sigmoid()


class ShiftInPlace(nn.Module):
    """TSM as its authors write it: slices assigned into a buffer."""

    def forward(self, x):
        out = torch.zeros_like(x)
        out[:, :1, :-1] = x[:, :1, 1:]
        out[:, 1:2, 1:] = x[:, 1:2, :-1]
        out[:, 2:] = x[:, 2:]
        return out


class Folded(nn.Module):
    """TAM as released: frames folded into the batch, three depthwise 1x1 convolutions, stack and sum."""

    def __init__(self, channels, frames):
        super().__init__()
        self.frames = frames
        self.taps = nn.ModuleList([nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3)])

    def forward(self, x):
        b, c, t, h, w = x.shape
        flat = x.transpose(1, 2).reshape(b * t, c, h, w)
        before, now, after = (tap(flat).view(b, t, c, h, w) for tap in self.taps)
        zero = torch.zeros_like(now[:, :1])
        before = torch.cat([zero, before[:, :-1]], 1)
        after = torch.cat([after[:, 1:], zero], 1)
        out = torch.stack([before, now, after]).sum(0)
        return F.relu(out, inplace=True).transpose(1, 2)


class Pools(nn.Module):
    """Overlapping max pool with ceil_mode, an average pool and an adaptive one."""

    def forward(self, x):
        x = F.max_pool3d(x, (3, 3, 3), stride=(1, 2, 2), padding=1, ceil_mode=True)
        x = F.avg_pool3d(x, (1, 2, 2), stride=1, padding=(0, 1, 1))
        return F.adaptive_avg_pool3d(x, (x.shape[2], 2, 2))


class Recurrent(nn.Module):
    """An LSTM over the frames' mean features."""

    def __init__(self, classes=3):
        super().__init__()
        self.conv = nn.Conv3d(3, 6, (1, 3, 3), padding=(0, 1, 1))
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.fc = nn.Linear(5, classes)

    def frame_logits(self, clip):
        x = F.relu(self.conv(clip)).mean((3, 4)).transpose(1, 2)
        return self.fc(self.lstm(x)[0])
