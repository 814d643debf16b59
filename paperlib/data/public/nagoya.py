"""Nagoya FIR actions: a 16 x 16 thermal sensor on the ceiling, nine people, annotated to the frame.

Nagoya University Extremely Low-resolution FIR Image Action Dataset, version 2018 (Kawashima et al., AVSS
2017; CC BY-NC-SA 4.0), 2,520 segments at about 9 frames a second. Read as the authors publish it
(`<day>/raw/<day>_p<position>_<light>.csv` in degrees, `annotation/annotation_<day>_human.csv` with
`recording,first,last,label,person`) or from the repacked `nagoya_fir_actions.npz`.

The p1 to p15 in a recording's name are positions and scenarios, not people: two people (three on the last
day) act one after the other in each recording, and the annotation names them human1 to human9.
"""

import pickle
import re
import zipfile

import numpy as np

from ...errors import InputError
from . import files
from .people import PeopleDataset

WHERE = (
    "get https://github.com/muralab/Low-Resolution-FIR-Action-Dataset (CC BY-NC-SA 4.0) and put its "
    "folders annotation and 2017* under nagoya_fir/"
)
FOLDERS = (
    "nagoya_fir",
    "nagoya",
    "Low-Resolution-FIR-Action-Dataset",
    "Low-Resolution-FIR-Action-Dataset-master",
    "real",
)
PACKED = "nagoya_fir_actions.npz"
CLASSES = ("walk", "sitdown", "standup", "falling", "sit", "lie", "stand")
MERGED = {"walk1": "walk", "walk2": "walk", "falling1": "falling", "falling2": "falling"}
TEMPORAL = np.array([True, True, True, True, False, False, False])  # motions; the rest are postures
PEOPLE = {
    "20170203": ("human1", "human2"),
    "20170206": ("human3", "human4"),
    "20170209": ("human5", "human6"),
    "20170210": ("human7", "human8", "human9"),
}
VALIDATION = ("human3", "human6", "human9")  # a third of the people, from three of the four days
CONTEXT = 8  # frames on each side
COLDEST, RANGE = -0.5, 2.0  # degrees around the segment's median that become black, and from black to white


def recognise(folder, name):
    return (folder / PACKED).is_file() or any((folder / "annotation").glob("*_human.csv"))


def load(name, folder, split, size):
    """Split by person: human3, 6 and 9 validate. See `everything` for other splits."""
    training, validation = everything(folder, size, name).without(*VALIDATION)
    return training if split == "train" else validation


def everything(folder, size=64, name="nagoya_fir"):
    """Return all segments as a PeopleDataset, for leave-one-person-out: `.without("human1")`.

    `nagoya_fir` has the annotated frames alone; `nagoya_fir_context` adds up to 8 frames before and after,
    and `boundaries` tells where in the video the annotated part is. Grey levels are degrees above the
    segment's median (with context, so that both datasets show the same pixels), from -0.5 to 1.5.
    """
    packed = folder / PACKED
    sequences, labels, ids, people, boundaries = [], [], [], [], []
    segments = _packed(packed) if packed.is_file() else _raw(folder)
    for recording, label, person, frames, start, stop in segments:
        label = MERGED.get(label, label)
        if label not in CLASSES:
            raise InputError(f"{folder}: {recording} has the unknown label {label!r}.")
        degrees = frames / 100
        grey = np.clip((degrees - np.median(degrees) - COLDEST) / RANGE, 0, 1) * 255
        grey = np.round(grey).astype(np.uint8)
        if name == "nagoya_fir":
            grey, start, stop = grey[start:stop], 0, stop - start
        sequences.append(grey)
        labels.append(CLASSES.index(label))
        ids.append(f"{recording.removesuffix('.csv')}#{len(ids)}")
        people.append(person)
        boundaries.append((start, stop))
    return PeopleDataset(name, folder, CLASSES, sequences, labels, ids, people, boundaries, size, TEMPORAL)


def _raw(folder):
    """Yield (recording, label, person, int16 frames in 1/100 degree, start, stop) from the authors' files."""
    recordings = {}
    for path in sorted((folder / "annotation").glob("*_human.csv")):
        for where, row in files.rows(path):
            match = re.match(r"(\d{8})_p\d+_\w+\.csv$", row[0])
            if len(row) != 5 or not match or not (row[1].isdigit() and row[2].isdigit()):
                raise InputError(f"{where}: expected `recording.csv,first,last,label,person`.")
            name, first, last = row[0], int(row[1]), int(row[2])
            if name not in recordings:
                recordings = {name: _temperatures(files.contained(folder, f"{match[1]}/raw/{name}"))}
            frames = recordings[name]
            if not first <= last < len(frames):
                raise InputError(f"{where}: {name} has {len(frames)} frames, not {first} to {last}.")
            begin, end = max(0, first - CONTEXT), min(len(frames), last + 1 + CONTEXT)
            yield name, row[3], row[4], frames[begin:end], first - begin, last + 1 - begin


def _temperatures(path):
    """Read a recording: two header lines, then time, sensor temperature and 256 pixels per line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[2:]
        table = np.loadtxt(lines or ["0"], delimiter=",", ndmin=2)
    except OSError:
        raise InputError(f"{path}: there is no such recording; {WHERE}.") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}).") from None
    if table.shape[1] != 258:
        raise InputError(f"{path} has {table.shape[1]} columns; time, PTAT and 256 pixels are expected.")
    return np.round(table[:, 2:] * 100).astype(np.int16).reshape(-1, 16, 16)


def _packed(path):
    """Yield the same from the repacked archive; people are told apart by their turn in the recording."""
    content = _read_npz(path)
    needed = ("frames", "recording", "day", "label", "offset", "length", "start", "stop")
    if any(key not in content for key in needed):
        raise InputError(f"{path} has to hold the arrays {', '.join(needed)}.")
    turns = {}
    for i, recording in enumerate(content["recording"]):
        turns.setdefault(recording, []).append(i)
    for recording, segments in turns.items():
        segments.sort(key=lambda i: content["offset"][i])
        present = PEOPLE.get(content["day"][segments[0]])
        if present is None or len(segments) % len(present):
            raise InputError(f"{path}: who acts in {recording} cannot be told.")
        for turn, i in enumerate(segments):
            begin = content["offset"][i]
            yield (
                recording,
                content["label"][i],
                present[turn * len(present) // len(segments)],
                content["frames"][begin : begin + content["length"][i]],
                content["start"][i],
                content["stop"][i],
            )


class _Strings(pickle.Unpickler):
    """Unpickles arrays of strings and nothing else: a data file must not run code."""

    def find_class(self, module, name):
        if (module, name) in {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "dtype"),
        }:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _read_npz(path):
    content = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(file)
                    if dtype.hasobject:
                        array = _Strings(file).load()
                    else:
                        array = np.frombuffer(file.read(), dtype).reshape(shape)
                    content[name.removesuffix(".npy")] = array
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is damaged or not the repacked dataset ({error}).") from None
    return content
