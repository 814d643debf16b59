"""Small video transformers in the framework's style: joint space-time attention and divided attention.

Frames (or pairs of them) are cut into patches, every patch is a token, and tokens attend to each other from the
first layer on: to all of the clip, or in turn to those of their place and of their time (Bertasius et al. 2021, "Is
space-time attention all you need for video understanding?"). Tokens keep their time, so that the head is the CNNs': a
linear layer at every time step, averaged.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError, whole
from . import base
from .base import VideoModel, check_options

PATTERN = r"ViT-(?P<kind>joint|divided)-f(?P<frames>[1-9]\d*)"
EXAMPLE = "ViT-joint-f8"
HEAD = 32  # channels of a head, where these divide a layer's
POSITIONS = ("sine", "none")


def build(kind, frames, num_classes, width, dropout, tubelet=1, patch=16, depth=None, positions="sine", **options):
    """Build `ViT-joint-f<frames>` or `ViT-divided-f<frames>`: 12 x width channels, 768 as ViT-B at width 64.

    tubelet: frames per token; patch: its side in pixels; depth: blocks, 4 (joint) or 3 (divided, whose blocks are a
    third larger) by default; positions: "sine", fixed sines and cosines of time and place, or "none".
    """
    kind, frames = kind.lower(), int(frames)
    name = f"ViT-{kind}-f{frames}"
    check_options(name, options, ["tubelet", "patch", "depth", "positions"])
    if positions not in POSITIONS:
        raise InputError(f"positions={positions!r} for {name}: it should be one of {', '.join(POSITIONS)}")
    depth = {"joint": 4, "divided": 3}[kind] if depth is None else depth
    counts = {"tubelet": tubelet, "patch": patch, "depth": depth}
    tubelet, patch, depth = (whole(f"{what} of {name}", value) for what, value in counts.items())
    if tubelet > 2 or frames % tubelet:
        raise InputError(f"tubelet={tubelet!r} for {name}: it should be 1, or 2 for an even number of frames")
    model = ViT(kind, frames, num_classes, 12 * width, depth, (tubelet, patch, patch), dropout, positions)
    model.config = dict(
        name=name, num_classes=num_classes, width=width, dropout=dropout,
        tubelet=tubelet, patch=patch, depth=depth, positions=positions,
    )  # fmt: skip
    return model


class ViT(VideoModel):
    """Patches, positions, blocks, a norm; then the framework's head. Frames, size and weights are independent."""

    attends = True  # what it computes are matrix products, and it reaches every frame

    def __init__(self, kind, num_frames, num_classes, channels, depth, patch, dropout=0.0, positions="sine"):
        super().__init__(num_frames)
        self.positions = positions
        self.embed = nn.Conv3d(3, channels, patch, stride=patch)
        self.blocks = nn.ModuleList((Joint if kind == "joint" else Divided)(channels) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> tokens as maps [B, C, T', H', W']."""
        x = self.embed(clip).permute(0, 2, 3, 4, 1)  # channels last
        time, height, width, channels = x.shape[1:]
        if self.positions == "sine":
            x = x + sines(time, height, width, channels).to(x)
        x = x.flatten(2, 3)  # [B, T', places, C]
        for block in self.blocks:
            x = block(x)
        return self.norm(x).unflatten(2, (height, width)).permute(0, 4, 1, 2, 3)

    def frame_logits(self, clip):
        """Clip [B, 3, T, H, W] -> logits of every time step [B, T', K], T' = T / frames per token."""
        base.check_clip(clip, self.num_frames)
        patch = self.embed.kernel_size[1]
        if min(clip.shape[3:]) < patch:
            raise InputError(f"a clip of {clip.shape[3]} x {clip.shape[4]} pixels is smaller than a patch, {patch}")
        return super().frame_logits(clip)

    def start(self):
        """Start as transformers do: normal weights of deviation 0.02, cut off at 2, and no biases."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv3d)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)


def sines(time, height, width, channels):
    """Return positions [time, height, width, channels]: a third of the channels for each axis, sines and cosines.

    As in Vaswani et al. 2017, wavelengths from 2 pi to 20000 pi steps.
    """
    per_axis = channels // 6
    rates = 10000.0 ** (-torch.arange(per_axis) / per_axis)
    found = torch.zeros(time, height, width, channels)
    for axis, size in enumerate((time, height, width)):
        angles = torch.arange(size)[:, None] * rates
        shape = [1, 1, 1, 2 * per_axis]
        shape[axis] = size
        here = slice(2 * axis * per_axis, 2 * (axis + 1) * per_axis)
        found[..., here] = torch.cat([angles.sin(), angles.cos()], 1).view(shape)
    return found


def heads(channels):
    """Return among how many heads of attention channels are shared: as many of HEAD each as divide them evenly."""
    return next(count for count in range(max(1, channels // HEAD), 0, -1) if channels % count == 0)


class Attention(nn.Module):
    """A norm, then self-attention of the tokens [..., N, C] among each other."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.heads = heads(channels)

    def forward(self, x):
        """[..., N, C] -> [..., N, C]."""
        batch = x.shape[:-2]
        qkv = self.qkv(self.norm(x)).flatten(0, -3).unflatten(-1, (3, self.heads, -1))  # [b, N, 3, heads, C']
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).unflatten(0, batch)


class FeedForward(nn.Sequential):
    """A norm, then a hidden layer of four times as many channels."""

    def __init__(self, channels):
        wide, narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        super().__init__(nn.LayerNorm(channels), wide, nn.GELU(), narrow)


class Joint(nn.Module):
    """Every token attends to every other."""

    def __init__(self, channels):
        super().__init__()
        self.attend, self.feed = Attention(channels), FeedForward(channels)

    def forward(self, x):
        """[B, T', places, C] -> the same."""
        x = x + self.attend(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
        return x + self.feed(x)


class Divided(nn.Module):
    """Every token attends to those of its place over time, then to those of its time."""

    def __init__(self, channels):
        super().__init__()
        self.time, self.space, self.feed = Attention(channels), Attention(channels), FeedForward(channels)

    def forward(self, x):
        """[B, T', places, C] -> the same."""
        x = x + self.time(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.space(x)
        return x + self.feed(x)
