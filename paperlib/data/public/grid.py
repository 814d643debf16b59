"""GRID: people who speak sentences of six words to the camera, every word with its frames (Cooke et al. 2006).

The audiovisual sentence corpus of Cooke, Barker, Cunningham and Shao: 75 frames at 25 a second, 360 x 288 pixels, as in
"bin blue at f two now". Read as the authors publish it: `s1/<sentence>.mpg` and `align/s1/<sentence>.align` for every
speaker, or with videos cut to the rows 164 to 260 and columns 92 to 220. Each clip answers six questions.
"""

import re
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np

from ...errors import InputError
from .. import video
from . import files

WHERE = (
    "get the GRID audiovisual sentence corpus from https://zenodo.org/records/3625687 (look there for its licence) and "
    "put the folders s1, s2, ... of videos and align/s1, align/s2, ... under grid/"
)
FOLDERS = ("grid", "gridcorpus", "grid_corpus", "real")
QUESTIONS = {
    "command": ("bin", "lay", "place", "set"),
    "colour": ("blue", "green", "red", "white"),
    "preposition": ("at", "by", "in", "with"),
    "letter": tuple("abcdefghijklmnopqrstuvxyz"),  # no w
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "adverb": ("again", "now", "please", "soon"),
}
CLASSES = [word for words in QUESTIONS.values() for word in words]
ALIGNED = ("align*/s*/*.align", "s*/align/*.align", "grid/align*/s*/*.align")
WHOLE, FACE = (288, 360), (slice(164, 260), slice(92, 220))  # an original's size, and the part around the mouth
MOUTH = (slice(20, 92), slice(28, 100))  # of that part: a square
FPS, MARGIN, LEAST = 25, 8, 48  # frames in front of the first word and behind the last one; fewest frames of a video


def recognise(folder, name):
    return any(next(folder.glob(pattern), None) for pattern in ALIGNED)


def load(name, folder, split, size):
    """Split by sentence, whoever speaks it: three of twenty validate. See `everything` for splits by speaker."""
    whole = everything(folder, size)
    found = whole.subset([i for i, sentence in enumerate(whole.ids) if _split(sentence) == split])
    found.missing = [sentence for sentence in whole.missing if _split(sentence) == split]
    return found


def _split(sentence):
    return "val" if zlib.crc32(sentence.partition("/")[2].encode()) % 20 < 3 else "train"


def everything(folder, size=64):
    """Return all sentences of all speakers as a `Grid`, for leave-one-speaker-out: `.without("s1")`."""
    folder = Path(folder)
    (videos, linked), items, missing = files.find_videos(folder, _sentence), [], []
    aligned = sorted({path for pattern in ALIGNED for path in folder.glob(pattern)})
    for path in aligned:
        speaker = next(part for part in reversed(path.relative_to(folder).parts[:-1]) if re.fullmatch(r"s\d+", part))
        name = f"{speaker}/{path.stem}"
        if name in videos:
            items.append((name, videos[name], *_words(path)))
        else:
            missing.append(name)
    return Grid(folder, items, size, missing, linked)


