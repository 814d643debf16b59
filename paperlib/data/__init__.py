"""Datasets by name: procedural ones rendered on demand, public ones read from their official layouts.

A dataset has `.name`, `.classes` (list of str), `.labels` (int64 [n]), `.temporal` (bool [classes] or None),
`.ids` (list of str), `len()`, `.num_frames(i)` and `.frames(i, indices) -> uint8 [len(indices), size, size, 3]`.
One that is read from files also has `.source(i)`, what a video is cut from: results that are kept of it are good for
as long as that is the same (`fingerprint`). Of one without, they are for as long as a few of its pictures are.
`load` gives one by its name in `LOADERS`, `batches` its clips for a network, which `clips` makes of the frames that
`sampling` picks; `truth` says what is planted in a procedural video.

May import: storage, errors.
"""

import importlib

from ..errors import InputError, whole
from .public import ADAPTERS

__all__ = ["LOADERS", "batches", "clips", "load", "sampling", "truth"]

# name -> (module, function); the function takes (name, split, size, limit, root) and returns a dataset
LOADERS = {
    "synth_ssv2": ("paperlib.data.synthetic", "load"),
    "synth_kinetics": ("paperlib.data.synthetic", "load"),
    "synth_mit": ("paperlib.data.synthetic", "load"),
    "synth_kth": ("paperlib.data.synthetic", "load"),
    "synth_ssv2_hard": ("paperlib.data.synthetic", "load"),
    "synth_kinetics_hard": ("paperlib.data.synthetic", "load"),
    "synth_mit_hard": ("paperlib.data.synthetic", "load"),
    "synth_kth_hard": ("paperlib.data.synthetic", "load"),
}
LOADERS.update({name: ("paperlib.data.public", "load") for name in ADAPTERS})


def load(name, split="train", size=64, limit=None, root=None):
    """Return dataset `name`'s `split`, "train" or "val", with square frames of `size` pixels.

        videos = data.load("synth_ssv2_hard", "val", size=64)
        videos.classes[videos.labels[7]], videos.frames(7, [0, 10])  # its name, uint8 [2, 64, 64, 3]

    `limit` keeps that many videos, balanced over the classes; `root` is the folder of a public dataset's
    files (procedural ones need none). Raises InputError for an unknown name or split, for a limit that is no number of
    videos, and for files that are not there.
    """
    if name not in LOADERS:
        raise InputError(f"there is no dataset called {name!r}; known are {', '.join(sorted(LOADERS))}.")
    if split not in ("train", "val"):
        raise InputError(f"a split is 'train' or 'val', not {split!r}.")
    limit = None if limit is None else whole("limit", limit)
    module, function = LOADERS[name]
    return getattr(importlib.import_module(module), function)(name, split, size=size, limit=limit, root=root)


def truth(dataset, i):
    """Return what is planted in video i of a data set synth_..._hard: see `synthetic.planted.Truth`.

    `.inside` bool [frames]: which show the event; `.spans`: its (first frame, one past the last); `.twin`: the label of
    the class that looks the same outside of it; `.tracks[name].box` float [frames, 4]: x0, y0, x1, y1 in pixels.
    Raises InputError for a data set of which nothing is known.
    """
    from .synthetic.planted import truth as found

    return found(dataset, i)


def __getattr__(name):
    if name in ("clips", "sampling"):
        return importlib.import_module(f"{__name__}.{name}")
    if name == "batches":  # imported on demand: it needs torch, and most of this package does not
        from .loading import batches

        return batches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
