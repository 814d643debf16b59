"""Small networks whose behaviour is known by construction."""

import torch
from torch import nn
from torch.nn import functional as F


class KnownWindow(nn.Module):
    """Class 0's softmax score tells how many frames inside known windows move, class 1's is the rest.

    `windows` is a bool tensor [T], or [B, T] with one row per clip (then only for whole batches). A frame
    moves as far as it differs from the one before. how="sum": the score is the share of the windows' frames
    that move; "any": it stays up while any of them moves; "all": one still frame ends it.
    """

    def __init__(self, windows, how="sum", sharpness=8.0):
        super().__init__()
        self.windows, self.how, self.sharpness = windows, how, sharpness

    def forward(self, clips):
        motion = (clips[:, :, 1:] - clips[:, :, :-1]).abs().mean((1, 3, 4))
        motion = torch.cat([torch.zeros_like(motion[:, :1]), motion], 1)
        weight = self.windows.to(motion).expand_as(motion)
        still = torch.exp(-self.sharpness * motion)
        if self.how == "sum":
            score = (weight * (1 - still)).sum(1) / weight.sum(1)
        elif self.how == "any":
            score = 1 - torch.where(weight > 0, still, 1).prod(1)
        else:
            score = torch.where(weight > 0, 1 - still, 1).prod(1)
        score = score.clamp(1e-4, 1 - 1e-4)
        return torch.stack([score.log(), (1 - score).log()], 1)


class SmallVideoNet(nn.Module):
    """Two 3D convolutions, pooled in space, a linear head per time step: forward is frame_logits' mean."""

    def __init__(self, classes=3, width=4, stride=1, channels=3):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, width, 3, padding=1, stride=(1, 2, 2))
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, stride=(stride, 1, 1))
        self.head = nn.Linear(width, classes)

    def features(self, clips):
        return F.relu(self.conv2(F.relu(self.conv1(clips))))

    def frame_logits(self, clips):
        return self.head(self.features(clips).mean((3, 4)).transpose(1, 2))

    def forward(self, clips):
        return self.frame_logits(clips).mean(1)


class FrameNet(nn.Module):
    """A 2D network over N x T frames: time is folded into the batch."""

    def __init__(self, classes=3, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, stride=2)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def frame_logits(self, clips):
        batch, _, frames = clips.shape[:3]
        images = clips.transpose(1, 2).flatten(0, 1)
        maps = F.relu(self.conv2(F.relu(self.conv1(images))))
        return self.head(maps.mean((2, 3))).unflatten(0, (batch, frames))

    def forward(self, clips):
        return self.frame_logits(clips).mean(1)
