"""`synth_kth_hard`: KTH's six actions as motions alone, so that no single frame can tell them apart.

Every frame of every action shows the same: a person somewhere on the ground, the legs in some phase of a stride and
each arm somewhere between hanging and raised, all of it uniform and independent (`Stance`). Before and after the
event the person stands still. What the actions differ in is how that changes:

* walking, jogging, running: the legs stride and the person goes to and fro, once, twice or four times;
* handwaving: both arms go slowly through their whole range; handclapping: both move little and fast;
* boxing: the arms take turns.

All phases come back to where they started, so that what follows the event is the same whatever the action.
"""

import zlib

import numpy as np

from ..backdrops import sway
from ..canvas import Canvas, Draw
from ..events import Eventful, Timeline
from ..figure import Pose
from ..gait import Gait
from ..kth import ACTIONS, FPS, Kth, Place, dressed, zooms

EVENT = (2.4, 4.4)  # seconds
SECONDS = (4.0, 8.0)
STREAM = "kth-events"
PASSES = {"walking": 1, "jogging": 2, "running": 4}  # to and fro within an event
REACH = 0.62  # how far from the middle people go, in world units
TWINS = {
    "boxing": "handclapping",
    "handclapping": "handwaving",
    "handwaving": "boxing",
    "walking": "jogging",
    "jogging": "running",
    "running": "walking",
}


def stream(*what):
    """Random numbers for a subject, a recording or a sequence."""
    return Draw(zlib.crc32("/".join((STREAM, *map(str, what))).encode()))


def to_and_fro(phase):
    """Uniform phases to a uniform position between 0 and 1 (once up, once down), and whether it is going up."""
    turned = phase - np.floor(phase)
    return 1 - np.abs(2 * turned - 1), turned < 0.5


class Stance:
    """Where a person is in each cycle: place on the ground, stride, near and far arm; uniform phases."""

    def __init__(self, draw, stride, seconds):
        self.place, self.stride, self.arms = draw.uniform(), draw.uniform(), (draw.uniform(), draw.uniform())
        self.length, self.seconds = stride, seconds  # of a stride in world units, of the event

    def cycles(self, action):
        """How often the action's cycle (a stride, a wave, a clap, a pair of punches) is repeated in the event."""
        if action in PASSES:
            return max(1, round(4 * REACH * PASSES[action] / self.length))
        return round({"handwaving": 0.6, "handclapping": 2.2, "boxing": 0.7}[action] * self.seconds)

    def at(self, action, done):
        """Phases (place, stride, near arm, far arm) when the event has come so far, `[n]` each."""
        done = np.asarray(done, np.float64)
        place, stride, arms = self.place + 0 * done, self.stride + 0 * done, [a + 0 * done for a in self.arms]
        cycle = self.cycles(action) * done
        if action in PASSES:
            place, stride = place + PASSES[action] * done, stride + cycle
        elif action == "handwaving":
            arms = [a + cycle for a in arms]
        elif action == "handclapping":
            arms = [a + 0.1 * np.sin(2 * np.pi * cycle) for a in arms]
        else:  # boxing: one arm goes through its range, then the other
            turn = 2 * cycle
            whole = np.floor(turn)
            near = np.floor((whole + 1) / 2) + np.where(whole % 2 == 0, turn - whole, 0.0)
            arms = [arms[0] + near, arms[1] + turn - near]
        return place, stride, *arms


class Exercise:
    """One sequence: who and where as in `kth`, and a `Stance`."""

    def __init__(self, subject, setting, recording, k, seconds):
        person, where, draw = stream("person", subject), stream(recording), stream(recording, k)
        self.place = Place(where, setting)
        height = stream("height", subject).uniform(0.98, 1.2)
        self.figure = dressed(person, setting, stream("build", subject), height)
        self.way = Gait(stream("habit", subject), "walking", self.figure.leg)
        self.zoom = zooms(where, draw, setting)
        self.shake = sway(draw, 0.02, 2.0), sway(draw, 0.02, 2.0)
        self.stance = Stance(draw, self.way.stride * height, seconds)

    def pose(self, stride, arms):
        """The figure's pose with its legs and each arm at these phases."""
        pose = self.way.pose(stride)
        raised = [to_and_fro(a)[0] for a in arms]
        pose.upper = [-0.2 + 2.8 * a for a in raised]
        pose.fore = [u + 0.25 + 1.1 * np.sin(np.pi * a) for u, a in zip(pose.upper, raised, strict=True)]
        return Pose(pose.torso, pose.thigh, pose.shank, pose.upper, pose.fore, width=0.35)

    def film(self, action, t, duration, done, size, record=None):
        """Frames uint8 `[n, size, size, 3]` at the times t, when the event has come as far as `done` (0: outside)."""
        zoom = self.zoom[0] * (self.zoom[1] / self.zoom[0]) ** (t / duration)
        canvas = Canvas(len(t), size, self.shake[0](t), 0.1 * (1 - 1 / zoom) + self.shake[1](t), zoom, grey=True)
        canvas.record = record
        self.place.paint(canvas)
        place, stride, *arms = self.stance.at(action, done)
        where, forward = to_and_fro(place)
        x, y = REACH * (2 * where - 1), self.place.ground - self.way.hip(stride) * self.figure.height
        for rows, facing in ((np.flatnonzero(forward), 1), (np.flatnonzero(~forward), -1)):
            if len(rows):
                with canvas.part(rows) as part:
                    self.place.cast(part, x[rows], self.figure.height)
                    pose = self.pose(stride[rows], [a[rows] for a in arms])
                    self.figure.paint(part, x[rows], y[rows], pose, facing)
        return canvas.frames()


class KthHard(Eventful, Kth):
    """The data set: `subjects`, `settings` and `actions` as in `Kth`."""

    NAME = "synth_kth_hard"

    def _hash(self, i, what):
        return zlib.crc32(f"{STREAM}/{self.ids[i]}/{what}".encode())

    def duration(self, i):
        """Length of sequence i in seconds, a whole number of frames at 25 per second."""
        low, high = (round(s * FPS) for s in SECONDS)
        return (low + self._hash(i, "length") % (high - low + 1)) / FPS

    def cycle(self, i):
        """Length of one cycle of sequence i's action in seconds: one stride, wave, clap or pair of punches."""
        action, seconds, exercise = self.actions[i], self._seconds(i), self._exercise(i)
        return seconds / exercise.stance.cycles(action)

    def timeline(self, i):
        """Return the `Timeline` of sequence i."""
        return Timeline(Draw(self._hash(i, "events")), self.duration(i), FPS, EVENT)

    def twin(self, i):
        """Return the label of the action that sequence i is compared with."""
        return ACTIONS.index(TWINS[self.actions[i]])

    def _seconds(self, i):
        ((onset, end),) = self.timeline(i).events
        return end - onset

    def _exercise(self, i):
        recording, _, k = self.ids[i].partition("/")
        return Exercise(int(self.subjects[i]), int(self.settings[i]), recording, int(k), self._seconds(i))

    def film(self, i, label, seconds, size, record=None):
        """Render sequence i at these times as if its action were that of `label`."""
        t, line = np.asarray(seconds, np.float64), self.timeline(i)
        inside, done = line.progress(t)
        return self._exercise(i).film(ACTIONS[label], t, line.duration, np.where(inside, done, 0.0), size, record)
