"""One's own videos in one folder per class, with or without train and val above them."""

import os
import zlib

from ...errors import InputError
from . import files

WHERE = (
    "put your videos into one folder per class, as train/<class>/ and val/<class>/ or as <class>/ "
    "alone, where a fifth of every class of two or more becomes the val split"
)
FOLDERS = ("folder", "videos")
SYSTEM = "an operating system or a program keeps it for itself"
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}


def recognise(folder, name):
    tops = [folder / top for top in _tops(folder).values() if top] or [folder]
    return any(videos_in(top / c) for top in tops for c in _folders(top))


def load(name, folder, split, size):
    """Label by class folder in alphabetical order; without train and val the file names decide the split."""
    tops = _tops(folder)
    divided = any(tops.values())
    if divided and tops[split] is None:
        raise InputError(f"{folder} has no folder {split}; {WHERE}.")
    parents = [top for top in tops.values() if top] if divided else [""]
    classes = sorted({c for parent in parents for c in _folders(folder / parent) if videos_in(folder / parent / c)})
    videos = []
    for label, c in enumerate(classes):
        parent = os.path.join(tops[split] or "", c)
        names = videos_in(folder / parent)
        if not divided:
            shuffled = sorted(names, key=lambda file: zlib.crc32(file.encode(errors="surrogateescape")))
            validation = set(shuffled[: max(1, len(names) // 5)] if len(names) > 1 else ())
            names = [file for file in names if (file in validation) == (split == "val")]
        videos += [files.Video(os.path.join(parent, file), label, f"{c}/{file}") for file in names]
    return files.VideoFiles(name, folder, classes, videos, size, left_out=left_out(folder))


def left_out(folder):
    """Return pairs (path, reason) of all that lies in the folder and is not read, in order of the paths."""
    tops = [top for top in _tops(folder).values() if top]
    found = [] if tops else _beside_videos(folder)
    for top in tops:
        found += [(f"{top}/{path}", reason) for path, reason in _beside_videos(folder / top)]
    for file in folder.iterdir() if tops else []:
        if file.name not in tops:
            found.append((file.name, SYSTEM if files.of_system(file.name) else f"it is beside {' and '.join(tops)}"))
    return sorted(found)


def _tops(folder):
    """Return the name of each split's folder, in whatever capitals, None where it has none."""
    there = {f.name.lower(): f.name for f in sorted(folder.iterdir()) if f.is_dir()}
    return {s: next((there[w] for w in words if w in there), None) for s, words in SPLITS.items()}


def _beside_videos(top):
    """Return pairs (path, reason) of what is not read in a folder of class folders."""
    found = []
    for file in top.iterdir():
        if files.of_system(file.name):
            found.append((file.name, SYSTEM))
        elif not file.is_dir():
            found.append((file.name, "it is in no class folder"))
        else:
            videos = set(videos_in(file))
            if not videos:
                found.append((file.name, "no video is directly in it"))
            found += [(f"{file.name}/{f.name}", _reason(f)) for f in file.iterdir() if f.name not in videos]
    return found


def _reason(file):
    if files.of_system(file.name):
        return SYSTEM
    return "a folder within a class folder is not read" if file.is_dir() else "its ending is not that of a video"


def _folders(folder):
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and not files.of_system(f.name))


def videos_in(folder):
    """Return the names of the videos that are directly in a folder, in order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:  # tells folders from files without asking for each
        return sorted(e.name for e in entries if e.name.lower().endswith(files.VIDEOS) and _is_video(e))


def _is_video(entry):
    return not (entry.is_dir() or files.of_system(entry.name))
