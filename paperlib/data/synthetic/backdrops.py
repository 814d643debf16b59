"""What is behind the scenes of `synth_kinetics`: landscapes, water and rooms, and small things that sway."""

import numpy as np

from .canvas import F, noise, triangle_wave
from .props import colour, mix

GRASS = dict(hue=(0.2, 0.36), saturation=(0.35, 0.8), value=(0.3, 0.7))
SNOW = dict(hue=(0.55, 0.62), saturation=(0.02, 0.12), value=(0.85, 1.0))
SAND = dict(hue=(0.07, 0.13), saturation=(0.2, 0.5), value=(0.6, 0.9))
ROAD = dict(hue=(0.5, 0.7), saturation=(0.0, 0.1), value=(0.3, 0.5))
SEA = dict(hue=(0.5, 0.64), saturation=(0.4, 0.85), value=(0.3, 0.75))


def sway(draw, amount, fastest=1.2):
    """A smooth random motion of a few centimetres to decimetres, as a function of the seconds."""
    waves = [(draw.uniform(0.3, 1.0) * amount / 2, draw.uniform(0.15, fastest), draw.uniform()) for _ in range(2)]
    return lambda t: sum(a * np.sin(2 * np.pi * (f * np.asarray(t) + p)) for a, f, p in waves)


class Landscape:
    """Sky with clouds over ground of a given kind, with trees or hills between."""

    def __init__(self, draw, ground=GRASS, horizon=(-0.35, 0.1), trees=0.6):
        self.horizon = draw.uniform(*horizon)
        self.ground = colour(draw, **ground)
        blue = draw.chance(0.7)
        self.top = colour(draw, (0.3, 0.8) if blue else (0.0, 0.15), (0.6, 0.95), hue=(0.54, 0.63))
        self.low = mix(self.top, (1.0, 0.95, 0.9), draw.uniform(0.3, 0.8))
        self.clouds = draw.uniform(0.0, 1.0)
        self.trees = draw.uniform(0.1, 0.45) if draw.chance(trees) else 0.0
        self.leaves = colour(draw, (0.3, 0.7), (0.15, 0.45), hue=(0.22, 0.45))
        self.shift = draw.uniform(0, 8)
        self.grain = draw.uniform(1.2, 2.6)

    def paint(self, canvas, t=None):
        """Paint the whole canvas; with `t` (seconds) the ground moves as water does."""
        if canvas.furnished:
            return
        x, y = canvas.world()
        flow = F(0) if t is None else (np.floor(np.asarray(t) * 4096) / 4096 * 0.12).astype(F)[:, None, None]
        grain = noise(x * F(self.grain) + flow + F(self.shift), y * F(self.grain * 2.5) - flow)
        rise = np.clip((y - F(self.horizon)) * F(0.7) + F(1), F(0), F(1))
        white = np.clip(noise(x * F(0.5) + F(self.shift), y * F(1.3)) * F(3) - F(2.2 - self.clouds), F(0), F(0.9))
        step = canvas.zoom.astype(F)[:, None, None] * F(canvas.size / 2)
        below = np.clip(F(0.5) + (y - F(self.horizon)) * step, F(0), F(1))
        shade = (F(0.65) + F(0.6) * grain) * np.clip(F(0.8) + (y - F(self.horizon)) * F(0.3), F(0.8), F(1.15))
        if self.trees:
            crown = noise(x * F(1.1) + F(self.shift), F(0.3)) + F(0.25) * noise(x * F(4.0), y * F(4.0))
            forest = np.clip(F(0.5) + (y - F(self.horizon) + crown * F(self.trees)) * step, F(0), F(1))
        for channel, top, low, leaf, ground in zip(
            canvas.image, self.top, self.low, self.leaves, self.ground, strict=True
        ):
            channel[:] = F(top) + rise * F(low - top)
            channel += white * (F(1) - channel)
            if self.trees:
                channel += forest * (F(leaf) * (F(0.6) + F(0.8) * grain) - channel)
            channel += below * (F(ground) * shade - channel)


class Wall:
    """An indoor wall over a floor, each plain, striped or boarded."""

    def __init__(self, draw, horizon=(0.2, 0.6), wall=None, floor=None):
        self.horizon = draw.uniform(*horizon)
        self.wall = wall or colour(draw, (0.03, 0.4), (0.4, 0.95))
        self.floor = floor or colour(draw, (0.2, 0.6), (0.3, 0.75), hue=(0.03, 0.14))
        self.stripes, self.pitch = draw.chance(0.4), draw.uniform(1.0, 2.5)
        self.shift = draw.uniform(0, 8)

    def paint(self, canvas):
        """Paint the whole canvas."""
        if canvas.furnished:
            return
        x, y = canvas.world()
        grain = noise(x * F(0.8) + F(self.shift), y * F(1.6))
        step = canvas.zoom.astype(F)[:, None, None] * F(canvas.size / 2)
        below = np.clip(F(0.5) + (y - F(self.horizon)) * step, F(0), F(1))
        shade = F(0.8) + F(0.35) * grain
        if self.stripes:
            shade += F(0.15) * np.floor(triangle_wave(x * F(self.pitch)) + F(0.5))
        for channel, wall, floor in zip(canvas.image, self.wall, self.floor, strict=True):
            channel[:] = F(wall) * shade
            channel += below * (F(floor) * (F(0.7) + F(0.5) * grain) - channel)


def fill_all(canvas, tint, low=0.7, high=0.6, freq=(1.5, 1.5), shift=0.0, t=None):
    """Fill the canvas with one colour shaded by noise (`low` + `high` x noise), flowing with `t` if given."""
    x, y = canvas.world()
    if canvas.furnished:
        return x, y
    flow = F(0) if t is None else (np.floor(np.asarray(t) * 4096) / 4096 * 0.15).astype(F)[:, None, None]
    shade = F(low) + F(high) * noise(x * F(freq[0]) + F(shift) + flow, y * F(freq[1]) - flow)
    for channel, value in zip(canvas.image, tint, strict=True):
        channel[:] = F(value) * shade
    return x, y
