"""Moments in Time and its official mini version: category file, two CSV lists, one folder per class."""

import os

from ...errors import InputError
from . import files

WHERE = (
    "put moments_categories.txt, trainingSet.csv, validationSet.csv and the folders "
    "training/<class>/*.mp4 and validation/<class>/*.mp4, as published, under mit/ (or mini_mit/)"
)
MINI = ("mini_mit", "moments_in_time_mini")
FOLDERS = (*MINI, "mit", "moments", "moments_in_time", "Moments_in_Time_Raw", "Moments_in_Time_256x256_30fps")
LISTS = {"train": ("trainingSet.csv", "training"), "val": ("validationSet.csv", "validation")}
MINI_CLASSES = 200  # the full dataset has 339 (305 in its second version)


def recognise(folder, name):
    """The mini version has the full one's layout and fewer classes; a folder of its name does not hold the full one."""
    if not (folder / "moments_categories.txt").is_file():
        return False
    return len(_categories(folder)) <= MINI_CLASSES if name == "mini_mit" else folder.name.lower() not in MINI


def load(name, folder, split, size):
    """Read the official list of `split`: path, class and two annotator counts per line."""
    classes = _categories(folder)
    number = {c: k for k, c in enumerate(classes)}
    list_name, subfolder = LISTS[split]
    path = files.first_file(folder, [list_name])
    if path is None:
        raise InputError(f"{folder} has no list {list_name}; {WHERE}.")
    present, missing = [], []
    for where, row in files.rows(path):
        if len(row) < 2 or row[1] not in number:
            raise InputError(f"{where}: expected a path and a class of moments_categories.txt.")
        video_id = files.safe(row[0], where)
        item = files.Video(f"{subfolder}/{video_id}", number[row[1]], video_id)
        if os.path.isfile(folder / item.path):
            present.append(item)
        else:
            missing.append(video_id)
    return files.VideoFiles(name, folder, classes, present, size, missing)


def _categories(folder):
    """Return the classes in the order of their numbers ("clapping,0")."""
    path = folder / "moments_categories.txt"
    rows = [row for _, row in files.rows(path)]
    try:
        return [label for label, _ in sorted(rows, key=lambda row: int(row[1]))]
    except (ValueError, IndexError):
        raise InputError(f"{path}: a line is a class and its number, as in 'clapping,0'.") from None
