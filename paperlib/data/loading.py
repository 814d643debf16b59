"""Clips of a whole dataset in batches, without those that cannot be read, which are listed; classes in turn."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..errors import InputError, whole
from . import clips, sampling
from .video import VideoError

PIECE = 256  # frames that are decoded at a time where a video is looked through


class batches:
    """Iterate over (indices int64 [B], clips float32 [B, 3, T, H, W], labels int64 [B]) of a dataset.

    sampling: "uniform" or "dense" (`stride` source frames apart). views=(clips, crops) gives the several
    clips and crops of multi-clip evaluation as float32 [B, clips * crops, 3, T, H, W]: average the logits.
    seed: None evaluates in order at fixed frames; a number shuffles the videos and jitters the frames,
    equally for any number of `workers` (threads that decode ahead; 0 decodes when asked).

    `skipped` lists (index, id, reason) of the videos left out in the latest iteration. All of them unreadable
    is an InputError.
    """

    def __init__(self, dataset, n_frames, batch_size, sampling="uniform", stride=2, views=None, seed=None, workers=0):
        if sampling not in ("uniform", "dense"):
            raise InputError(f"the sampling is 'uniform' or 'dense', not {sampling!r}.")
        whole("batch_size", batch_size)
        whole("n_frames", n_frames)
        if views is not None and views[1] > 1 and not hasattr(dataset, "views"):
            raise InputError(f"{dataset.name} has square frames: several crops of them are not possible.")
        self.dataset, self.n_frames, self.batch_size = dataset, n_frames, batch_size
        self.sampling, self.stride, self.views = sampling, stride, views
        self.seed, self.workers = seed, workers
        self.skipped = []

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self):
        self.skipped = []
        order = np.arange(len(self.dataset))
        if self.seed is not None:
            order = np.random.default_rng(self.seed).permutation(order)
        ids = getattr(self.dataset, "ids", None)
        kept, done = [], 0
        for i, clip, reason in self._ahead(order.tolist()):
            if clip is None:
                self.skipped.append((i, ids[i] if ids else str(i), reason))
                continue
            kept.append((i, clip))
            if len(kept) == self.batch_size:
                yield self._batch(kept)
                kept, done = [], done + 1
        if kept:
            yield self._batch(kept)
        elif not done and self.skipped:
            raise InputError(
                f"none of the {len(self.skipped)} videos of {self.dataset.name} can be read; "
                f"the first: {self.skipped[0][2]}"
            )

    def _batch(self, kept):
        indices = np.array([i for i, _ in kept], np.int64)
        labels = torch.as_tensor(np.asarray(self.dataset.labels)[indices])
        return indices, torch.stack([clip for _, clip in kept]), labels

    def _ahead(self, order):
        """Yield results in order while up to two batches are decoded ahead."""
        if not self.workers:
            yield from map(self._read, order)
            return
        pending = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for i in order:
                    pending.append(pool.submit(self._read, i))
                    if len(pending) >= 2 * self.batch_size + self.workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:  # the consumer stopped early
                for future in pending:
                    future.cancel()

    def _read(self, i):
        try:
            return i, self._clip(i), None
        except VideoError as error:
            return i, None, str(error)

    def _clip(self, i):
        rng = None if self.seed is None else np.random.default_rng([self.seed, i])
        length = self.dataset.num_frames(i)
        if self.views is None:
            return clips.to_clip(self.dataset.frames(i, self._indices(length, rng)))
        count, crops = self.views
        indices = self._indices(length, None, count)
        if crops == 1:
            frames = self.dataset.frames(i, indices.ravel())[None]
        else:
            frames = self.dataset.views(i, indices.ravel(), crops)
        frames = frames.reshape(crops * count, self.n_frames, *frames.shape[2:])
        return torch.stack([clips.to_clip(f) for f in frames])

    def _indices(self, length, rng, count=None):
        return sampling.chosen(self.sampling, length, self.n_frames, self.stride, rng, count)


class _whole(batches):
    """As `batches` of one frame, the last, but every frame of a video is decoded before it, some at a time."""

    def _clip(self, i):
        length = self.dataset.num_frames(i)
        for first in range(0, length, PIECE):
            frames = self.dataset.frames(i, np.arange(first, min(first + PIECE, length)))
        return clips.to_clip(frames[-1:])


def readable(dataset, n_frames, workers=0, **how):
    """Return (dataset without the videos that cannot be read, list of (index, id, reason) of those left out).

    For code that takes frames from a dataset itself: decodes `n_frames` frames of every video once, chosen by
    `sampling` and `stride` as in `batches`; all frames where `n_frames` is None. Needs a dataset with `subset`; others,
    rendered or in memory, are returned as they are.
    """
    if not hasattr(dataset, "subset"):
        return dataset, []
    if n_frames is None:
        loader = _whole(dataset, 1, 1, workers=workers)
    else:
        loader = batches(dataset, n_frames, 1, workers=workers, **how)
    kept = [int(indices[0]) for indices, _, _ in loader]
    return (dataset.subset(kept) if loader.skipped else dataset), loader.skipped


def in_turn(labels, seed=0):
    """Return all positions in a random order in which every class comes once before any comes twice.

    InputError for labels of several questions, among which there is no one class to a video.
    """
    if np.ndim(labels) != 1:
        raise InputError(f"clips are drawn by one label to a video, not by labels of shape {list(np.shape(labels))}.")
    order = np.random.default_rng(whole("seed", seed, 0)).permutation(len(labels))
    turn, seen = [], {}
    for i in order:
        label = int(np.asarray(labels)[i])
        seen[label] = seen.get(label, -1) + 1
        turn.append(seen[label])
    return order[np.argsort(turn, kind="stable")]
