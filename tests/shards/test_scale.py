"""Hundreds of clips through one worker: the last cost what the first did, in work and in memory.

Work is counted, not timed: calls of functions, bytes read and bytes written are the same on a busy machine.
"""

import sys
import threading

import numpy as np
import psutil
import pytest

from tests.benchmarks import shards_scale


@pytest.fixture
def calls():
    """A list that has one entry: the calls of Python's and C's functions so far, in every thread."""
    count = [0]

    def called(frame, event, argument):
        count[0] += event in ("call", "c_call")

    threading.setprofile(called)  # for threads that start from now on
    sys.setprofile(called)
    yield count
    sys.setprofile(None)
    threading.setprofile(None)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the bytes that a process reads and writes")
def test_work_per_clip_and_memory_do_not_grow(tmp_path, calls):
    process = psutil.Process()

    def spent():
        moved = process.io_counters()
        return np.array([calls[0], moved.read_chars, moved.write_chars])

    rows, _ = shards_scale.measure(tmp_path, clips=800, every=200, spent=spent)
    done, cost, memory = zip(*rows, strict=True)
    assert done == (200, 400, 600, 800)  # the first row has the start in it
    assert (cost[3] <= 1.1 * cost[1]).all(), cost  # of the 25 blocks of a row, one may be read before or after it
    assert memory[3] - memory[1] < 10  # MB; it is more where something of 25 kB is kept per clip
