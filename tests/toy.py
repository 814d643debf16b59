"""A tiny data set for tests of training and analysis: a bright bar moves left or right over noise."""

import numpy as np

from paperlib import data
from paperlib.storage import paths


class Bars:
    """Two classes, `left` and `right`; the single frames of both look alike."""

    name, classes, temporal, split = "toy_bars", ["left", "right"], np.array([True, True]), "train"

    def __init__(self, videos, size, seed):
        self.size, self.seed = size, seed
        self.labels = np.arange(videos) % 2
        self.ids = [f"{seed}-{i}" for i in range(videos)]

    def __len__(self):
        return len(self.labels)

    def num_frames(self, i):
        return 24 + i % 5

    def frames(self, i, indices):
        rng = np.random.RandomState(1000 * self.seed + i)
        out = (rng.rand(len(indices), self.size, self.size, 3) * 60).astype(np.uint8)
        for row, t in enumerate(indices):
            where = int(t * (self.size - 4) / (self.num_frames(i) - 1))
            x = where if self.labels[i] else self.size - 4 - where
            out[row, :, x : x + 4] = 230
        return out


class Bomb:
    """Its pickle, once loaded, writes a file `executed`."""

    def __reduce__(self):
        return (open, ("executed", "w"))


def load(name, split, size=64, limit=None, root=None):
    return Bars(min(limit or 10_000, {"train": 96, "val": 32}[split]), size, {"train": 0, "val": 1}[split])


def project(folder, monkeypatch):
    """Let one test work in a project folder of its own, where `data.load("toy_bars")` works."""
    for name, value in (("ROOT", folder), ("CACHE", folder / "cache"), ("CHECKPOINTS", folder / "checkpoints")):
        monkeypatch.setattr(paths, name, value)
    monkeypatch.setitem(data.LOADERS, "toy_bars", ("tests.toy", "load"))
