"""Rendered frames are kept for the next model that is asked about the same clip."""

import numpy as np

from paperlib import data
from paperlib.data.synthetic import dataset
from paperlib.data.synthetic.dataset import Recent
from paperlib.storage import cache, paths


def test_frames_kept_are_the_frames_rendered(monkeypatch):
    videos = data.load("synth_ssv2", split="val", size=32, limit=40)
    first = videos.frames(3, [0, 5, 9])
    rendered = []
    monkeypatch.setattr(type(videos), "_render", lambda self, *a: rendered.append(a) or np.zeros((1, 32, 32, 3), "u1"))
    again = data.load("synth_ssv2", split="val", size=32, limit=8).frames(3, np.array([0, 5, 9]))
    assert np.array_equal(first, again) and not rendered
    again[:] = 0  # a copy
    assert np.array_equal(videos.frames(3, [0, 5, 9]), first)
    for other in (
        videos.frames(3, [0, 5]),
        data.load("synth_ssv2", "val", size=16).frames(3, [0, 5, 9]),
        data.load("synth_ssv2", "train", size=32).frames(3, [0, 5, 9]),
        videos.frames(4, [0, 5, 9]),
    ):
        assert other.max() == 0
    assert len(rendered) == 4


def test_what_was_asked_for_last_stays_within_the_bytes():
    recent, made = Recent(limit=100), []

    def get(key, size=40):
        return recent.get(key, lambda: made.append(key) or np.full(size, key, np.uint8))

    assert [get(key)[0] for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2] and recent.size <= 100  # 2 had to go for 3, 1 had been asked for since
    assert get(9, size=200)[0] == 9 and recent.size <= 100  # too large to keep


def test_frames_that_are_kept_on_disk_serve_the_next_process(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    videos = data.load("synth_kinetics_hard", split="val", size=32, limit=8)
    videos.keeps, rendered = True, []
    render = type(videos)._render
    monkeypatch.setattr(type(videos), "_render", lambda *a: rendered.append(a) or render(*a))

    def asked(i, *indices):
        monkeypatch.setattr(dataset, "_rendered", Recent(dataset.KEPT))  # as in a process that has just started
        return videos.frames(i, indices)

    first = asked(2, 0, 4, 9)
    assert np.array_equal(asked(2, 0, 4, 9), first) and len(rendered) == 1
    assert not np.array_equal(asked(3, 0, 4, 9), first) and asked(2, 0, 4).shape[0] == 2 and len(rendered) == 3
    monkeypatch.setattr(cache, "code", cache.code.__wrapped__)
    monkeypatch.setitem(cache.SOURCES, "data/synthetic/canvas.py", b"drawn otherwise")
    asked(2, 0, 4, 9)
    assert len(rendered) == 4
    videos.keeps = False
    count = len(list(tmp_path.rglob("*.npz")))
    asked(5, 0)
    assert count == 4 == len(list(tmp_path.rglob("*.npz")))


def test_data_sets_that_call_their_videos_the_same_are_kept_apart_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    monkeypatch.setattr(dataset, "_rendered", Recent(0))  # nothing is kept in memory
    plain, hard = (data.load(name, split="val", size=16, limit=12) for name in ("synth_kth", "synth_kth_hard"))
    assert plain.ids == hard.ids  # persons, actions and settings
    for videos in (plain, hard):
        videos.keeps = True
        first, last = videos.frames(7, [0]), videos.frames(7, [20])
        assert np.array_equal(first, videos._render(7, np.array([0.5 / 25]), 16))
        assert np.array_equal(last, videos._render(7, np.array([20.5 / 25]), 16))
    assert len(list(tmp_path.rglob("*.npz"))) == 4
