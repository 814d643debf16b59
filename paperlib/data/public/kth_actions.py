"""KTH actions: avi files and the official list of the sequences' frame ranges in 00sequences.txt."""

import re

from ...errors import InputError
from . import files

WHERE = (
    "put 00sequences.txt and the recordings person<NN>_<action>_d<N>_uncomp.avi (from six zip archives: "
    "`paperlib data unpack`) under kth/"
)
FOLDERS = ("kth", "kth_actions", "kth-actions")
CLASSES = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
TRAINING_SUBJECTS = range(1, 17)  # Interpreting Video Features, section 4: 1-16 train, 17-25 test
RECORDING = re.compile(r"person(\d\d)_([a-z]+)_d([1-4])\b(.*)")
RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")


def recognise(folder, name):
    return (folder / "00sequences.txt").is_file()


def load(name, folder, split, size):
    """Cut every recording into its sequences (2391 in all: 1528 to train, 863 to test), split by subject."""
    found, linked = files.find_videos(folder)
    present, missing = [], []
    for subject, action, recording, start, stop in sequences(folder / "00sequences.txt"):
        if (subject in TRAINING_SUBJECTS) != (split == "train"):
            continue
        path = found.get(f"{recording}_uncomp") or found.get(recording)
        identity = f"{recording}_{start + 1}-{stop}"
        if path is None:
            missing.append(identity)
        else:
            present.append(files.Video(path, CLASSES.index(action), identity, start, stop))
    return files.VideoFiles(name, folder, CLASSES, present, size, missing, linked)


def sequences(path):
    """Yield (subject, action, recording, start, stop) from the official list, frames from 0, stop excluded.

    The list counts from 1 with both ends included, and holds overlapping and unordered ranges; recordings
    without ranges (the one that is missing from the dataset) are passed over.
    """
    for line, text in enumerate(files.read_text(path), 1):
        match = RECORDING.match(text.strip())
        if not match:
            continue
        subject, action, _, rest = match.groups()
        if action not in CLASSES:
            raise InputError(f"{path}:{line}: {action!r} is not one of {', '.join(CLASSES)}.")
        for first, last in RANGE.findall(rest):
            if not 1 <= int(first) <= int(last):
                raise InputError(f"{path}:{line}: the frame range {first}-{last} is not one.")
            yield int(subject), action, match.group(0).split()[0], int(first) - 1, int(last)
