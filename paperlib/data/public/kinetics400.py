"""Kinetics-400 and Mini-Kinetics: the official CSV lists and a tree of trimmed videos."""

import csv

from ...errors import InputError
from . import files

WHERE = (
    "put the official lists train.csv and val.csv (columns label, youtube_id, time_start, time_end) and "
    "the trimmed videos <youtube_id>_<start>_<end>.mp4, in any folders, under kinetics400/"
)
FOLDERS = ("kinetics400", "kinetics-400", "kinetics_400", "kinetics", "k400")
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
    present, missing = files.split_present(videos, files.find_videos(folder))
    return files.VideoFiles(name, folder, classes, present, size, missing)


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
    reader = csv.DictReader(files.read_text(path))
    needed = {"label", "youtube_id", "time_start", "time_end"}
    if not needed <= set(reader.fieldnames or ()):
        raise InputError(f"{path}: the first line has to name the columns {', '.join(sorted(needed))}.")
    rows = []
    for line, row in enumerate(reader, 2):
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{path}:{line}: time_start and time_end have to be seconds.") from None
        label = row["label"].replace("_", " ").strip()
        rows.append((label, f"{row['youtube_id']}_{start:06d}_{end:06d}", f"{path}:{line}"))
    return rows
