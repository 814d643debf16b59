"""Rendering is not the bottleneck of training: a clip is drawn faster than a small model learns from it."""

import time

import numpy as np
import pytest
import torch

from paperlib import data, models
from tests.data.test_synthetic import NAMES

from .timing import seconds


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_rendered_faster_than_it_is_trained_on(name, benchmark):
    if benchmark.disabled:
        pytest.skip("a timing: run with --benchmark-enable")
    dataset = data.load(name, size=64)

    def render(i):
        return dataset.frames(i, (np.arange(8) * 2 + 1) * dataset.num_frames(i) // 16)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = models.create("I3D-R50-f8", num_classes=32, width=8)
    clips = torch.randn(16, 3, 8, 64, 64)

    def learn():
        torch.nn.functional.cross_entropy(model(clips), torch.zeros(16, dtype=torch.long)).backward()

    trained = seconds(learn, 5, time.process_time) / 16
    rendered = seconds(lambda: [render(i) for i in range(64)], 1, time.process_time) / 64
    torch.set_num_threads(threads)
    benchmark.extra_info["clips per second per core"] = 1 / rendered
    benchmark.extra_info["rendering time / training time"] = rendered / trained
    benchmark.pedantic(render, (0,), rounds=3)
    assert rendered < trained
