"""`synth_kth`: an articulated figure in the six actions, 25 subjects and four settings of KTH.

As there: grey 160 x 120 at 25 frames per second, up to four sequences per recording, one recording missing
and five with three sequences (the same ones), 2391 sequences in all; 1528 of subjects 1 to 16 for training
and 863 of 17 to 25. Walkers, joggers and runners cross the frame; settings are outdoors, outdoors with zoom,
outdoors in other clothes, and indoors.

Square frames show the whole 160 pixels of width and see more sky and ground above and below KTH's 120 lines;
`native` gives the 160 x 120 frame.
"""

import zlib

import numpy as np

from .backdrops import sway
from .canvas import Canvas, Draw, F, noise
from .dataset import Procedural
from .figure import Figure
from .gait import GAITS, Gait, Standing

FPS = 25
ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
TRAIN_SUBJECTS, TEST_SUBJECTS = range(1, 17), range(17, 26)
SETTINGS = (1, 2, 3, 4)
MISSING = (13, "handclapping", 3)
THREE = {
    (11, "boxing", 4),
    (13, "handwaving", 3),
    (14, "handwaving", 3),
    (15, "boxing", 4),
    (22, "boxing", 1),
}


def sequences(subjects):
    """All (sequence 1-4, setting, subject, action) of these subjects; prefixes are balanced over actions."""
    return [
        (k, setting, subject, action)
        for k in (1, 2, 3, 4)
        for setting in SETTINGS
        for subject in subjects
        for action in ACTIONS
        if (subject, action, setting) != MISSING and not (k == 4 and (subject, action, setting) in THREE)
    ]


class Kth(Procedural):
    """The dataset: also has `subjects`, `settings` (int arrays `[n]`) and `actions` (list of str `[n]`)."""

    NAME = "synth_kth"

    def __init__(self, split="train", size=64, limit=None, fps=None):
        self._describe(self.NAME, split, ACTIONS, None, size, fps or FPS)
        listed = sequences(TRAIN_SUBJECTS if split == "train" else TEST_SUBJECTS)
        listed = listed if limit is None else listed[: max(0, int(limit))]
        self.labels = np.array([ACTIONS.index(action) for *_, action in listed], np.int64)
        self.subjects = np.array([subject for _, _, subject, _ in listed], np.int64)
        self.settings = np.array([setting for _, setting, _, _ in listed], np.int64)
        self.actions = [action for *_, action in listed]
        self.ids = [f"person{s:02d}_{a}_d{d}/{k}" for k, d, s, a in listed]

    def duration(self, i):
        """Length of sequence i in seconds, a whole number of frames at 25 per second."""
        return self._sequence(i).frames / FPS

    def cycle(self, i):
        """Length of one cycle of sequence i's action in seconds."""
        return 1 / self._sequence(i).cadence

    def _sequence(self, i):
        recording, _, k = self.ids[i].partition("/")
        return Sequence(int(self.subjects[i]), self.actions[i], int(self.settings[i]), recording, int(k))

    def _render(self, i, seconds, size):
        return self._sequence(i).render(seconds, size)

    def native(self, i, indices):
        """The frames as KTH has them, uint8 `[len(indices), 120, 160, 3]`."""
        return self._render(i, (np.asarray(indices).reshape(-1) + 0.5) / self.fps, 160)[:, 20:140]


def stream(*what):
    """Random numbers for a subject, a recording or a sequence."""
    return Draw(zlib.crc32("/".join(("synth_kth", *map(str, what))).encode()))


