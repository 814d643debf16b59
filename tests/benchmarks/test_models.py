"""How much faster a temporal convolution is as a 2D one and a network as its copy for running alone, and small networks
against each other."""

import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.convolution.allocator import keep_freed
from paperlib.convolution.quick import quick
from paperlib.models.base import TimeConv
from paperlib.tracing.probing import at_once

from .timing import in_turns, seconds


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


@pytest.mark.slow
@pytest.mark.parametrize("name, least", [("TAM2D-R50-f8", 1.1), ("I3D-R50-f16", 1.05), ("SlowFast-R50-8x8", 1.2)])
def test_a_copy_for_running_alone_is_faster(benchmark, name, least):
    """At the width and size of the trained networks, as many clips at once as are scored."""
    torch.set_num_threads(1)
    keep_freed()
    model = models.create(name, num_classes=32, width=8).eval()
    made, clips = quick(model), torch.randn(at_once(model.num_frames), 3, model.num_frames, 64, 64)
    with torch.inference_mode():
        own, copy = in_turns(lambda: model(clips), lambda: made(clips))
        benchmark.pedantic(lambda: made(clips), rounds=1)
    benchmark.extra_info.update(times_faster=own / copy)
    print(f"{name}: {own / copy:.2f} x as fast, {1e3 * copy / len(clips):.1f} ms a clip")
    assert own / copy > least
