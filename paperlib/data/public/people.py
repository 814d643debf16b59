"""A small dataset held in memory that knows who acts in every video, for splits by person."""

import cv2
import numpy as np

from ...errors import InputError


class PeopleDataset:
    """Grey videos in memory, each with the person who acts and the frames in which the action happens.

    `sequences` is a list of uint8 [frames, height, width], `people` str [n], `boundaries` int64 [n, 2]: the
    annotated action is frames start (included) to stop (excluded) of the video. Whole frames are shown,
    enlarged to `size` pixels on the longer side and padded to a square with black.
    """

    def __init__(self, name, folder, classes, sequences, labels, ids, people, boundaries, size, temporal=None):
        self.name, self.folder, self.classes, self.size = name, folder, list(classes), size
        self.sequences, self.ids, self.temporal = list(sequences), list(ids), temporal
        self.labels = np.asarray(labels, np.int64)
        self.people = np.asarray(people, str)
        self.boundaries = np.asarray(boundaries, np.int64).reshape(-1, 2)

    def __len__(self):
        return len(self.sequences)

    def source(self, i):
        """Return what video `i` is: all of its frames, the annotated part and who acts."""
        return [self.sequences[i], self.boundaries[i], str(self.people[i])]

    def num_frames(self, i):
        return len(self.sequences[i])

    def frames(self, i, indices):
        """Return uint8 [len(indices), size, size, 3]; the three channels are equal."""
        indices = np.asarray(indices)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.num_frames(i):
            raise InputError(f"{self.ids[i]} has {self.num_frames(i)} frames, not {indices.tolist()}.")
        height, width = self.sequences[i].shape[1:]
        scale = self.size / max(height, width)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (self.size - inner[0]) // 2, (self.size - inner[1]) // 2
        out = np.zeros((len(indices), self.size, self.size, 3), np.uint8)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        for row, index in enumerate(indices):
            picture = cv2.resize(self.sequences[i][index], inner, interpolation=how)
            out[row, top : top + inner[1], left : left + inner[0]] = picture[..., None]
        return out

    def annotated(self, i, indices):
        """Return bool [len(indices)]: which of these frames of video `i` lie in its annotated part."""
        start, stop = self.boundaries[i]
        return (np.asarray(indices) >= start) & (np.asarray(indices) < stop)

    def subset(self, positions):
        """Return the dataset with only the videos at `positions` (or where a boolean mask is true)."""
        positions = np.asarray(positions)
        positions = np.flatnonzero(positions) if positions.dtype == bool else positions.astype(np.int64)
        return PeopleDataset(
            self.name,
            self.folder,
            self.classes,
            [self.sequences[i] for i in positions],
            self.labels[positions],
            [self.ids[i] for i in positions],
            self.people[positions],
            self.boundaries[positions],
            self.size,
            self.temporal,
        )

    def without(self, *people):
        """Return (training, held-out) datasets: everybody else, and the named people."""
        unknown = sorted(set(people) - set(self.people.tolist()))
        if unknown or not people:
            known = ", ".join(sorted(set(self.people.tolist())))
            who = ", ".join(unknown) or "(none named)"
            raise InputError(f"{self.name}: there is no person {who}; there are {known}.")
        held_out = np.isin(self.people, people)
        return self.subset(~held_out), self.subset(held_out)
