"""Motion templates in which the order of two actions, or the number of repetitions, is all that tells classes apart.

Templates as in `motions`: they take the random numbers and the stage of one video and return `act(canvas, u)`.
"""

import numpy as np

from ..motions import grip, wobble
from ..props import Hand


def _halves(stage, u):
    """How far the first and the second of two actions have come, linear from 0 to 1."""
    done = np.clip((u - stage.start) / (stage.stop - stage.start), 0, 1)
    return np.clip(2 * done, 0, 1), np.clip(2 * done - 1, 0, 1)


def lifting_then_shaking(draw, stage):
    """A hand lifts something and puts it down, then shakes it from side to side."""
    thing, hand = stage.thing(draw), Hand(draw)
    x, y, angle = draw.uniform(-0.4, 0.4), draw.uniform(0.1, 0.45), draw.uniform(-0.9, 0.9)
    height, swing, sway = draw.uniform(0.45, 0.75), draw.sign() * draw.uniform(0.22, 0.35), wobble(draw)

    def act(canvas, u):
        first, second = _halves(stage, u)
        at = x + swing * np.sin(4 * np.pi * second) + sway(u), y - height * np.sin(np.pi * first)
        thing.paint(canvas, *at, shadow=0.3)
        hand.paint(canvas, *grip(thing, *at, angle), angle, 0.2)

    return act


def nearing_then_tilting(draw, stage):
    """A hand moves something to the camera and back, then tilts it over and back."""
    thing, hand = stage.thing(draw, (0.18, 0.26)), Hand(draw)
    x, y, angle = draw.uniform(-0.35, 0.35), draw.uniform(-0.1, 0.35), draw.uniform(-0.9, 0.9)
    growth, turn, sway = draw.uniform(0.7, 1.1), draw.sign() * draw.uniform(1.2, 1.7), wobble(draw)

    def act(canvas, u):
        first, second = _halves(stage, u)
        size, at = 1 + growth * np.sin(np.pi * first), x + sway(u)
        thing.paint(canvas, at, y, size, turn * np.sin(np.pi * second))
        reach = 0.35 * thing.h * size
        hand.paint(canvas, at - np.sin(angle) * reach, y + np.cos(angle) * reach, angle, 0.2, size)

    return act


def tapping(draw, stage, times):
    """A finger taps on something `times` times, in the same time however often."""
    thing, hand = stage.thing(draw, (0.22, 0.32)), Hand(draw)
    x, y, angle = draw.uniform(-0.35, 0.35), draw.uniform(0.1, 0.5), np.pi + draw.uniform(-0.9, 0.9)
    gap, sway = draw.uniform(0.35, 0.55), wobble(draw, 0.015)

    def act(canvas, u):
        done = np.clip((u - stage.start) / (stage.stop - stage.start), 0, 1)
        apart = gap * (1 - np.sin(np.pi * times * done) ** 2)
        thing.paint(canvas, x, y, shadow=0.4)
        hx, hy = grip(thing, x, y, angle, 0.9)
        hand.paint(canvas, hx - np.sin(angle) * apart + sway(u), hy + np.cos(angle) * apart, angle, 0.2, pointing=True)

    return act
