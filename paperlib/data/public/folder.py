"""One's own videos in one folder per class, with or without train and val above them."""

import os
import zlib

from ...errors import InputError
from . import files

WHERE = (
    "put your videos into one folder per class, as train/<class>/ and val/<class>/ or as <class>/ "
    "alone, where a fifth of every class becomes the val split"
)
FOLDERS = ("folder", "videos")
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}


def recognise(folder, name):
    top = folder
    for words in SPLITS.values():
        top = next((folder / w for w in words if (folder / w).is_dir()), top)
    return any(_videos(top / c) for c in _folders(top))


def load(name, folder, split, size):
    """Label by class folder in alphabetical order; without train and val the file names decide the split."""
    tops = {s: next((w for w in words if (folder / w).is_dir()), None) for s, words in SPLITS.items()}
    divided = any(tops.values())
    if divided and tops[split] is None:
        raise InputError(f"{folder} has no folder {split}; {WHERE}.")
    parents = [top for top in tops.values() if top] if divided else [""]
    classes = sorted({c for parent in parents for c in _folders(folder / parent) if _videos(folder / parent / c)})
    videos = []
    for label, c in enumerate(classes):
        parent = os.path.join(tops[split] or "", c)
        names = _videos(folder / parent)
        if not divided:
            shuffled = sorted(names, key=lambda file: zlib.crc32(file.encode()))
            validation = set(shuffled[: max(1, len(names) // 5)] if len(names) > 1 else ())
            names = [file for file in names if (file in validation) == (split == "val")]
        videos += [files.Video(os.path.join(parent, file), label, f"{c}/{file}") for file in names]
    return files.VideoFiles(name, folder, classes, videos, size)


def _folders(folder):
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _videos(folder):
    if not folder.is_dir():
        return []
    return sorted(f.name for f in folder.iterdir() if f.suffix.lower() in files.VIDEOS)
