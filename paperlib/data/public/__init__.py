"""Public datasets in the layouts their authors publish, found under one data folder.

Each adapter is a module with `WHERE` (one sentence: what to put where), `FOLDERS` (usual names of its folder
inside the data folder, of which the first that is there counts), `recognise(folder, name)` and
`load(name, folder, split, size)`.
"""

import importlib
import os
import warnings
from pathlib import Path

from ...errors import InputError, some

# name -> module of this package
ADAPTERS = {
    "kinetics400": "kinetics400",
    "mini_kinetics": "kinetics400",
    "ssv2": "something",
    "mini_ssv2": "something",
    "mit": "moments",
    "mini_mit": "moments",
    "kth": "kth_actions",
    "frames": "frames",
    "folder": "folder",
    "nagoya_fir": "nagoya",
    "nagoya_fir_context": "nagoya",
    "weizmann": "weizmann",
    "grid": "grid",
}


ANYBODYS = ("frames", "folder")  # of anybody's videos: the name does not say which
SHOWN_OTHERWISE = ("nagoya_fir", "nagoya_fir_context", "weizmann", "grid")  # not as `files.VideoFiles` are


def adapter(name):
    """Return the module that reads dataset `name`."""
    return importlib.import_module(f"{__name__}.{ADAPTERS[name]}")


def load(name, split, size, limit=None, root=None):
    """Return a public dataset; `root` (or the environment variable PAPERLIB_DATA) is the data folder."""
    dataset = adapter(name).load(name, locate(name, root), split, size)
    if not len(dataset):
        missing, left_out = len(getattr(dataset, "missing", ())), getattr(dataset, "left_out", ())
        what = f"none of the {missing} listed {split} videos of {name} is there" if missing else f"no video for {split}"
        what += f"; {in_words(left_out)}" if left_out else ""
        raise InputError(f"{dataset.folder}: {what}; {adapter(name).WHERE}.")
    tell(dataset, stacklevel=4)
    return dataset if limit is None else dataset.subset(balanced(dataset.labels, limit))


def tell(dataset, stacklevel=3):
    """Warn of listed videos of a data set that are not there, and of files there that are not read."""
    missing, left_out = (getattr(dataset, what, ()) for what in ("missing", "left_out"))
    said = [in_words(left_out)] if left_out else []
    if missing:
        listed = len(dataset) + len(missing)
        said.insert(0, f"{len(missing)} of {listed} listed videos are not there, such as {missing[0]}")
    if said:
        warnings.warn(f"{dataset.folder}: {'; '.join(said)}.", stacklevel=stacklevel)


def short_side(name, size):
    """Return the shorter side in pixels of a video file before a square of `size` is cut out, as in data set `name`.

    It is `size` itself where the data set is none of video files that are scaled and cut.
    """
    from . import files

    return files.short_side(size) if name in ADAPTERS and name not in SHOWN_OTHERWISE else size


def in_words(left_out):
    """Return what was left out as a clause: up to three names and how many more, for each reason."""
    reasons = {}
    for path, reason in left_out:
        reasons.setdefault(reason, []).append(path)
    return "left out: " + "; ".join(f"{some(paths, 3)} ({reason})" for reason, paths in reasons.items())


def locate(name, root=None, explain=True):
    """Return the folder that holds dataset `name`: a folder of a usual name inside the data folder, or that itself.

    Without `explain` the error does not say what lies there instead (which takes a look at every file).
    """
    module = adapter(name)
    root = root or os.environ.get("PAPERLIB_DATA")
    if not root:
        raise InputError(
            f"{name} is not shipped: {module.WHERE}; then let the environment variable "
            "PAPERLIB_DATA name that folder, or --data-root where a command has it."
        )
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"the data root {root} is not a folder.")
    wanted = [folder.lower() for folder in module.FOLDERS]
    inside = [f for f in sorted(root.iterdir()) if f.is_dir() and f.name.lower() in wanted]
    inside.sort(key=lambda f: wanted.index(f.name.lower()))
    for folder in [*inside, root]:
        if module.recognise(folder, name):
            return folder
    found = module.left_out(inside[0] if inside else root) if explain and hasattr(module, "left_out") else []
    raise InputError(f"{root} does not hold {name}: {module.WHERE}{'; ' + in_words(found) if found else ''}.")


def balanced(labels, limit):
    """Return the sorted positions of `limit` items, taken in turn from every class in order.

    Items with the answers to several questions, labels [n, Q], are taken evenly spread.
    """
    if labels.ndim > 1:
        return sorted({k * len(labels) // limit for k in range(limit)})
    turn = {}
    order = []
    for position, label in enumerate(labels.tolist()):
        turn[label] = turn.get(label, -1) + 1
        order.append((turn[label], label, position))
    return sorted(position for *_, position in sorted(order)[:limit])
