"""The ground truth of a procedural video: when its event is, where hands and objects are, which frames tell it apart.

found = data.truth(dataset, i)
found.inside                     # bool [frames]: the frames that show the event
found.tracks["hand0"].box        # float [frames, 4]: x0, y0, x1, y1 in pixels
dataset.frames_as(i, found.twin, range(dataset.num_frames(i)))  # the twin: another class, the same before and after
"""

from dataclasses import dataclass

import numpy as np

from ...errors import InputError


@dataclass
class Track:
    """Where one hand, object or person is: `position` float [frames, 2] and `box` float [frames, 4], in pixels.

    A position is the centre (of a hand: the finger tips, of a person: the hip, of a person's hand: the wrist) as x, y
    from the frame's top left corner; it may lie outside of the frame. A box is x0, y0, x1, y1 of what is inside the
    frame, x1 and y1 exclusive, as if nothing were in front. NaN where there is nothing.
    """

    position: np.ndarray
    box: np.ndarray


@dataclass
class Truth:
    """The ground truth of one video.

    `events` lists (onset, end) in seconds and `spans` the same as (first frame, one past the last). `inside` bool
    [frames] says which frames show an event. `twin` is the label of the class whose rendering by
    `dataset.frames_as(i, twin, ...)` has the same actors, backdrop and camera, and `differs` bool [frames] says in
    which frames it is another picture. `tracks` maps names to Tracks: "hand0", "object0", "person0" take part in the
    event, "event" is all that the event brings into the picture (in KTH's set the person is there all the time, and
    there is no such track), and names with "distractor" have no part in it.
    """

    events: list
    spans: list
    inside: np.ndarray
    twin: int
    differs: np.ndarray
    tracks: dict


class Record:
    """Takes down, while `n` frames of `size` pixels are painted, where what is."""

    def __init__(self, n, size):
        self.n, self.size, self.tracks, self.names = n, size, {}, {}

    def note(self, kind, owner, rows, patch, distance, at):
        """Take down `owner` in the frames `rows`: its position is `at` on the patch, its box where `distance` <= 0."""
        self.write(self._name(kind, owner), rows, np.stack(patch.place(*at), 1), distance <= 0, patch.corner)

    def write(self, name, rows, centre, inside, corner=(0, 0)):
        """Enter a track's positions [rows, 2] (screen, -1 to 1) and the boxes of masks [rows, h, w]."""
        track = self.tracks.setdefault(name, Track(np.full((self.n, 2), np.nan), np.full((self.n, 4), np.nan)))
        if centre is not None:
            track.position[rows] = (centre + 1) * self.size / 2
        inside = np.broadcast_to(inside, (len(rows), *inside.shape[1:]))
        for row, mask in zip(rows, inside, strict=True):
            columns, lines = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            if len(columns):
                left, top = corner[0] + columns[0], corner[1] + lines[0]
                track.box[row] = left, top, corner[0] + columns[-1] + 1, corner[1] + lines[-1] + 1

    def _name(self, kind, owner):
        """Number the owners of each kind in the order in which they are painted first."""
        key = (kind, id(owner)) if not isinstance(owner, tuple) else (kind, id(owner[0]), owner[1])
        if key not in self.names:
            self.names[key] = f"{kind}{sum(known[0] == kind for known in self.names)}", owner
        return self.names[key][0]  # the owner is kept as well, so that no other gets its id


def truth(dataset, i):
    """Return the `Truth` of video i of a data set that plants events; InputError where it does not know any."""
    if not hasattr(dataset, "timeline"):
        raise InputError(f"{dataset.name} has no ground truth; the data sets synth_..._hard have it.")
    n = dataset.num_frames(i)
    seconds, line = (np.arange(n) + 0.5) / dataset.fps, dataset.timeline(i)
    record, twin = Record(n, dataset.size), dataset.twin(i)
    own = dataset.film(i, dataset.labels[i], seconds, dataset.size, record)
    other = dataset.film(i, twin, seconds, dataset.size)
    inside, _ = line.progress(seconds)
    spans = [tuple(int(k) for k in np.searchsorted(seconds, event)) for event in line.events]
    return Truth(line.events, spans, inside, twin, (own != other).any((1, 2, 3)), record.tracks)
