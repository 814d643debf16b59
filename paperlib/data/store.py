"""Clips for training: from a few dozen frames kept of each video, or taken from the video each time."""

import hashlib
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
from tqdm.auto import tqdm

from ..storage import locks, paths, processes
from . import fingerprint, sampling

KEPT = 32  # frames kept of each video, evenly spread; clips are sampled from these
ROOM = 16e9  # bytes that kept frames may take in memory
READERS = 8  # videos decoded at a time


class Direct:
    """A data set whose clips are rendered or decoded each time: for dense clips, and for more than KEPT frames."""

    def __init__(self, dataset):
        self.dataset, self.name, self.classes, self.labels = dataset, dataset.name, dataset.classes, dataset.labels
        self.decodes = hasattr(dataset, "path")  # made of video files

    def __len__(self):
        return len(self.labels)

    def clips(self, indices, n, how="uniform", stride=4, rng=None):
        """Return uint8 [len(indices), n, H, W, 3]; with `rng` the frames are jittered as in training."""
        lengths = [(int(i), self.dataset.num_frames(i)) for i in indices]
        # drawn in order, whoever decodes first
        wanted = [(i, sampling.chosen(how, length, n, stride, rng)) for i, length in lengths]
        if not self.decodes:
            return np.stack([self.dataset.frames(i, steps) for i, steps in wanted])
        with ThreadPoolExecutor(READERS) as pool:
            return np.stack(list(pool.map(lambda one: self.dataset.frames(*one), wanted)))


class Stored:
    """A data set whose videos are held as uint8 [n, KEPT, H, W, 3]; labels and classes as in the original."""

    def __init__(self, dataset, frames):
        self.name, self.classes, self.labels = dataset.name, dataset.classes, dataset.labels
        self.array = frames

    def __len__(self):
        return len(self.array)

    def clips(self, indices, n, how="uniform", stride=4, rng=None):
        """Return uint8 [len(indices), n, H, W, 3], sampled uniformly from the kept frames."""
        return np.stack([self.array[i][sampling.uniform(KEPT, n, rng)] for i in indices])


def clips_of(dataset, n, how="uniform", progress=True):
    """Return what `training` takes clips of `n` frames from: `Stored` where the kept frames suffice, else `Direct`."""
    return stored(dataset, progress) if suffice(dataset, n, how) else Direct(dataset)


def suffice(dataset, n, how="uniform"):
    """Whether the KEPT frames of each video suffice for clips of `n` frames; they also have to fit into memory."""
    fits = len(dataset) * KEPT * 3 * getattr(dataset, "size", 0) ** 2 <= ROOM
    return how == "uniform" and n <= KEPT and fits


def stored(dataset, progress=True):
    """Return the data set as a `Stored`, from `data/cache/frames/` where the same frames were kept before."""
    file = paths.CACHE / "frames" / f"{dataset.name}-{_key(dataset)}.npy"
    frames = _read(file)
    if frames is None:
        with locks.only_one(file.with_suffix(".lock")):  # others wait: they would render the same on the same cores
            frames = _read(file)
            if frames is None:
                with paths.atomic(file) as temporary:
                    _render(dataset, temporary, progress)
                frames = _read(file)
    return Stored(dataset, frames)


def _render(dataset, file, progress):
    """Write the kept frames of all videos as .npy, and behind them the digest that `_read` looks for."""
    shape = (len(dataset), *_kept(dataset, 0).shape)
    array = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a dead process while frames are written
        with open(file, "r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, array.offset + array.nbytes)
    fork = multiprocessing.get_context("fork")  # workers inherit the data set, nothing is pickled
    with ProcessPoolExecutor(processes.cores(), fork, _hold, (dataset,)) as pool:
        work = pool.map(_kept_of_held, range(len(dataset)), chunksize=32)
        for i, frames in enumerate(
            tqdm(work, total=len(dataset), disable=not progress, leave=False, desc=f"rendering {dataset.name}")
        ):
            array[i] = frames
    array.flush()
    with open(file, "ab") as opened:
        opened.write(_digest(array))


def _read(file):
    """Return the frames of a file, in memory (shuffled reads of a mapped file stall); None unless it is whole."""
    try:
        with open(file, "rb") as opened:
            frames = np.load(opened, allow_pickle=False)
            return frames if opened.read() == _digest(frames) else None
    except (OSError, ValueError, EOFError, MemoryError):
        return None


def _digest(frames):
    """Return the SHA-256 of an array's shape and content."""
    digest = hashlib.sha256(f"{frames.dtype.str} {frames.shape}".encode())
    digest.update(frames.reshape(-1).data)
    return digest.digest()


def _hold(dataset):
    global _held
    processes.die_with_parent()
    _held = dataset


def _kept_of_held(i):
    return _kept(_held, i)


def _kept(dataset, i):
    return dataset.frames(i, sampling.uniform(dataset.num_frames(i), KEPT))


def _key(dataset):
    """Name the kept frames by all that decides them: videos, size, files, and how two videos of each class look."""
    seen = hashlib.sha256(np.asarray(dataset.labels).tobytes())
    fingerprint.look(dataset, seen)
    about = [dataset.name, len(dataset), getattr(dataset, "split", ""), getattr(dataset, "size", 0), KEPT]
    about += fingerprint.entry(dataset).values()
    seen.update(json.dumps(about).encode())
    return seen.hexdigest()[:16]
