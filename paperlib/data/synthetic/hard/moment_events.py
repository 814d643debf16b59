"""`synth_mit_hard`: half of its classes are motions (as in `synth_ssv2_hard`), half scenes (as in the kinetics one).

All of them in the same rooms, so that what is around says nothing about the class.
"""

import numpy as np

from .. import mit
from ..stage import Stage
from . import motion_events, scene_events

FPS = 30
SECONDS = (3.0, 5.0)
EVENT = (1.6, 2.4)
TWICE = 0.0
STREAM = "mit-events"

CLASSES, TEMPORAL, REVERSED = mit.CLASSES, mit.TEMPORAL, mit.REVERSED
_ALIKE = [("falling", "spinning"), *zip(list(mit.SCENES)[::2], list(mit.SCENES)[1::2], strict=True)]
TWINS = {a: b for pair in (*REVERSED, *_ALIKE) for a, b in (pair, pair[::-1])}


def film(text, streams, seconds, timeline, size, record=None):
    """Frames uint8 `[n, size, size, 3]` of class `text` at these times; see `events.Eventful`."""
    if text in mit.MOTIONS:
        return motion_events.play(*mit.MOTIONS[text], streams, seconds, timeline, size, record)
    t = np.asarray(seconds, np.float64)
    canvas = motion_events.table(Stage(streams("stage"), wide=True), streams, t, timeline, size, record)
    scene_events.enter(mit.SCENES[text], canvas, streams, t, timeline)
    return canvas.frames()
