"""Tell what of the known datasets is in a data folder, what is missing and what cannot be decoded."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tqdm.auto import tqdm

from ..errors import InputError, whole
from . import inspection, sampling
from .public import ADAPTERS, adapter, files, locate
from .video import VideoError

FRAMES = 8  # decoded of every video unless the check is thorough


@dataclass
class Report:
    """One split of one dataset: videos present, ids missing, and (id, reason) of each unreadable one.

    left_out: (path, reason) of what lies there and is not read, told with the first split only.
    """

    name: str
    folder: str
    split: str
    classes: int = 0
    present: int = 0
    missing: list = field(default_factory=list)
    unreadable: list = field(default_factory=list)
    left_out: list = field(default_factory=list)
    problem: str = ""  # why the split as a whole cannot be read

    @property
    def fine(self):
        return not (self.missing or self.unreadable or self.problem)


def check(root, names=None, depth="frames", workers=None):
    """Return a `Report` for each split of each dataset found under `root` (of `names`, if given).

    depth: "list" compares the lists with the files, "frames" also decodes eight frames of every video,
    "all" decodes every frame strictly. Raises InputError if a named dataset, or any, is not there.
    """
    workers = os.cpu_count() if workers is None else whole("workers", workers)
    for name in names or ():
        if name not in ADAPTERS:
            raise InputError(f"there is no public dataset called {name!r}; known are {', '.join(ADAPTERS)}.")
    places = {name: locate(name, root) for name in names} if names else found(root)
    if not places:
        raise InputError(
            f"{root} holds none of the public datasets {', '.join(ADAPTERS)}; "
            "`paperlib data where` says what to put where."
        )
    seen, reports = {}, []
    for name, folder in places.items():
        for split in ("train", "val"):
            report = _split(name, folder, split, depth, workers, seen)
            if reports and (reports[-1].folder, reports[-1].left_out) == (report.folder, report.left_out):
                report.left_out = []
            reports.append(report)
    return reports


def found(root):
    """Return {name: folder} of the datasets under `root`; one with a list is not also a plain one."""
    places = {}
    for name in ADAPTERS:
        try:
            folder = locate(name, root, explain=False)
        except InputError:
            continue
        if name not in ("folder", "frames") or folder not in places.values():
            places[name] = folder
    return places


def _split(name, folder, split, depth, workers, seen):
    report = Report(name, str(folder), split)
    try:
        dataset = adapter(name).load(name, folder, split, size=32)
    except InputError as error:
        report.problem = str(error)
        return report
    report.classes, report.present = len(dataset.classes), len(dataset)
    report.missing = list(getattr(dataset, "missing", ()))
    report.left_out = list(getattr(dataset, "left_out", ()))
    if depth == "list":
        return report

    def look(i):
        # the mini datasets are part of the full ones; an id alone may be that of several files or parts of one
        key = (str(folder), dataset.ids[i], *map(str, dataset.source(i)))
        if key not in seen:
            seen[key] = _problem(dataset, i, depth)
        return dataset.ids[i], seen[key]

    with ThreadPoolExecutor(workers) as pool:
        results = tqdm(
            pool.map(look, range(len(dataset))), total=len(dataset), desc=f"{name} {split}", disable=None, leave=False
        )
        report.unreadable = [(identity, reason) for identity, reason in results if reason]
    return report


def _problem(dataset, i, depth):
    """Return why video `i` cannot be used, or an empty string."""
    try:
        length = dataset.num_frames(i)
        whole = depth == "all"
        dataset.frames(i, range(length) if whole else sampling.uniform(length, FRAMES))
        if whole and type(dataset) is files.VideoFiles:
            return " ".join(inspection.problems(dataset.path(i)))
    except VideoError as error:
        return str(error)
    return ""
