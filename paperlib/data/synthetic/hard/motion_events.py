"""`synth_ssv2_hard`: the motions of `synth_ssv2`, each a short event at a random time of a longer video.

Before and after the event the room, its clutter and things that pass by are all there is to see; the actors come
into view and leave again. The backward class of a pair plays the event backwards. Added are pairs that differ in the
order of two actions, and classes that differ in how often something is done.
"""

from functools import partial

import numpy as np

from .. import ssv2
from ..backdrops import sway
from ..canvas import Canvas
from ..events import Passers, Visit, paint_event
from ..stage import Stage
from . import orders

FPS = 12
SECONDS = (5.0, 8.0)
EVENT = (2.4, 3.8)
TWICE = 0.0
SHAKE = 0.03  # of the camera, in world units
PASSERS = (0, 0, 0, 1)  # how many things and hands pass by, one of these
STREAM = "ssv2-events"

PAIRS = (
    (
        orders.lifting_then_shaking,
        "Lifting something and then shaking it",
        "Shaking something and then lifting it",
    ),
    (
        orders.nearing_then_tilting,
        "Moving something closer and then tilting it",
        "Tilting something and then moving it closer",
    ),
)
COUNTS = tuple(
    (partial(orders.tapping, times=times), f"Tapping something {text}")
    for times, text in ((1, "once"), (2, "twice"), (3, "three times"), (4, "four times"))
)
TEMPLATES = dict(ssv2.TEMPLATES)
for _template, _forward, _backward in PAIRS:
    TEMPLATES[_forward], TEMPLATES[_backward] = (_template, False), (_template, True)
TEMPLATES.update({text: (template, False) for template, text in COUNTS})
CLASSES = list(TEMPLATES)
TEMPORAL = np.array([text not in {text for _, text in ssv2.STATIC} for text in CLASSES])
REVERSED = [*ssv2.REVERSED, *((forward, backward) for _, forward, backward in PAIRS)]

# class -> the class that a video is compared with: the same actors do something else
_ALIKE = (
    ("Moving something and something so they collide with each other",
     "Moving something and something so they pass each other"),
    ("Pretending to take something from somewhere", "Touching (without moving) part of something"),
    ("Something falling like a rock", "Holding something next to something"),
    ("Pushing something so it spins", "Poking something so that it falls over"),
    ("Tapping something once", "Tapping something twice"),
    ("Tapping something three times", "Tapping something four times"),
)  # fmt: skip
TWINS = {a: b for pair in (*REVERSED, *_ALIKE) for a, b in (pair, pair[::-1])}


def film(text, streams, seconds, timeline, size, record=None):
    """Frames uint8 `[n, size, size, 3]` of class `text` at these times; see `events.Eventful`."""
    return play(*TEMPLATES[text], streams, seconds, timeline, size, record)


def play(template, backwards, streams, seconds, timeline, size, record=None):
    """Play one motion template, forwards or backwards, in the events of a video."""
    inside, done = timeline.progress(seconds)
    done = 1 - done if backwards else done
    stage, visit = Stage(streams("stage"), wide=True), Visit(streams("visit"))
    stage.start, stage.stop = visit.start, visit.stop
    act, camera = template(streams("actors"), stage), None
    if stage.camera is not None:  # the camera does not come into view: it turns away and comes back
        there = np.where(inside, visit.present(done), 0.0)
        camera = there, stage.camera(done)
        stage.camera = None
    canvas = table(stage, streams, seconds, timeline, size, record, camera)
    rows = np.flatnonzero(inside)
    paint_event(canvas, rows, lambda part: act(part, done[rows]), *visit.shift(done[rows]))
    return canvas.frames()


def table(stage, streams, seconds, timeline, size, record=None, camera=None):
    """Return the canvas of a video with the room and all that has nothing to do with the event.

    `camera` is (how much of it, its (x, y, zoom)), one per frame, where the camera takes part in the event.
    """
    seconds, draw = np.asarray(seconds, np.float64), streams("shake")
    shake = sway(draw, SHAKE, 2.5), sway(draw, SHAKE, 2.5)
    x, y, zoom = stage.view(np.full_like(seconds, 0.5), seconds)
    if camera is not None:
        there, (px, py, pz) = camera
        x, y, zoom = x + there * px, y + there * py, zoom * (1 + there * (pz - 1))
    canvas = Canvas(len(seconds), size, x + shake[0](seconds), y + shake[1](seconds), zoom)
    canvas.record, canvas.role = record, "distractor "
    stage.paint(canvas, seconds)
    Passers(streams("passers"), timeline.duration, stage.room.colours, PASSERS).paint(canvas, seconds)
    canvas.role = ""
    return canvas
