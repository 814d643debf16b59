"""How much faster a temporal convolution is as a 2D one, and how long a small network takes for one clip."""

import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.models.base import TimeConv

from .timing import seconds


def train_step(layer, x):
    """Run one layer forwards and backwards."""
    layer(x).sum().backward()


@pytest.mark.parametrize("groups", [1, 16], ids=["full", "depthwise"])
def test_time_convolution_against_conv3d(benchmark, groups):
    x = torch.randn(8, 16, 8, 16, 16, requires_grad=True)
    plain = nn.Conv3d(16, 16, (3, 1, 1), padding=(1, 0, 0), groups=groups, bias=False)
    folded = TimeConv(16, 16, 3, groups=groups)
    benchmark(train_step, folded, x)
    times = [seconds(lambda layer=layer: train_step(layer, x), 5) for layer in (plain, folded)]
    benchmark.extra_info["conv3d_over_folded"] = times[0] / times[1]


@pytest.mark.parametrize("name", ["TSN-R18-f8", "TAM2D-R18-f8", "S3D-R18-f8", "I3D-R18-f8"])
def test_one_clip_against_tsn(benchmark, name):
    clip = torch.randn(1, 3, 8, 64, 64)
    tsn, model = (models.create(n, num_classes=10, width=16).eval() for n in ("TSN-R18-f8", name))
    with torch.no_grad():
        benchmark(model, clip)
        benchmark.extra_info["times_tsn"] = seconds(lambda: model(clip), 5) / seconds(lambda: tsn(clip), 5)