class Place:
    """The setting of one recording: an empty field under a pale sky, or a bare room."""

    def __init__(self, draw, setting):
        self.indoors = setting == 4
        self.ground = draw.uniform(0.55, 0.7)  # where the feet are, in world units below the centre
        self.far = draw.uniform(0.3, 0.45) if self.indoors else draw.uniform(-0.25, 0.3)
        self.wall = draw.uniform(0.6, 0.85) if self.indoors else draw.uniform(0.65, 0.9)
        self.floor = draw.uniform(0.35, 0.55) if self.indoors else draw.uniform(0.4, 0.65)
        self.grain = draw.uniform(0.04, 0.08) if self.indoors else draw.uniform(0.1, 0.25)
        self.side, self.shift = draw.uniform(-0.12, 0.12), draw.uniform(0, 8)
        self.shadow = draw.uniform(0.15, 0.4), draw.uniform(-0.25, 0.25)

    def paint(self, canvas):
        """Paint the whole canvas."""
        x, y = canvas.world()
        step = canvas.zoom.astype(F)[:, None, None] * F(canvas.size / 2)
        blur = F(1.0 if self.indoors else 0.12)  # the horizon of a field is hazy
        below = np.clip(F(0.5) + (y - F(self.far)) * step * blur, F(0), F(1))
        speck = noise(x * F(2.6) + F(self.shift), y * F(5.0)) - F(0.5)
        tone = F(self.wall) + F(0.03) * speck
        tone += below * (F(self.floor) + F(self.grain) * speck - tone)
        tone *= F(1) + F(self.side) * x
        canvas.image[:] = tone

    def cast(self, canvas, x, height):
        """Paint the shadow at the feet."""
        dark, slant = self.shadow
        patch = canvas.local(np.asarray(x) + slant * height, self.ground, 0.32 * height, radius=1.1)
        soft = np.clip(F(1) - patch.u * patch.u - patch.v * patch.v * F(30), F(0), F(1))
        patch.paint(soft * F(dark), (0.1,))


def dressed(person, setting, build, height):
    """The figure of one person, who wears other clothes in setting 3."""
    coat, legs = person.uniform(0.1, 0.9), person.uniform(0.1, 0.5)
    if setting == 3:
        coat, legs = person.uniform(0.05, 0.95), person.uniform(0.05, 0.6)
    figure = Figure(build, height, ((coat,) * 3, (legs,) * 3))
    if setting == 3:
        figure.build *= 1.15
        figure.sleeves, figure.shorts = True, False
    return figure


def zooms(where, draw, setting):
    """Zoom at the start and at the end of a sequence."""
    base = where.uniform(0.92, 1.08)
    if setting != 2:
        return base, base
    low, high = draw.uniform(0.6, 0.8), draw.uniform(1.0, 1.25)
    return draw.pick(((low, high), (high, low)))


class Sequence:
    """One sequence: who, where, how, and for how many `frames` at 25 per second."""

    def __init__(self, subject, action, setting, recording, k):
        person, where, draw = stream("person", subject), stream(recording), stream(recording, k)
        self.place = Place(where, setting)
        self.figure = dressed(person, setting, stream("build", subject), stream("height", subject).uniform(0.98, 1.2))
        habit = stream("habit", subject, action)
        self.crosses = action in GAITS
        self.way = (Gait if self.crosses else Standing)(habit, action, self.figure.leg)
        self.cadence = self.way.strides * draw.uniform(0.94, 1.06)
        self.phase, self.facing = draw.uniform(), 1 if (k + where.pick((0, 1))) % 2 else -1
        self.zoom = zooms(where, draw, setting)
        self.shake = sway(draw, 0.006), sway(draw, 0.006)
        if self.crosses:
            self._pass()
        else:
            self.frames = int(draw.uniform(2.2, 8.0) * FPS)
            self.x = draw.uniform(-0.25, 0.25)

    def _pass(self):
        """Cross the view at the gait's own speed, from just outside to just outside."""
        margin = 0.22 * self.figure.height
        start, end = 1 / self.zoom[0] + margin, 1 / self.zoom[1] + margin
        self.speed = self.way.stride * self.cadence * self.figure.height  # world units per second
        self.frames = min(max(int((start + end) / self.speed * FPS), FPS), 10 * FPS)
        self.x = -start

    def render(self, seconds, size):
        """Frames uint8 `[n, size, size, 3]` at these times."""
        t = np.asarray(seconds, np.float64)
        u = t * FPS / self.frames
        zoom = self.zoom[0] * (self.zoom[1] / self.zoom[0]) ** u
        canvas = Canvas(len(t), size, self.shake[0](t), 0.1 * (1 - 1 / zoom) + self.shake[1](t), zoom, grey=True)
        self.place.paint(canvas)
        phase = self.phase + self.cadence * t
        x = self.facing * (self.x + self.speed * t) if self.crosses else self.x * np.ones_like(t)
        self.place.cast(canvas, x, self.figure.height)
        y = self.place.ground - self.way.hip(phase) * self.figure.height
        self.figure.paint(canvas, x, y, self.way.pose(phase), self.facing)
        return canvas.frames()
