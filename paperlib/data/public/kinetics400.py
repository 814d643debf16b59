"""Kinetics-400 and Mini-Kinetics: the official CSV lists and a tree of trimmed videos."""

from ...errors import InputError
from . import files

WHERE = (
    "put the official lists train.csv and val.csv (columns label, youtube_id, time_start, time_end) and "
    "the trimmed videos <youtube_id>_<start>_<end>.mp4, in any folders, under kinetics400/"
)
FOLDERS = ("kinetics400", "kinetics-400", "kinetics_400", "kinetics", "k400")
COLUMNS = ("label", "youtube_id", "time_start", "time_end")
PREFIXES = ("", "kinetics-400_", "kinetics400_", "kinetics_", "k400_")
SPLITS = {"train": ("train",), "val": ("val", "validate", "validation")}


def recognise(folder, name):
    return any(_list(folder, split) for split in SPLITS)


def load(name, folder, split, size):
    """Read the official list of `split`; classes are numbered alphabetically, as for published models."""
    rows = _rows(folder, split)
    other = "val" if split == "train" else "train"
    everything = rows + (_rows(folder, other) if _list(folder, other) else [])
    classes = sorted({label for label, _, _ in everything})
    if name == "mini_kinetics":
        classes = files.class_list("mini_kinetics400_classes")
    number = {c: k for k, c in enumerate(classes)}
    videos = [
        files.Video(files.safe(video_id, where), number[label], video_id)
        for label, video_id, where in rows
        if label in number
    ]
    present, missing, linked = files.split_present(videos, folder)
    return files.VideoFiles(name, folder, classes, present, size, missing, linked)


def _list(folder, split):
    return files.first_file(
        folder,
        [
            f"{place}{prefix}{word}.csv"
            for place in ("", "annotations/", "data/")
            for prefix in PREFIXES
            for word in SPLITS[split]
        ],
    )


def _rows(folder, split):
    """Return (label, video id, where it is listed) of every row."""
    path = _list(folder, split)
    if path is None:
        raise InputError(f"{folder} has no list {split}.csv; {WHERE}.")
    rows = files.rows(path)
    _, header = next(rows, ("", []))
    if not set(COLUMNS) <= set(header):
        raise InputError(f"{path}: the first line has to name the columns {', '.join(COLUMNS)}.")
    found = []
    for where, row in rows:
        row = dict(zip(header, row, strict=False))
        label, video_id, *times = (row.get(column, "").strip() for column in COLUMNS)
        try:
            start, end = (int(float(time)) for time in times)
        except (ValueError, OverflowError):
            raise InputError(f"{where}: time_start and time_end have to be seconds.") from None
        if not (label and video_id):
            raise InputError(f"{where}: label and youtube_id have to be there.")
        found.append((label.replace("_", " ").strip(), f"{video_id}_{start:06d}_{end:06d}", where))
    return found
