"""Something-Something-V2 and Mini-SSV2: the official JSON lists and a folder of webm videos."""

import json

from ...errors import InputError
from . import files

WHERE = (
    "put something-something-v2-labels.json, -train.json and -validation.json (or labels/labels.json, "
    "train.json and validation.json) and the videos 20bn-something-something-v2/<id>.webm under ssv2/"
)
FOLDERS = ("ssv2", "something-something-v2", "something_something_v2", "sthv2", "20bn-something-something-v2")
LISTS = {"train": "train", "val": "validation", "labels": "labels"}


def recognise(folder, name):
    return _list(folder, "labels") is not None


def load(name, folder, split, size):
    """Read the official list of `split`; a video's class is its template without brackets."""
    numbers = _read(folder, "labels", dict)
    try:
        classes = sorted(numbers, key=lambda c: int(numbers[c]))
    except (TypeError, ValueError):
        raise InputError(f"{_list(folder, 'labels')}: every class has to have a number.") from None
    official = set(classes)
    if name == "mini_ssv2":
        classes = files.class_list("mini_ssv2_classes")
    number = {c: k for k, c in enumerate(classes)}
    path, videos = _list(folder, split), []
    for position, entry in enumerate(_read(folder, split, list)):
        where = f"{path}: entry {position}"
        try:
            video_id, template = str(entry["id"]), entry["template"].replace("[", "").replace("]", "")
        except (TypeError, KeyError, AttributeError):
            raise InputError(f"{where} has to have an id and a template.") from None
        if template not in official:
            raise InputError(f"{where}: the template {template!r} is not among the labels.")
        if template in number:
            path_id = files.safe(video_id, where)
            videos.append(files.Video(path_id, number[template], video_id))
    present, missing, linked = files.split_present(videos, folder)
    return files.VideoFiles(name, folder, classes, present, size, missing, linked)


def _list(folder, what):
    word = LISTS[what]
    return files.first_file(
        folder,
        [
            f"{place}{prefix}{word}.json"
            for place in ("", "labels/", "annotations/")
            for prefix in ("something-something-v2-", "")
        ],
    )


def _read(folder, what, kind):
    path = _list(folder, what)
    if path is None:
        raise InputError(f"{folder} has no list something-something-v2-{LISTS[what]}.json; {WHERE}.")
    try:
        content = json.loads("\n".join(files.read_text(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from None
    if not isinstance(content, kind):
        raise InputError(f"{path} has to hold a JSON {'object' if kind is dict else 'list'}.")
    return content
