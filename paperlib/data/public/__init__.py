"""Public datasets in the layouts their authors publish, found under one data folder.

Each adapter is a module with `WHERE` (one sentence: what to put where), `FOLDERS` (usual names of its folder
inside the data folder), `recognise(folder)` and `load(name, folder, split, size)`.
"""

import importlib
import os
from pathlib import Path

from ...errors import InputError

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
}


def adapter(name):
    """Return the module that reads dataset `name`."""
    return importlib.import_module(f"{__name__}.{ADAPTERS[name]}")


def load(name, split, size, limit=None, root=None):
    """Return a public dataset; `root` (or the environment variable PAPERLIB_DATA) is the data folder."""
    dataset = adapter(name).load(name, locate(name, root), split, size)
    if not len(dataset):
        missing = len(getattr(dataset, "missing", ()))
        raise InputError(
            f"{dataset.folder}: none of the {missing} listed {split} videos of {name} is there; {adapter(name).WHERE}."
        )
    return dataset if limit is None else dataset.subset(balanced(dataset.labels, limit))


def locate(name, root=None):
    """Return the folder that holds dataset `name`: the data folder itself or a folder inside it."""
    module = adapter(name)
    root = root or os.environ.get("PAPERLIB_DATA")
    if not root:
        raise InputError(
            f"{name} is not shipped: {module.WHERE}; then name that folder as the data root "
            "(--data-root or the environment variable PAPERLIB_DATA)."
        )
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"the data root {root} is not a folder.")
    wanted = {folder.lower() for folder in module.FOLDERS}
    inside = sorted(f for f in root.iterdir() if f.is_dir() and f.name.lower() in wanted)
    for folder in [root, *inside]:
        if module.recognise(folder, name):
            return folder
    raise InputError(f"{root} does not hold {name}: {module.WHERE}.")


def balanced(labels, limit):
    """Return the sorted positions of `limit` items, taken in turn from every class in order."""
    turn = {}
    order = []
    for position, label in enumerate(labels.tolist()):
        turn[label] = turn.get(label, -1) + 1
        order.append((turn[label], label, position))
    return sorted(position for *_, position in sorted(order)[:limit])
