"""Rows of networks with several pathways, which are cut together."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import relevance
from tests.models.test_adapt import Whole
from tests.relevance.networks import clip

pytestmark = pytest.mark.numerics


class Two(nn.Module):
    """Two pathways over some frames and over all, each of which sees frames alone; one classifier for both."""

    def __init__(self, frames=(0, 4)):
        super().__init__()
        torch.manual_seed(0)
        self.frames = list(frames)
        self.slow, self.fast = nn.Conv3d(3, 4, (1, 4, 4), (1, 4, 4)), nn.Conv3d(3, 2, (1, 4, 4), (1, 4, 4))
        self.fc, self.other = nn.Linear(6, 3), nn.Linear(2, 3)

    def forward(self, x):
        ways = F.relu(self.slow(x[:, :, self.frames])), F.relu(self.fast(x))
        return self.fc(torch.cat([way.mean((2, 3, 4)) for way in ways], 1))


class OneAfterTheOther(Two):
    def forward(self, x):
        slow = F.relu(self.slow(x[:, :, self.frames])).mean((2, 3, 4))
        return self.fc(torch.cat([slow, F.relu(self.fast(x)).mean((2, 3, 4))], 1))


class LateFusion(Two):
    """A classifier for each pathway, which ends before the other begins."""

    def forward(self, x):
        slow = F.linear(F.relu(self.slow(x[:, :, self.frames])).mean((2, 3, 4)), self.fc.weight[:, :4], self.fc.bias)
        return slow + self.other(F.relu(self.fast(x)).mean((2, 3, 4)))


@pytest.mark.parametrize("kind", [Two, OneAfterTheOther, LateFusion])
@pytest.mark.parametrize("frames", [(0, 4), (4,)], ids=["slow", "key frame"])
def test_two_pathways_are_cut_together_in_whichever_order_they_run(kind, frames):
    net, x = kind(frames), clip(8, 8)
    rows = relevance.rows_of(net, x, [1])
    assert rows.steps == 8 and torch.isclose(rows.values.sum(), net(x)[0, 1])
    matrix = relevance.relevance_matrix(net, x, [1], "lrp")[0]
    assert torch.allclose(matrix, matrix.diag().diag(), atol=1e-7)
    piece = relevance.relevance_matrix(Whole(net), x, [1], "lrp")[0, 0]
    assert torch.allclose(matrix.diag(), piece, atol=1e-6)
