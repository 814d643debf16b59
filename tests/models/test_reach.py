"""Receptive fields of one's own networks: what gradients reach, or one sentence naming what is not known."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import models
from paperlib.errors import InputError
from tests.models.test_adapt import Tiny
from tests.relevance.networks import clip

FRAMES = 24


class Own(nn.Module):
    """A convolution of three frames, then what `maps` does to [B, C, T, H, W] and `steps` to [B, C, T]."""

    def __init__(self, maps=None, steps=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.maps, self.steps = nn.Conv3d(3, 8, 3, padding=1), maps, steps
        self.fc = nn.Linear(8, 3)

    def frame_logits(self, x):
        x = self.conv(x)
        x = (x if self.maps is None else self.maps(x)).mean((3, 4))
        return self.fc((x if self.steps is None else self.steps(x)).transpose(1, 2))

    def forward(self, x):
        return self.frame_logits(x).mean(1)


class Does(nn.Module):
    """A layer that does what a function says; layer: one that the function is given first."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, x):
        return self.function(x) if self.layer is None else self.function(self.layer, x)


def reached(net):
    """Return how many frames from the first to the last that the middle step's gradient reaches."""
    x = clip(FRAMES, 6).requires_grad_()
    net.eval().frame_logits(x)[0, FRAMES // 2].sum().backward()
    found = x.grad[0].abs().sum((0, 2, 3)).nonzero()
    return int(found.max() - found.min()) + 1


BOUNDED = {
    "as it is": (lambda: Own(), 3),
    "dilated": (lambda: Own(nn.Conv3d(8, 8, (3, 1, 1), padding=(4, 0, 0), dilation=(4, 1, 1))), 11),
    "dilated pool": (lambda: Own(nn.MaxPool3d((3, 1, 1), 1, (1, 0, 0), (2, 1, 1))), 7),
    "along time alone": (lambda: Own(None, nn.Sequential(nn.Conv1d(8, 8, 5, padding=2), nn.ReLU())), 7),
    "spatial means": (lambda: Own(Does(lambda x: x - x.mean((3, 4), keepdim=True))), 3),
    "along time, which is last": (
        lambda: Own(
            Does(
                lambda layer, x: layer(x.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3),
                nn.Conv3d(8, 8, (1, 1, 5), padding=(0, 0, 2)),
            )
        ),
        7,
    ),
    "channels last": (
        lambda: Own(Does(lambda x: x.permute(0, 2, 3, 4, 1).mean((2, 3)).transpose(1, 2)[..., None, None])),
        3,
    ),
    "gated by every frame's own mean, in another order": (
        lambda: Own(
            Does(lambda x: (x.transpose(1, 2) * x.transpose(1, 2).mean((2, 3, 4), keepdim=True)).transpose(1, 2))
        ),
        3,
    ),
    "pooled in place, time elsewhere": (
        lambda: Own(
            Does(
                lambda pool, x: (x.transpose(2, 3) * pool(x.transpose(2, 3))).transpose(2, 3),
                nn.AdaptiveAvgPool3d((1, None, 1)),
            )
        ),
        3,
    ),
    "axes by keywords": (
        lambda: Own(
            None,
            Does(
                lambda layer, x: layer(
                    torch.transpose(x, dim0=1, dim1=2).permute(dims=(0, 2, 1)).unsqueeze(dim=-1).squeeze(dim=-1)
                ),
                nn.Conv1d(8, 8, 5, padding=2),
            ),
        ),
        7,
    ),
    "axes squeezed together": (
        lambda: Own(
            Does(
                lambda layer, x: layer(x.mean((3, 4), keepdim=True).squeeze((3, 4)))[..., None, None],
                nn.Conv1d(8, 8, 5, padding=2),
            )
        ),
        7,
    ),
    "one place of all": (
        lambda: Own(
            Does(lambda layer, x: layer(x[..., 0, 0]).unsqueeze(3).unsqueeze(4), nn.Conv1d(8, 8, 5, padding=2))
        ),
        7,
    ),
    "some features": (lambda: Own(Does(lambda x: torch.cat([x[:, 4:], x[:, :4]], 1))), 3),
    "frames in the batch": (
        lambda: Own(
            Does(
                lambda layer, x: layer(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, FRAMES)).transpose(1, 2),
                nn.Conv2d(8, 8, 3, padding=1),
            )
        ),
        3,
    ),
    "spatial cut": (lambda: Own(Does(lambda x: F.relu(x[:, :, :, 1:, 1:] * 2))), 3),
}
UNBOUNDED = {
    "over time behind means of channels last": lambda: Own(
        Does(
            lambda layer, x: layer(x.permute(0, 2, 3, 4, 1).mean((2, 3)).transpose(1, 2))[..., None, None],
            nn.Linear(FRAMES, FRAMES),
        )
    ),
    "over time behind a mean over features": lambda: Own(
        None, Does(lambda layer, x: x + layer(x.mean(1, keepdim=True)), nn.Linear(FRAMES, FRAMES))
    ),
    "over time, squeezed by keyword": lambda: Own(
        Does(
            lambda layer, x: layer(x.mean((3, 4), keepdim=True).squeeze(dim=-1).squeeze(dim=-1))[..., None, None],
            nn.Linear(FRAMES, FRAMES),
        )
    ),
    "over time, squeezed of all": lambda: Own(
        Does(
            lambda layer, x: layer(x.mean((3, 4), keepdim=True).squeeze())[None, ..., None, None],
            nn.Linear(FRAMES, FRAMES),
        )
    ),
    "a pool over time, which stands elsewhere": lambda: Own(
        Does(
            lambda pool, x: (x.transpose(2, 3) * pool(x.transpose(2, 3))).transpose(2, 3),
            nn.AdaptiveAvgPool3d((None, 1, 1)),
        )
    ),
    "a linear layer over time": lambda: Own(None, nn.Linear(FRAMES, FRAMES)),
    "one over time that was moved": lambda: Own(
        Does(lambda layer, x: layer(x.transpose(2, 4)).transpose(2, 4), nn.Linear(FRAMES, FRAMES))
    ),
    "a norm over everything": lambda: Own(nn.LayerNorm([8, FRAMES, 6, 6])),
    "frames as features": lambda: Own(
        Does(lambda layer, x: layer(x.transpose(1, 2)).transpose(1, 2), nn.Conv3d(FRAMES, FRAMES, 1))
    ),
    "LSTM": lambda: Own(
        None, Does(lambda layer, x: layer(x.transpose(1, 2))[0].transpose(1, 2), nn.LSTM(8, 8, batch_first=True))
    ),
    "attention": lambda: Own(
        None,
        Does(
            lambda layer, x: layer(x.transpose(1, 2)).transpose(1, 2),
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
        ),
    ),
    "squeeze and excitation": lambda: Own(
        Does(lambda layer, x: x * layer(x), nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Conv3d(8, 8, 1), nn.Sigmoid()))
    ),
}
UNKNOWN = {
    "its own mean": (lambda: Own(None, Does(lambda x: x - x.mean(2, keepdim=True))), "mean, which meets its own"),
    "its own mean, moved": (
        lambda: Own(Does(lambda x: (x.transpose(2, 4) - x.transpose(2, 4).mean((3, 4), keepdim=True)).transpose(2, 4))),
        "mean, which meets its own",
    ),
    "a softmax over time": (
        lambda: Own(Does(lambda x: x.permute(0, 2, 3, 4, 1).mean((2, 3)).softmax(1).transpose(1, 2)[..., None, None])),
        "softmax looks across time",
    ),
    "neighbours, moved": (
        lambda: Own(
            Does(
                lambda x: (
                    x.permute(0, 1, 3, 4, 2)[:, :, :, :, 1:] - x.permute(0, 1, 3, 4, 2)[:, :, :, :, :-1]
                ).permute(0, 1, 4, 2, 3)
            )
        ),
        "getitem looks across time",
    ),
    "its first step": (lambda: Own(None, Does(lambda x: x - x[:, :, 0, None])), "getitem, which meets its own"),
    "neighbours": (lambda: Own(Does(lambda x: x[:, :, 1:] - x[:, :, :-1])), "getitem looks across time"),
    "shifted": (lambda: Own(Does(lambda x: x + x.roll(1, 2))), "roll looks across time"),
    "a pool by function": (lambda: Own(Does(lambda x: F.max_pool3d(x, 3, 1, 1))), "max_pool3d looks across time"),
    "up again": (lambda: Own(nn.ConvTranspose3d(8, 8, 3)), r"maps \(ConvTranspose3d\) looks across time"),
    "pictures of time": (
        lambda: Own(Does(lambda layer, x: layer(x.mean(4)).unsqueeze(4), nn.Conv2d(8, 8, 3, padding=1))),
        r"maps.layer \(Conv2d\) looks across time",
    ),
    "a softmax": (lambda: Own(None, nn.Softmax(2)), r"steps \(Softmax\) looks across time"),
    "normed in groups": (lambda: Own(nn.GroupNorm(2, 8)), r"maps \(GroupNorm\) looks across time"),
    "flat": (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten(), nn.Linear(16, 3)), r"1 \(Flatten\) looks across"),
}


