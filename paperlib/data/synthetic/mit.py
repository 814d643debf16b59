"""`synth_mit`: half of its classes are motions (as in `synth_ssv2`), half scenes (as in `synth_kinetics`).

Three-second videos named by verbs, as Moments in Time.
"""

import numpy as np

from . import indoors, kinetics, motions, outdoors, ssv2, tabletops, waters

FPS = 30
SECONDS = (2.5, 3.5)


def either_way(draw, stage):
    """A hand pushes something to the left or to the right."""
    return motions.pushing(draw, stage, flip=draw.sign())


# class -> (template, whether it is played backwards)
MOTIONS = {
    "opening": (motions.opening, False),
    "closing": (motions.opening, True),
    "burying": (motions.burying, False),
    "digging": (motions.burying, True),
    "pushing": (either_way, False),
    "pulling": (either_way, True),
    "lifting": (motions.moving_up, False),
    "descending": (motions.moving_up, True),
    "picking": (motions.taking, False),
    "placing": (motions.taking, True),
    "falling": (motions.falling_rock, False),
    "spinning": (motions.spinning, False),
}
SCENES = {
    "bicycling": outdoors.biking,
    "bowling": indoors.bowling,
    "climbing": outdoors.ladder_climbing,
    "cooking": tabletops.cooking_egg,
    "diving": waters.scuba_diving,
    "driving": indoors.driving,
    "dunking": indoors.basketball,
    "reading": tabletops.reading_book,
    "sailing": waters.sailing,
    "skiing": outdoors.skiing,
    "swimming": waters.swimming,
    "watering": tabletops.watering_plants,
}
CLASSES = [*MOTIONS, *SCENES]
TEMPORAL = np.array([text in MOTIONS for text in CLASSES])
REVERSED = [
    ("opening", "closing"),
    ("burying", "digging"),
    ("pushing", "pulling"),
    ("lifting", "descending"),
    ("picking", "placing"),
]


def render(text, draw, fraction, duration, size):
    """Frames uint8 `[n, size, size, 3]` of class `text` at the fractions of a video of `duration` seconds."""
    if text in MOTIONS:
        return ssv2.film(*MOTIONS[text], draw, fraction, duration, size)
    return kinetics.film(SCENES[text], draw, fraction, duration, size)
