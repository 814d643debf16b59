"""Rows of networks that move, cut, pad or repeat time steps: named after the frames that they hold, or not there."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import relevance
from tests.relevance.networks import clip

pytestmark = pytest.mark.numerics

ANOTHER_ORDER = {  # of eight steps
    "the last half": lambda x: x[:, :, 4:],
    "the first half, one by one": lambda x: torch.stack([x[:, :, i] for i in range(4)], 2),
    "the last half, by number": lambda x: x[:, :, [4, 5, 6, 7]],
    "three of them": lambda x: x[:, :, [6, 2, 5]],
    "halves, turned round": lambda x: torch.cat([x[:, :, 4:], x[:, :, :4]], 2),
    "halves, written in turned round": lambda x: halves_in(torch.zeros_like(x), x),
    "one step on": lambda x: torch.cat([x[:, :, 1:], x[:, :, :1]], 2),
    "back to front": lambda x: torch.cat([x[:, :, i : i + 1] for i in range(7, -1, -1)], 2),
    "there and back": lambda x: torch.cat([x, x.flip(2)], 2),
    "half of them, back to front": lambda x: x.flip(2)[:, :, :4].flip(2),
    "even, then odd": lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], 2),
    "late": lambda x: F.pad(x, (0, 0, 0, 0, 4, 0)),
    "late, every other": lambda x: F.pad(x, (0, 0, 0, 0, 4, 0))[:, :, ::2],
    "early": lambda x: F.pad(x, (0, 0, 0, 0, -1, 1)),
    "late, by zeros": lambda x: torch.cat([torch.zeros_like(x[:, :, :2]), x[:, :, :-2]], 2),
    "late, by a buffer of zeros": lambda x: torch.cat([ZERO, x[:, :, :-1]], 2),
    "halves on each other": lambda x: x[:, :, :4] + x[:, :, 4:],
    "on its mirror image": lambda x: x + x.flip(2),
    "features beside its mirror image's": lambda x: torch.cat([x[:, :2], x[:, 2:].flip(2)], 1),
    "features beside its mirror image's, which come first": lambda x: torch.cat([x.flip(2), x], 1)[:, 2:6],
    "half of it, half its mirror image": lambda x: torch.where(torch.arange(8).view(8, 1, 1) < 4, x, x.flip(2)),
}
ZERO = torch.zeros(1, 4, 1, 2, 2)
KERNEL = torch.ones(4, 1, 3, 1, 1)
IN_ORDER = {  # and how many steps there are then
    "every other": (lambda x: x[:, :, 1::2], 4),
    "evenly, by number": (lambda x: x.index_select(2, torch.linspace(0, 7, 5).long()), 5),
    "pooled": (lambda x: F.max_pool3d(x, (2, 1, 1)), 4),
    "pairs": (lambda x: (x[:, :, 1:] + x[:, :, :-1]) / 2, 7),
    "pieces put together": (lambda x: torch.cat([F.relu(part) for part in x.chunk(4, 2)], 2), 8),
    "a causal kernel behind a buffer of zeros": (
        lambda x: F.conv3d(torch.cat([ZERO, ZERO, x], 2), KERNEL, groups=4),
        8,
    ),
    "features on others": (lambda x: x + x.flip(1), 8),
    "a kernel behind its padding": (lambda x: F.conv3d(F.pad(x, (0, 0, 0, 0, 1, 1)), KERNEL, groups=4), 8),
    "a causal kernel": (lambda x: F.conv3d(F.pad(x, (0, 0, 0, 0, 2, 0)), KERNEL, groups=4), 8),
    "one cut afterwards": (lambda x: F.conv3d(x, KERNEL, padding=(2, 0, 0), groups=4)[:, :, :-2], 8),
    "a kernel's windows": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)).unfold(2, 3, 1).sum(-1), 8),
    "shifted features": (
        lambda x: torch.cat(
            [F.pad(x[:, :1, 1:], (0, 0, 0, 0, 0, 1)), F.pad(x[:, 1:2, :-1], (0, 0, 0, 0, 1, 0)), x[:, 2:]], 1
        ),
        8,
    ),
}


def halves_in(y, x):
    y[:, :, :4], y[:, :, 4:] = x[:, :, 4:], x[:, :, :4]
    return y


class Moving(nn.Module):
    """Features of each frame, their steps moved by a function, and the mean of what a ReLU leaves; no biases."""

    def __init__(self, move):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv3d(3, 4, (1, 2, 2), (1, 2, 2), bias=False), nn.Linear(4, 3, bias=False)
        self.move, self.mix = move, nn.Conv3d(4, 4, 1, bias=False)

    def forward(self, x):
        return self.fc(F.relu(self.mix(self.move(F.relu(self.conv(x))))).mean((2, 3, 4)))


class Late(Moving):
    """Looks at some frames of the clip only."""

    def forward(self, x):
        return super().forward(self.move(x))


@pytest.mark.parametrize("name", ANOTHER_ORDER)
def test_steps_that_are_not_all_steps_in_their_order_are_no_rows(name):
    moves(Moving(ANOTHER_ORDER[name]))


@pytest.mark.parametrize("frames", [[4, 5, 6, 7], [1, 3, 5], [6]])
def test_rows_of_a_network_that_looks_at_some_frames_are_those_of_these_frames(frames):
    moves(Late(lambda x: x[:, :, frames] if x.shape[1] == 3 else x))


def moves(net):
    """Check that each row of the network's matrix is the part of the logit that its own frame has."""
    x = clip(8, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[0, 1], x)
    expected = (gradient * x).detach().sum((0, 1, 3, 4)).diag()  # the epsilon rule without biases
    found = relevance.relevance_matrix(net, x, [1], "lrp", "attnlrp")[0]
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", IN_ORDER)
def test_kernels_and_strides_over_all_steps_keep_their_order(name):
    move, steps = IN_ORDER[name]
    net, x = Moving(move), clip(8, 4)
    rows = relevance.rows_of(net, x, [1])
    assert (rows.kind, rows.steps) == ("logits", steps)
    by_hand = net.fc(F.relu(net.mix(move(F.relu(net.conv(x))))).mean((3, 4)).transpose(1, 2))
    assert torch.allclose(rows.values, by_hand[..., 1], atol=1e-6)


def test_the_callers_autocast_does_not_decide_what_rows_are():
    net, x = Moving(lambda x: x), clip(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        rows, table = relevance.rows_of(net, x, [1]), relevance.coverage(net, x)
    assert rows.kind == "logits" and table.attrs["rows"].startswith("logits")
    assert torch.equal(rows.values, relevance.rows_of(Moving(lambda x: x), x, [1]).values)