@pytest.mark.parametrize("make, field", BOUNDED.values(), ids=BOUNDED)
def test_the_field_is_what_gradients_reach(make, field):
    assert models.temporal_receptive_field(make()) == field == reached(make())


@pytest.mark.parametrize("make", UNBOUNDED.values(), ids=UNBOUNDED)
def test_exchange_over_all_frames_has_no_bound(make):
    assert models.temporal_receptive_field(make()) == math.inf
    assert reached(make()) > 3


@pytest.mark.parametrize("make, message", UNKNOWN.values(), ids=UNKNOWN)
def test_what_may_look_across_time_is_named(make, message):
    with pytest.raises(InputError, match=message):
        models.temporal_receptive_field(make())


def test_networks_of_one_frame_see_one():
    class Frame(Tiny):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)

        def forward(self, x):
            return self.fc(F.relu(self.conv(x)).mean((2, 3)))

    adapted = models.adapt(Frame(), clip(5, 8))
    assert models.temporal_receptive_field(adapted) == models.temporal_receptive_field(nn.DataParallel(adapted)) == 1

    class Segments(Frame):
        """Takes frames as its batch, and unfolds time in it."""

        def __init__(self):
            super().__init__()
            self.time = nn.Conv1d(6, 6, 3, padding=1)

        def forward(self, x):
            x = F.relu(self.conv(x)).mean((2, 3))
            return self.fc(self.time(x.view(-1, 5, 6).transpose(1, 2)).transpose(1, 2).reshape(-1, 6))

    with pytest.raises(InputError, match="does not tell whether view looks across time"):
        models.temporal_receptive_field(models.adapt(Segments(), clip(5, 8), layout="(B T) C H W"))


def test_counting_leaves_a_network_in_its_mode():
    net = models.create("TSN-R18-f4", 3, width=2).train()
    net.bn1.eval()  # frozen
    models.count(net, 32)
    models.temporal_receptive_field(net)
    assert net.training and not net.bn1.training and net.fc.training
    assert all(weight.requires_grad for weight in net.parameters())
