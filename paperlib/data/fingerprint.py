"""What a data set is at this moment, as one short string: what is kept of it is good while that is the same."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from .public import files
from .synthetic import Procedural
from .video import VideoError


def fingerprint(dataset):
    """Return 16 hexadecimal digits that are others once a video is added, removed, replaced, cut or relabelled.

    dataset: what `data.load`, `training.folds` or a data set's `subset` return, or an object of one's own with the
    same attributes: name, classes, labels, ids, size and split, as far as it has them. A procedural data set is made by
    code, so these are all. For one with `source(i)`, or else `path(i)`, the names, sizes and modification times of the
    files are read now (of a folder of images: those of all its files), and arrays count by their content. In which
    folder the files lie does not matter. Of any other the pictures count that `look` takes.
    """
    ids = getattr(dataset, "ids", None)
    labels = np.asarray(dataset.labels)
    about = {name: getattr(dataset, name, None) for name in ("name", "split", "size")}
    digest = hashlib.sha256(json.dumps([about, list(dataset.classes), labels.shape], default=str).encode())
    digest.update(labels.astype(np.int64).tobytes())
    digest.update(json.dumps([] if ids is None else list(ids), default=str).encode())
    source, seen = _source(dataset), {}
    if source is None and not isinstance(dataset, Procedural):
        look(dataset, digest)
    for i in range(len(labels)) if source else ():
        for part in source(i):
            if isinstance(part, Path) and part not in seen:  # several videos may be cut from one file
                seen[part] = json.dumps(_state(part)).encode()
            digest.update(b"\n" + (seen[part] if isinstance(part, Path) else _content(part)))
    return digest.hexdigest()[:16]


def entry(dataset):
    """Return {"data": fingerprint}, what a key of kept results takes in; {} for procedural ones: the code decides."""
    return {} if isinstance(dataset, Procedural) else {"data": fingerprint(dataset)}


def look(dataset, digest):
    """Enter how a data set looks into a hash: three frames of the first and of the last video of every class."""
    labels = np.asarray(dataset.labels)
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label).reshape(len(labels), -1).any(1))  # to any question
        for i in {int(members[0]), int(members[-1])}:
            try:
                count = dataset.num_frames(i)
                digest.update(dataset.frames(i, np.array([0, count // 2, count - 1])).tobytes())
            except VideoError as error:  # left out later, by whoever needs it
                digest.update(str(error).encode(errors="surrogateescape"))


def of_folder(folder):
    """Return 16 hexadecimal digits that are others once a file under a folder is added, removed or replaced."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not files.of_system(name))
        place = os.path.relpath(parent, folder)
        found += [[place, *_state(Path(parent, name))] for name in sorted(names) if not files.of_system(name)]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _source(dataset):
    """Return the function that lists what a video is made from (paths, arrays, numbers), or None for unknown."""
    if hasattr(dataset, "source"):
        return dataset.source
    return (lambda i: [Path(dataset.path(i))]) if hasattr(dataset, "path") else None


def _state(path):
    """Return name, size and modification time of a file, or of all files of a folder; the name alone where it lacks."""
    try:
        with os.scandir(path) as entries:
            return [path.name, sorted([e.name, *_stamp(e.stat())] for e in entries if not files.of_system(e.name))]
    except NotADirectoryError:
        return [path.name, *_stamp(path.stat())]
    except OSError:
        return [path.name]


def _stamp(status):
    return status.st_size, status.st_mtime_ns


def _content(part):
    if isinstance(part, np.ndarray):
        return f"{part.dtype.str} {part.shape}".encode() + np.ascontiguousarray(part).tobytes()
    return json.dumps(part, default=str).encode()
