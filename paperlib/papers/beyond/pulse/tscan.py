"""TS-CAN: a 2D CNN on differences of frames, with temporal shifts and spatial attention (Liu et al. 2020)."""

import torch
from torch import nn

from .reader import PulseReader, standardised

CHUNK = 20  # frames among which channels are shifted


class TSCAN(PulseReader):
    """Differences of frames go through four shifted convolutions, weighted by masks made from the mean frame.

    A value per frame is the change of the pulse from this frame to the next.
    """

    SIZE, FILE = 36, "TSCAN"

    def __init__(self):
        super().__init__()
        self.standardise = nn.InstanceNorm2d(3, eps=1e-12)  # over a difference's pixels
        self.motion = nn.ModuleList([_pair(3, 32, shifted=True), _pair(32, 64, shifted=True)])
        self.looks = nn.ModuleList([_pair(3, 32), _pair(32, 64)])
        self.attention = nn.ModuleList([nn.Conv2d(32, 1, 1), nn.Conv2d(64, 1, 1)])
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Sequential(nn.Linear(64 * 7 * 7, 128), nn.Tanh(), nn.Linear(128, 1))

    def values(self, pixels):
        """Pixels [B, 3, T, 36, 36] -> [B, T]; T is a multiple of 20."""
        frames = pixels.transpose(1, 2)
        batch, count = frames.shape[:2]
        changes = frames[:, 1:] - frames[:, :-1]
        changes = torch.cat([changes, changes[:, -1:]], 1)
        x, look = self.standardise(changes.flatten(0, 1)), frames.mean(1)
        for motion, looks, attention in zip(self.motion, self.looks, self.attention, strict=True):
            x, look = motion(x), looks(look)
            mask = attention(look).sigmoid()
            mask = 0.5 * mask / mask.mean((2, 3), keepdim=True)
            x = (x.unflatten(0, (batch, count)) * mask[:, None]).flatten(0, 1)
            x, look = self.pool(x), self.pool(look)
        x = x.permute(0, 2, 3, 1).flatten(1)  # the package's order of features
        return self.head(x).unflatten(0, (batch, count))[..., 0]

    def pulse_of(self, values):
        """Return the blood volume pulse [B, T], the sum of its changes, of mean 0 and deviation 1 over time."""
        return standardised(values.cumsum(1))

    def places(self):
        """Return {layer: its place in the file}."""
        found = {"head.0": "inner/d/layers/dense", "head.2": "inner/d/layers/dense_1"}
        for stage in range(2):
            for branch, there, layers in (("motion", "d", (1, 4)), ("looks", "g", (0, 2))):
                for layer, keras in zip(layers, ("conv2d", "conv2d_1"), strict=True):
                    found[f"{branch}.{stage}.{layer}"] = f"inner/{there}{stage + 1}/layers/{keras}"
            found[f"attention.{stage}"] = f"inner/attn{stage + 1}/layers/conv2d"
        return found


class Shift(nn.Module):
    """Frames [B * T, C, H, W] -> the same; a third of the channels from the next frame, a third from the last.

    Within chunks of 20 frames, whose first and last keep their own.
    """

    def forward(self, x):
        fold = x.shape[1] // 3
        chunks = x.unflatten(0, (-1, CHUNK))
        later = torch.cat([chunks[:, 1:, :fold], chunks[:, -1:, :fold]], 1)
        earlier = torch.cat([chunks[:, :1, fold : 2 * fold], chunks[:, :-1, fold : 2 * fold]], 1)
        return torch.cat([later, earlier, chunks[:, :, 2 * fold :]], 2).flatten(0, 1)


def _pair(inside, outside, shifted=False):
    """Return two convolutions with tanh, the first of which keeps the size."""
    first, second = nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 3)
    parts = (
        [Shift(), first, nn.Tanh(), Shift(), second, nn.Tanh()] if shifted else [first, nn.Tanh(), second, nn.Tanh()]
    )
    return nn.Sequential(*parts)
