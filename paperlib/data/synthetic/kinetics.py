"""`synth_kinetics`: the class is a scene and the objects in it; motion is only weakly typical of it."""

import numpy as np

from . import indoors, outdoors, tabletops, waters
from .backdrops import sway
from .canvas import Canvas, circle, ellipse
from .props import colour

FPS = 25
SECONDS = (4.0, 10.0)

SCENES = {
    "bowling": indoors.bowling,
    "blowing out candles": indoors.blowing_candles,
    "climbing ladder": outdoors.ladder_climbing,
    "cooking egg": tabletops.cooking_egg,
    "driving car": indoors.driving,
    "dunking basketball": indoors.basketball,
    "flying kite": outdoors.kite_flying,
    "juggling soccer ball": outdoors.soccer,
    "making pizza": tabletops.making_pizza,
    "playing guitar": indoors.playing_guitar,
    "playing tennis": outdoors.tennis,
    "reading book": tabletops.reading_book,
    "riding a bike": outdoors.biking,
    "riding or walking with horse": outdoors.horse_riding,
    "sailing": waters.sailing,
    "scuba diving": waters.scuba_diving,
    "skiing slalom": outdoors.skiing,
    "swimming butterfly stroke": waters.swimming,
    "using computer": tabletops.using_computer,
    "watering plants": tabletops.watering_plants,
}
CLASSES = list(SCENES)
TEMPORAL = np.zeros(len(CLASSES), bool)


class Shot:
    """How a scene is filmed: framing, slow pan and zoom, shake, light, sometimes an onlooker's head."""

    def __init__(self, draw):
        self.x, self.y, self.zoom = (
            draw.uniform(-0.25, 0.25),
            draw.uniform(-0.2, 0.2),
            draw.uniform(0.75, 1.35),
        )
        self.pan = draw.uniform(-0.3, 0.3), draw.uniform(-0.15, 0.15), draw.uniform(-0.15, 0.15)
        self.shake = sway(draw, 0.05), sway(draw, 0.05)
        gain = draw.uniform(0.65, 1.1)
        self.light = tuple(gain * draw.uniform(0.88, 1.08) for _ in range(3))
        self.onlooker = draw.chance(0.2)
        self.seat, self.tint, self.nod = (
            draw.uniform(-0.8, 0.8),
            colour(draw, (0.1, 0.6), (0.05, 0.4)),
            sway(draw, 0.15),
        )

    def view(self, u, t):
        """Centre and zoom of the camera, `[n]` each."""
        return (
            self.x + self.pan[0] * (u - 0.5) + self.shake[0](t),
            self.y + self.pan[1] * (u - 0.5) + self.shake[1](t),
            self.zoom * (1 + self.pan[2] * (u - 0.5)),
        )

    def finish(self, canvas, t):
        """Paint what is in front of the scene and apply the light."""
        if self.onlooker:
            x = canvas.centre_x + (self.seat + self.nod(t)) / canvas.zoom
            patch = canvas.local(x, canvas.centre_y + 0.95 / canvas.zoom, 0.3 / canvas.zoom, radius=2.2)
            patch.fill(
                np.minimum(circle(patch.u, patch.v, 0.75), ellipse(patch.u, patch.v, 1.6, 0.9, 0.0, 1.2)),
                self.tint,
            )
        for channel, gain in zip(canvas.image, self.light, strict=True):
            channel *= np.float32(gain)


def render(text, draw, fraction, duration, size):
    """Frames uint8 `[n, size, size, 3]` of class `text` at the fractions of a video of `duration` seconds."""
    return film(SCENES[text], draw, fraction, duration, size)


def film(scene, draw, fraction, duration, size):
    """Film one scene."""
    u = np.asarray(fraction, np.float64)
    t = u * duration
    shot, paint = Shot(draw), scene(draw)
    canvas = Canvas(len(u), size, *shot.view(u, t))
    paint(canvas, t)
    shot.finish(canvas, t)
    return canvas.frames()
