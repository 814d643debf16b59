"""`synth_kinetics_hard`: the objects of `synth_kinetics` without its backdrops, in view for a part of the video.

Every class is filmed before the same landscapes, waters, rooms and walls, among things and people that have nothing
to do with it; what makes the class comes into view at a random time, small, and leaves again.
"""

import numpy as np

from .. import kinetics
from ..backdrops import GRASS, ROAD, SAND, SEA, SNOW, Landscape, Wall, sway
from ..canvas import Canvas
from ..events import Passers, Visit, paint_event
from ..figure import Figure
from ..outdoors import walking_pose
from ..props import Room, Thing

FPS = 25
SECONDS = (6.0, 10.0)
EVENT = (2.4, 3.6)
TWICE = 0.2
SHAKE = 0.05  # of the camera, in world units
SCALE = (0.8, 1.15)  # of what makes the class
THINGS, PEOPLE, PASSERS = (0, 1, 2), (0, 0, 1), (0, 0, 1)  # how many have nothing to do with it, one of these
STREAM = "kinetics-events"

CLASSES, TEMPORAL = kinetics.CLASSES, kinetics.TEMPORAL
TWINS = {text: CLASSES[k ^ 1] for k, text in enumerate(CLASSES)}


class Surroundings:
    """The backdrop of one video with the things and people in it, whatever the class."""

    def __init__(self, draw):
        kind = draw.pick(("land", "land", "wall", "wall", "room", "table"))
        if kind == "land":
            ground = draw.pick((GRASS, SNOW, SAND, ROAD, SEA))
            self.backdrop = Landscape(draw, ground, (-0.5, 0.4), 0.6)
        elif kind == "wall":
            self.backdrop = Wall(draw, (0.0, 1.0))
        else:
            self.backdrop = Room(draw, -9.0 if kind == "table" else None)
        self.things = [
            (Thing(draw, (0.1, 0.26)), draw.uniform(-1.2, 1.2), draw.uniform(-0.5, 0.9), draw.uniform(-0.4, 0.4))
            for _ in range(draw.pick(THINGS))
        ]
        self.people = [
            (Figure(draw, draw.uniform(0.6, 1.3)), draw.uniform(-1.1, 1.1), draw.uniform(-0.1, 0.5), sway(draw, 0.5),
             draw.uniform(0.0, 0.9), draw.sign())
            for _ in range(draw.pick(PEOPLE))
        ]  # fmt: skip

    def paint(self, canvas, t):
        """Paint the whole canvas."""
        self.backdrop.paint(canvas)
        for thing, x, y, angle in self.things:
            thing.paint(canvas, x, y, angle=angle, shadow=0.3)
        for person, x, y, move, pace, facing in self.people:
            person.paint(canvas, x + move(t), y, walking_pose(t, pace), facing)


def film(text, streams, seconds, timeline, size, record=None):
    """Frames uint8 `[n, size, size, 3]` of class `text` at these times; see `events.Eventful`."""
    return show(kinetics.SCENES[text], streams, seconds, timeline, size, record)


def show(scene, streams, seconds, timeline, size, record=None):
    """Show one scene's objects in the events of a video."""
    t, draw = np.asarray(seconds, np.float64), streams("shake")
    shot, shake = kinetics.Shot(streams("shot")), (sway(draw, SHAKE, 2.5), sway(draw, SHAKE, 2.5))
    x, y, zoom = shot.view(t / timeline.duration, t)
    canvas = Canvas(len(t), size, x + shake[0](t), y + shake[1](t), zoom)
    canvas.record, canvas.role = record, "distractor "
    Surroundings(streams("surroundings")).paint(canvas, t)
    Passers(streams("passers"), timeline.duration, counts=PASSERS).paint(canvas, t)
    enter(scene, canvas, streams, t, timeline)
    shot.finish(canvas, t)
    return canvas.frames()


def enter(scene, canvas, streams, t, timeline):
    """Paint one scene's objects where and when the events have them."""
    (inside, done), visit, place = timeline.progress(t), Visit(streams("visit"), 3.2), streams("place")
    scale, x, y = place.uniform(*SCALE), place.uniform(-0.4, 0.4), place.uniform(-0.3, 0.3)
    rows, paint = np.flatnonzero(inside), scene(streams("actors"))
    dx, dy = visit.shift(done[rows])
    canvas.furnished, canvas.role = True, ""
    paint_event(canvas, rows, lambda part: paint(part, t[rows]), x + dx, y + dy, scale)
    canvas.furnished, canvas.role = False, "distractor "
