"""The common part of the procedural datasets: labels, lengths, seeds, and checking what is asked for."""

import threading
import zlib
from collections import OrderedDict

import numpy as np

from ...errors import InputError
from ...storage import cache
from .canvas import Draw

KEPT = 2**29  # bytes of frames rendered last that a process keeps: the next model is asked about the same clips


class Recent:
    """The arrays asked for last, up to a number of bytes."""

    def __init__(self, limit):
        self.limit, self.size = limit, 0
        self.arrays, self.lock = OrderedDict(), threading.Lock()

    def get(self, key, make):
        """Return a copy of the array kept under `key`, or of `make()`, which is kept from now on."""
        with self.lock:
            if key in self.arrays:
                self.arrays.move_to_end(key)
                return self.arrays[key].copy()
        made = make()
        with self.lock:
            if key not in self.arrays:
                self.arrays[key] = made
                self.size += made.nbytes
            while self.size > self.limit:
                self.size -= self.arrays.popitem(last=False)[1].nbytes
        return made.copy()


_rendered = Recent(KEPT)


class Procedural:
    """A dataset that renders the frames it is asked for (see `paperlib.data` for the interface).

    Video i belongs to class `labels[i]` and is drawn from a seed made of its id alone, so `limit`, `size` and
    `fps` change neither its content nor its timing. Frame k shows the time (k + 1/2) / fps. `module` has
    CLASSES, TEMPORAL, FPS, SECONDS and `render(class, random numbers, fractions, duration, size)`. Where `keeps` is
    set, rendered frames are kept on disk as well, for other processes that ask for the same.
    """

    keeps = False

    def __init__(self, name, split, module, per_class, size=64, limit=None, fps=None):
        self.module = module
        self._describe(name, split, module.CLASSES, module.TEMPORAL.copy(), size, fps or module.FPS)
        n = per_class * len(self.classes)
        n = n if limit is None else max(0, min(int(limit), n))
        self.labels = np.arange(n, dtype=np.int64) % len(self.classes)
        self.ids = [f"{name}/{split}/{i:05d}" for i in range(n)]

    def _describe(self, name, split, classes, temporal, size, fps):
        if size < 8:
            raise InputError(f"frames of {name} are at least 8 pixels wide, not {size}.")
        self.name, self.split, self.size, self.fps = name, split, int(size), fps
        self.classes, self.temporal = list(classes), temporal

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
        indices = self._checked(i, indices)
        if not len(indices):
            return np.empty((0, self.size, self.size, 3), np.uint8)
        key = (type(self), getattr(self, "module", None), self.ids[i], self.size, self.fps, indices.tobytes())
        return _rendered.get(key, lambda: self._made(i, indices))

    def _made(self, i, indices):
        """Return the frames with these indices, from disk if they are kept and were asked for before."""

        def rendered():
            return {"frames": self._render(i, (indices + 0.5) / self.fps, self.size)}

        if not self.keeps:
            return rendered()["frames"]
        # not the id alone: two data sets may call their videos the same, as KTH's and its harder one do
        video = {"dataset": self.name, "split": self.split, "video": self.ids[i]}
        key = {**video, "size": self.size, "fps": self.fps, "frames": indices.tolist()}
        return cache.fetch("rendered", {**key, "code": cache.code("data/synthetic")}, rendered)["frames"]

    def _checked(self, i, indices):
        """Indices of frames as int64 `[n]`; InputError where video i does not have them."""
        indices, n = np.asarray(indices, np.int64).reshape(-1), self.num_frames(i)
        if len(indices) and not (0 <= indices.min() and indices.max() < n):
            raise InputError(f"{self.ids[i]} has the frames 0 to {n - 1}, not {indices.min()} to {indices.max()}.")
        return indices

    def _render(self, i, seconds, size):
        """Frames of video i at these times."""
        duration = self.duration(i)
        draw = Draw(self._hash(i, "content"))
        return self.module.render(self.classes[self.labels[i]], draw, seconds / duration, duration, size)
