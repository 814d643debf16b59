"""Thousands of clips through one worker: the last cost what the first did, in time and in memory."""

import numpy as np
import pytest

from tests.benchmarks import shards_scale


@pytest.mark.slow
def test_cost_per_clip_and_memory_do_not_grow(tmp_path):
    rows, _ = shards_scale.measure(tmp_path, clips=2000, every=200)
    done, cost, memory = np.array(rows).T
    assert done[-1] == 2000 and len(rows) == 10
    assert np.median(cost[6:]) < 1.3 * np.median(cost[1:5])  # processor time; the first row has the start in it
    assert memory[-1] < 1.05 * memory[1]
