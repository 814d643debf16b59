"""`synth_ssv2`: the class is a motion template, whatever the object, texture, background, speed and onset."""

from functools import partial

import numpy as np

from . import motions as m
from .canvas import Canvas
from .stage import Stage

FPS = 12  # as Something-Something-V2
SECONDS = (2.0, 6.0)

# template, class, class that is the same template played backwards
PAIRS = (
    (m.moving_up, "Moving something up", "Moving something down"),
    (m.pushing, "Pushing something from left to right", "Pulling something from right to left"),
    (
        partial(m.pushing, flip=-1),
        "Pushing something from right to left",
        "Pulling something from left to right",
    ),
    (
        m.moving_closer,
        "Moving something and something closer to each other",
        "Moving something and something away from each other",
    ),
    (m.moving_towards_camera, "Moving something towards the camera", "Moving something away from the camera"),
    (
        partial(m.turning_camera, dx=-1),
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
    ),
    (
        partial(m.turning_camera, dy=-1),
        "Turning the camera upwards while filming something",
        "Turning the camera downwards while filming something",
    ),
    (m.approaching, "Approaching something with your camera", "Moving away from something with your camera"),
    (m.opening, "Opening something", "Closing something"),
    (m.putting_into, "Putting something into something", "Taking something out of something"),
    (m.burying, "Burying something in something", "Digging something out of something"),
    (m.taking, "Taking something from somewhere", "Putting something on a surface"),
)
SINGLES = (
    (m.colliding, "Moving something and something so they collide with each other"),
    (m.passing, "Moving something and something so they pass each other"),
    (partial(m.taking, really=False), "Pretending to take something from somewhere"),
    (m.falling_rock, "Something falling like a rock"),
    (m.spinning, "Pushing something so it spins"),
    (m.falling_over, "Poking something so that it falls over"),
)
STATIC = (
    (m.holding_next_to, "Holding something next to something"),
    (m.touching, "Touching (without moving) part of something"),
)

# class -> (template, whether it is played backwards)
TEMPLATES = {}
for _template, _forward, _backward in PAIRS:
    TEMPLATES[_forward] = _template, False
    TEMPLATES[_backward] = _template, True
TEMPLATES.update({text: (template, False) for template, text in SINGLES + STATIC})
CLASSES = list(TEMPLATES)
TEMPORAL = np.array([text not in dict((t, f) for f, t in STATIC) for text in CLASSES])
REVERSED = [(forward, backward) for _, forward, backward in PAIRS]
CAMERA = (m.turning_camera, m.approaching)


def render(text, draw, fraction, duration, size):
    """Frames uint8 `[n, size, size, 3]` of class `text` at the fractions of a video of `duration` seconds."""
    return film(*TEMPLATES[text], draw, fraction, duration, size)


def film(template, backwards, draw, fraction, duration, size):
    """Play one motion template, forwards or backwards."""
    u = np.asarray(fraction, np.float64)
    u = 1 - u if backwards else u
    stage = Stage(draw, wide=getattr(template, "func", template) in CAMERA)
    act = template(draw, stage)
    canvas = Canvas(len(u), size, *stage.view(u, u * duration))
    stage.paint(canvas, u * duration)
    act(canvas, u)
    return canvas.frames()
