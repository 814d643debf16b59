"""Short events at random times in longer videos: when they are, how they come into view, what else moves.

All of it is drawn without regard to the class, so that a video can be rendered as any class of its data set and is
the same, pixel for pixel, in all frames outside of its events.
"""

import zlib

import numpy as np

from ...errors import InputError
from .backdrops import sway
from .canvas import Draw
from .dataset import Procedural
from .props import Hand, Thing
from .stage import between

PAUSE = 0.4  # seconds that nothing happens before, between and after events, at least


class Timeline:
    """The events of a video: (onset, end) in seconds, whole frames at `fps`, one or (with a chance) two of them."""

    def __init__(self, draw, duration, fps, seconds, twice=0.0):
        lengths = [round(draw.uniform(*seconds) * fps) for _ in range(1 + draw.chance(twice))]
        pause, total = round(PAUSE * fps), round(duration * fps)
        if sum(lengths) + (len(lengths) + 1) * pause > total:
            lengths = [min(lengths[0], total - 2 * pause)]
        free = total - sum(lengths) - (len(lengths) + 1) * pause
        before = sorted(int(draw.uniform(0, free + 1)) for _ in lengths)
        self.events, self.duration, at = [], duration, 0
        for k, length in enumerate(lengths):
            first = before[k] + at + (k + 1) * pause
            self.events.append((first / fps, (first + length) / fps))
            at += length

    def progress(self, seconds):
        """Return which of these times lie in an event, bool `[n]`, and how far it has come then, float `[n]`."""
        seconds = np.asarray(seconds, np.float64)
        inside, done = np.zeros(len(seconds), bool), np.zeros(len(seconds))
        for onset, end in self.events:
            now = (seconds >= onset) & (seconds < end)
            done[now] = (seconds[now] - onset) / (end - onset)
            inside |= now
        return inside, done


class Visit:
    """How the actors of an event come into view from one side and leave to another, in world units.

    The same backwards in time, in distribution.
    """

    def __init__(self, draw, reach=2.6):
        self.share, self.start, self.stop = 0.14, draw.uniform(0.1, 0.2), draw.uniform(0.8, 0.9)
        angles = [draw.uniform(-np.pi, np.pi) for _ in range(2)]
        self.come, self.go = ((reach * np.cos(a), reach * np.sin(a)) for a in angles)

    def shift(self, done):
        """Displacement (x, y) of the actors when the event has come so far, `[n]` each."""
        away, gone = 1 - between(done, 0, self.share), between(done, 1 - self.share, 1)
        return tuple(a * away + b * gone for a, b in zip(self.come, self.go, strict=True))

    def present(self, done):
        """How far the actors are in place: 0 out of view, 1 there."""
        return between(done, 0, self.share) - between(done, 1 - self.share, 1)


class Passers:
    """Things and hands that come, move about and leave, whatever the class: motion that means nothing."""

    def __init__(self, draw, duration, unlike=(), counts=(0, 1, 2)):
        self.items = []
        for _ in range(draw.pick(counts)):
            what = Thing(draw, (0.13, 0.24), unlike=unlike) if draw.chance(0.6) else Hand(draw, 0.22)
            begin = draw.uniform(-0.1, 0.8) * duration
            last = draw.uniform(0.2, 0.45) * duration
            ends = [(draw.sign() * draw.uniform(1.4, 1.9), draw.uniform(-0.7, 0.9)) for _ in range(2)]
            via = draw.uniform(-0.7, 0.7), draw.uniform(-0.5, 0.7)
            lean = draw.uniform(-0.6, 0.6) if isinstance(what, Thing) else draw.uniform(-1.8, 1.8)
            self.items.append((what, begin, last, ends, via, sway(draw, 0.1), lean))

    def paint(self, canvas, seconds):
        """Paint those that are in view at these times."""
        for what, begin, last, (a, b), via, wobble, lean in self.items:
            done = (seconds - begin) / last
            rows = np.flatnonzero((done > 0) & (done < 1))
            if not len(rows):
                continue
            p = done[rows]
            weights = (1 - p) ** 2, 2 * p * (1 - p), p**2  # a parabola from one end by way of the middle to the other
            x, y = (sum(w * q for w, q in zip(weights, c, strict=True)) for c in zip(a, via, b, strict=True))
            with canvas.part(rows, role="distractor ") as part:
                what.paint(part, x + wobble(seconds[rows]), y, angle=lean)


class Eventful(Procedural):
    """A procedural data set whose videos show a short event, and that knows when and where.

    `module` also has STREAM (names its random numbers), EVENT (shortest and longest event in seconds), TWICE (share of
    videos with two events), TWINS (class -> class) and
    `film(class, streams, seconds, timeline, size, record) -> uint8 [n, size, size, 3]`, where `streams(what)` gives the
    random numbers of one video for one purpose.
    """

    def _hash(self, i, what):
        # not of the data set's name: what it is called decides no pixel
        return zlib.crc32(f"{self.module.STREAM}/{self.split}/{self.ids[i].rpartition('/')[2]}/{what}".encode())

    def streams(self, i):
        """Return the function purpose -> random numbers of video i."""
        return lambda what: Draw(self._hash(i, what))

    def timeline(self, i):
        """Return the `Timeline` of video i."""
        draw = Draw(self._hash(i, "events"))
        return Timeline(draw, self.duration(i), self.module.FPS, self.module.EVENT, self.module.TWICE)

    def twin(self, i):
        """Return the label of the class that video i is compared with."""
        return self.classes.index(self.module.TWINS[self.classes[self.labels[i]]])

    def film(self, i, label, seconds, size, record=None):
        """Render video i at these times as if it were of class `label`."""
        return self.module.film(self.classes[label], self.streams(i), seconds, self.timeline(i), size, record)

    def frames_as(self, i, label, indices):
        """Render frames of video i as if it were of class `label`: the same but for its events.

        Returns uint8 `[len(indices), size, size, 3]`; InputError for a label or frames that there are not.
        """
        if not 0 <= label < len(self.classes):
            raise InputError(f"{self.name} has the classes 0 to {len(self.classes) - 1}, not {label}.")
        indices = self._checked(i, indices)
        if not len(indices):
            return np.empty((0, self.size, self.size, 3), np.uint8)
        return self.film(i, label, (indices + 0.5) / self.fps, self.size)

    def _render(self, i, seconds, size):
        return self.film(i, self.labels[i], seconds, size)


def paint_event(canvas, rows, paint, x=0.0, y=0.0, scale=1.0):
    """Paint an event's actors, `paint(canvas)`, on the frames `rows` and take down all that they change."""
    if not len(rows):
        return
    with canvas.part(rows, x, y, scale) as part:
        before = part.image.copy() if canvas.record is not None else None
        paint(part)
        if before is not None:
            changed = (part.image != before).any(0)
            canvas.record.write("event", rows, None, changed)
            track = canvas.record.tracks["event"]
            track.position[rows] = (track.box[rows, :2] + track.box[rows, 2:]) / 2
