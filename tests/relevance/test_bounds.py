"""Bounds of pixels are asked for where z-beta measures from them, and nowhere else."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import relevance
from paperlib.errors import InputError

from .attending import Encoder
from .networks import clip

pytestmark = pytest.mark.numerics


class Last(nn.Module):
    """A convolution per frame, the last step of a ReLU of its places' mean, a linear layer; no biases."""

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(channels, 4, (1, 2, 2), (1, 2, 2), bias=False)
        self.mix, self.fc = nn.Conv1d(4, 4, 2, bias=False), nn.Linear(4, 3, bias=False)

    def forward(self, x):
        return self.fc(F.relu(self.mix(F.relu(self.conv(x)).mean((3, 4))))[:, :, -1])


def far(channels=4):
    """Clips of other channels than three, far outside of what pixels of pictures can be."""
    return 50 * torch.randn(2, channels, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_rules_without_bounds_take_clips_of_any_channels_and_any_values():
    net, x = Last(4).double(), far().requires_grad_()
    logit = net(x)[:, 1]
    (slope,) = torch.autograd.grad(logit.sum(), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = relevance.relevance_matrix(net, x, 1, "lrp", "attnlrp").sum(1)
        maps = relevance.pixel_relevance(net, x, 1, "lrp", "attnlrp").sum(1)
        rows = relevance.rows_of(net, x, 1, rules="attnlrp")
    expected = (slope * x).detach()  # without biases the epsilon rule is gradient times input
    assert torch.allclose(maps, expected, atol=1e-6 * float(expected.abs().max()))
    assert torch.allclose(ours, expected.sum((1, 3, 4)), atol=1e-6 * float(expected.abs().max()))
    assert torch.allclose(rows.values.sum(1), logit.detach(), atol=1e-6)


def test_attention_alone_needs_no_bounds():
    torch.manual_seed(1)
    net = Encoder().double().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        near, beyond = (clip(3, size=4, dtype=torch.float64), 4 * clip(3, size=4, dtype=torch.float64))
        assert torch.allclose(relevance.attention_rollout(net, near).sum(2), torch.ones((), dtype=torch.float64))
        assert torch.isfinite(relevance.gradient_attention(net, beyond, 1)).all()


def test_z_beta_asks_for_bounds_of_other_channels_and_rows_take_them_too():
    net, x = Last(4).double(), far()
    for function in (relevance.relevance_matrix, relevance.rows_of, relevance.ledger):
        with pytest.raises(InputError, match=r"4 channels, so give input_bounds=\(low, high\)"):
            function(net, x, 1)
    bounds = (float(x.min()), float(x.max()))
    rows = relevance.rows_of(net, x, 1, input_bounds=bounds)
    A = relevance.relevance_matrix(net, x, 1, "lrp", input_bounds=bounds)
    assert torch.allclose(rows.values.sum(1), net(x)[:, 1].detach()) and torch.allclose(A.sum(2), rows.values)
