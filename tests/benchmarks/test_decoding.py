"""What random access saves over decoding from the start, and how it compares with other decoders.

All numbers are ratios within one run: `pytest tests/benchmarks/test_decoding.py --benchmark-enable`.
"""

import time
from functools import partial

import av
import numpy as np
import pytest

from paperlib.data import sampling, video
from tests import shared
from tests.data import videos

from .timing import seconds

work = partial(seconds, clock=time.process_time)  # other programs on the machine do not count

CLIPS = ("kinetics_R6llTwEh07w.mp4", "kinetics_flipping_pancake.mkv", "ucf101_basketball.avi", "hmdb51_cartwheel.avi")


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """30 s with a key frame each second, as video platforms deliver."""
    return videos.write(tmp_path_factory.mktemp("videos") / "long.mp4", n=750, width=320, height=240, gop=25)


def everything(path, indices):
    """The plain way: decode from the start, keep what is wanted."""
    wanted = set(indices)
    with av.open(str(path), metadata_errors="ignore") as container:
        return [
            frame.to_ndarray(format="rgb24", threads=1)
            for k, frame in enumerate(container.decode(video=0))
            if k in wanted
        ]


def compare(benchmark, path, indices):
    indices = list(map(int, indices))
    video.decode(path, indices)  # the index is cached from here on
    plain = work(lambda: everything(path, indices))
    ours = work(lambda: video.decode(path, indices))
    benchmark.extra_info["times faster than decoding from the start"] = plain / ours
    benchmark(video.decode, path, indices)
    return plain / ours


def test_one_late_frame_of_a_long_video(benchmark, long):
    assert compare(benchmark, long, [740]) > 5


def test_sixteen_uniform_frames_of_a_long_video(benchmark, long):
    assert compare(benchmark, long, sampling.uniform(750, 16)) > 1


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("n", [1, 8])
def test_real_clips(benchmark, name, n):
    path = shared.path(f"clips/{name}")
    assert compare(benchmark, path, sampling.uniform(video.probe(path).frames, n)) > 0.6


@pytest.mark.parametrize("name", CLIPS)
def test_against_decord(benchmark, name):
    decord = pytest.importorskip("decord")
    path = shared.path(f"clips/{name}")
    indices = sampling.uniform(video.probe(path).frames, 8)
    theirs = work(lambda: decord.VideoReader(str(path), num_threads=1).get_batch(indices).asnumpy())
    ours = work(lambda: video.decode(path, indices))
    benchmark.extra_info["decord's time over ours"] = theirs / ours
    benchmark(video.decode, path, indices)
    assert theirs / ours > 0.5


def test_decoding_ahead_in_two_threads(benchmark, tmp_path):
    """Wall-clock time of a pass over 12 videos, one thread against two that decode ahead."""
    from paperlib.data.loading import batches
    from paperlib.data.public import folder

    for k in range(12):
        videos.write(tmp_path / "a" / f"{k}.mp4", n=100, width=340, height=256, gop=100)
    dataset = folder.load("folder", tmp_path, "train", 112)
    spent = {0: [], 2: []}
    for _ in range(3):
        for workers in spent:
            began = time.perf_counter()
            for _ in batches(dataset, 8, 4, workers=workers):
                pass
            spent[workers].append(time.perf_counter() - began)
    ratio = min(spent[0]) / min(spent[2])
    benchmark.extra_info["time with none over time with two"] = ratio
    benchmark(lambda: list(batches(dataset, 8, 4, workers=2)))
    assert ratio > 0.8


def test_scaling_while_decoding_costs_less_than_afterwards(benchmark, long):
    import cv2

    indices = sampling.uniform(750, 16)

    def afterwards():
        frames = video.decode(long, indices)
        return np.stack([cv2.resize(f, (149, 112), interpolation=cv2.INTER_AREA) for f in frames])

    ratio = work(afterwards) / work(lambda: video.decode(long, indices, short_side=112))
    benchmark.extra_info["time of scaling afterwards over ours"] = ratio
    benchmark(video.decode, long, indices, 112)
    assert ratio > 0.7
