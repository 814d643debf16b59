"""What every tabletop video has besides its action: room, clutter, hand-held camera, onset and pace."""

import numpy as np

from .canvas import quantise
from .props import Room, Thing


def smooth(x):
    """Ease from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def between(x, low, high):
    """Progress of x from `low` to `high`, eased, in [0, 1]."""
    return smooth((np.asarray(x) - low) / (high - low))


class Stage:
    """Room, clutter and camera of one video; `p(u)` is the action's progress at fraction u of the video."""

    def __init__(self, draw, horizon=None, wide=False):
        self.room = Room(draw, horizon, wide)
        top = max(self.room.horizon, -0.9)
        reach = 2.4 if wide else 1.0
        self.clutter = []
        for _ in range(draw.pick((6, 8, 10) if wide else (0, 1, 2, 3))):
            thing = Thing(draw, (0.1, 0.2))
            self.clutter.append(
                (
                    draw.uniform(-reach, reach),
                    top + draw.uniform(0.0, 2.2 if wide else 0.3),
                    thing,
                    draw.uniform(-0.5, 0.5) if self.room.above else 0.0,
                )
            )
        self.clutter.sort(key=lambda item: item[1])
        self.start, self.stop = draw.uniform(0.03, 0.25), draw.uniform(0.72, 0.97)
        self.shake = [(draw.uniform(0.004, 0.02), draw.uniform(0.3, 1.2), draw.uniform(0, 1)) for _ in range(4)]
        self.drift = draw.uniform(-0.08, 0.08), draw.uniform(-0.08, 0.08), draw.uniform(0.95, 1.08)
        self.flicker = draw.uniform(0, 0.04), draw.uniform(0.3, 1.5)
        self.camera = None  # function of u -> (x, y, zoom), for the classes about the camera

    def p(self, u):
        """Progress of the action: 0 before its onset, 1 after its end."""
        return between(u, self.start, self.stop)

    def view(self, u, seconds):
        """Centre and zoom of the hand-held camera, `[n]` each."""
        sway = [sum(a * np.sin(2 * np.pi * (f * seconds + p)) for a, f, p in self.shake[k : k + 2]) for k in (0, 2)]
        x, y, zoom = self.drift[0] * (u - 0.5) + sway[0], self.drift[1] * (u - 0.5) + sway[1], self.drift[2]
        if self.camera is not None:
            px, py, pz = self.camera(u)
            x, y, zoom = x + px, y + py, zoom * pz
        return quantise(x), quantise(y), quantise(zoom * np.ones_like(u))

    def paint(self, canvas, seconds):
        """Paint room and clutter, everything behind the action."""
        self.room.paint(canvas)
        canvas.image *= canvas.per_frame(1 + self.flicker[0] * np.sin(2 * np.pi * self.flicker[1] * seconds)).astype(
            np.float32
        )[None, :, None, None]
        for x, y, thing, angle in self.clutter:
            thing.paint(canvas, x, y - thing.h, angle=angle, shadow=0.35)

    def thing(self, draw, size=(0.2, 0.29), shapes=None):
        """An object that stands out from the room."""
        return Thing(draw, size, shapes, unlike=self.room.colours)