class Grid:
    """Mouths that speak, in grey, `size` pixels square; `labels` int64 [n, 6], one class of `classes` per question.

    `heads` {question: (first class, one past the last)} says which classes belong together, `people` who speaks. A
    video is the spoken part of a recording with up to 8 frames on each side. `words(i, indices)` says which frames show
    which word. A recording is decoded when it is first asked for and kept.
    """

    temporal, fps = None, FPS
    heads: dict

    def __init__(self, folder, items, size, missing=(), left_out=()):
        self.name, self.folder, self.size, self.items = "grid", Path(folder), int(size), list(items)
        self.classes, self.missing, self.left_out = list(CLASSES), list(missing), list(left_out)
        ends = np.cumsum([len(words) for words in QUESTIONS.values()]).tolist()
        self.heads = {q: (end - len(QUESTIONS[q]), end) for q, end in zip(QUESTIONS, ends, strict=True)}
        self.ids = [name for name, *_ in self.items]
        self.people = np.array([name.partition("/")[0] for name in self.ids], str)
        self.labels = np.array([labels for *_, labels, _ in self.items], np.int64).reshape(-1, len(QUESTIONS))
        self.kept, self.lock = {}, threading.Lock()

    def __len__(self):
        return len(self.items)

    def path(self, i):
        """Return the file of video `i`; raises VideoError if a link leads out of the data set's folder."""
        return files.contained(self.folder, self.items[i][1])

    def source(self, i):
        """Return what video `i` is cut from: its file and when the words are spoken."""
        return [self.folder / self.items[i][1], self.items[i][3]]

    def span(self, i):
        """Return (first, one past the last) frame of the recording that video `i` shows."""
        times = self.items[i][3]
        total = max(len(self._recording(i)), 1)
        if total < times[-1, 1] - files.LOST:
            raise video.VideoError(f"{self.path(i)} ends before {self.ids[i]} ends: it has {total} frames.")
        first, after = int(times[0, 0]) - MARGIN, int(np.ceil(times[-1, 1])) + MARGIN
        lacking = max(0, LEAST - (after - first))
        first, after = first - lacking // 2, after + lacking - lacking // 2
        first, after = first - max(0, after - total), after + max(0, -first)  # moved inside the recording
        return max(0, first), min(total, after)

    def num_frames(self, i):
        first, after = self.span(i)
        return after - first

    def frames(self, i, indices):
        """Return uint8 [len(indices), size, size, 3]; the three channels are equal."""
        indices, n = np.asarray(indices, np.int64), self.num_frames(i)
        if indices.size and not 0 <= indices.min() <= indices.max() < n:
            raise InputError(f"{self.ids[i]} has {n} frames, not {indices.tolist()}.")
        grey = self._recording(i)[self.span(i)[0] + indices]
        return np.repeat(grey[..., None], 3, -1)

    def words(self, i, indices):
        """Return bool [6, len(indices)]: in which of these frames of video `i` each question's word is spoken."""
        middle = self.span(i)[0] + np.asarray(indices) + 0.5
        return (middle >= self.items[i][3][:, :1]) & (middle < self.items[i][3][:, 1:])

    def subset(self, positions):
        """Return the data set with only the videos at `positions` (or where a boolean mask is true)."""
        positions = np.asarray(positions)
        positions = np.flatnonzero(positions) if positions.dtype == bool else positions.astype(np.int64)
        found = Grid(self.folder, [self.items[i] for i in positions], self.size, self.missing, self.left_out)
        found.kept, found.lock = self.kept, self.lock
        return found

    def without(self, *people):
        """Return (training, held-out) data sets: all other speakers, and the named ones."""
        unknown = sorted(set(people) - set(self.people.tolist()))
        if unknown or not people:
            raise InputError(
                f"grid: there is no speaker {', '.join(unknown) or '(none named)'}; there are "
                f"{', '.join(sorted(set(self.people.tolist())))}."
            )
        held_out = np.isin(self.people, people)
        return self.subset(~held_out), self.subset(held_out)

    def _recording(self, i):
        """Return all frames of the recording of video `i` around the mouth, uint8 [frames, size, size]."""
        with self.lock:
            found = self.kept.get(self.ids[i])
        if found is None:
            found = _mouths(self.path(i), self.size)
            with self.lock:
                self.kept[self.ids[i]] = found
        return found


def _mouths(path, size):
    """Return the frames of a recording, cut and in grey, uint8 [frames, size, size]."""
    pictures = video.decode(path)
    part = (FACE[0].stop - FACE[0].start, FACE[1].stop - FACE[1].start)
    if pictures.shape[1:3] == WHOLE:
        pictures = pictures[:, FACE[0], FACE[1]]
    elif pictures.shape[1:3] != part:
        raise video.VideoError(
            f"{path} has {pictures.shape[2]} x {pictures.shape[1]} pixels; recordings of GRID have 360 x 288, cut ones "
            "128 x 96."
        )
    grey = [cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY) for p in pictures[:, MOUTH[0], MOUTH[1]]]
    how = cv2.INTER_AREA if size < grey[0].shape[0] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (size, size), interpolation=how) for picture in grey])


def _sentence(inside, stem):
    """Return "speaker/sentence" of a recording in a folder s1, s2, ..., None of any other; cut ones are mp4 files."""
    speaker = next((part for part in reversed(Path(inside).parts) if re.fullmatch(r"s\d+", part)), None)
    return speaker and f"{speaker}/{stem}"


def _words(path):
    """Return (labels [6], times float [6, 2] in frames) of an alignment file; InputError where it is not one."""
    labels, times = [], []
    for number, line in enumerate(files.read_text(path), 1):
        fields = line.split()
        if not fields or fields[-1] in ("sil", "sp"):
            continue
        question = list(QUESTIONS)[len(labels)] if len(labels) < len(QUESTIONS) else None
        good = len(fields) == 3 and question and fields[0].isdigit() and fields[1].isdigit()
        if not good or fields[2] not in QUESTIONS[question] or int(fields[0]) >= int(fields[1]):
            raise InputError(f"{path}:{number}: expected `start stop word` with a {question or 'pause'}, not {line!r}.")
        labels.append(CLASSES.index(fields[2]))
        times.append((int(fields[0]) / 1000, int(fields[1]) / 1000))
    if len(labels) < len(QUESTIONS):
        raise InputError(f"{path} has {len(labels)} words; a sentence of GRID has {len(QUESTIONS)}.")
    return labels, np.array(times)
