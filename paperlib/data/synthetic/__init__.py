"""Procedural video datasets: pure functions of (class, video, time), the same pixels on every machine."""

import zlib

import numpy as np

from ...errors import InputError
from . import kinetics, ssv2
from .canvas import Draw


class Procedural:
    """A dataset that renders the frames it is asked for (see `paperlib.data` for the interface).

    Video i belongs to class `labels[i]` and is drawn from a seed made of (name, split, i) alone, so `limit`,
    `size` and `fps` change neither its content nor its timing. Frame k shows the time (k + 1/2) / fps.
    """

    def __init__(self, name, split, module, per_class, size=64, limit=None, fps=None):
        if size < 8:
            raise InputError(f"frames of {name} are at least 8 pixels wide, not {size}.")
        self.name, self.split, self.size, self.module = name, split, int(size), module
        self.fps = fps or module.FPS
        self.classes, self.temporal = list(module.CLASSES), module.TEMPORAL.copy()
        n = per_class * len(self.classes)
        n = n if limit is None else max(0, min(int(limit), n))
        self.labels = np.arange(n, dtype=np.int64) % len(self.classes)
        self.ids = [f"{name}/{split}/{i:05d}" for i in range(n)]

    def __len__(self):
        return len(self.labels)

    def _hash(self, i, what):
        return zlib.crc32(f"{self.ids[i]}/{what}".encode())

    def duration(self, i):
        """Length of video i in seconds, a whole number of frames at the dataset's native rate."""
        low, high = (round(s * self.module.FPS) for s in self.module.SECONDS)
        return (low + self._hash(i, "length") % (high - low + 1)) / self.module.FPS

    def num_frames(self, i):
        """Number of frames of video i."""
        return max(1, int(self.duration(i) * self.fps + 1e-6))

    def frames(self, i, indices):
        """Render the frames with these indices, uint8 `[len(indices), size, size, 3]`."""
        indices = np.asarray(indices, np.int64).reshape(-1)
        n = self.num_frames(i)
        if len(indices) and not (0 <= indices.min() and indices.max() < n):
            raise InputError(
                f"{self.ids[i]} has the frames 0 to {n - 1}, not {indices.min()} to {indices.max()}."
            )
        duration = self.duration(i)
        fraction = (indices + 0.5) / (duration * self.fps)
        draw = Draw(self._hash(i, "content"))
        return self.module.render(self.classes[self.labels[i]], draw, fraction, duration, self.size)


# name -> (module, videos per class in train, in val)
DATASETS = {
    "synth_ssv2": (ssv2, 125, 25),
    "synth_kinetics": (kinetics, 200, 40),
}


def load(name, split="train", size=64, limit=None, root=None):
    """Return a procedural dataset by name; `root` is not used."""
    module, train, val = DATASETS[name]
    return Procedural(name, split, module, train if split == "train" else val, size, limit)
