"""How people walk, jog, run, box, wave and clap: joint angles over time, with the foot on the ground.

The leg angles follow the textbook curves of gait analysis: the thigh swings once a stride, the knee bends a
little when the leg takes the load and a lot when it swings forward. Walking always has a foot on the ground;
jogging and running have flight phases, in which the hip follows its own arc.
"""

import numpy as np

from .canvas import quantise
from .figure import LEG, SHANK, THIGH, Pose

SOLE = 0.04  # from the ankle to the ground, in body heights
GRID = 64  # phases in which one stride is measured

# thigh: mean and swing; knee: bend under load and in swing; elbow: bend and its swing; strides per second;
# share of the stride in flight; how far the hip rises in flight (body heights)
GAITS = {
    "walking": dict(
        thigh=(0.08, 0.42),
        load=0.25,
        swing=1.05,
        arm=0.42,
        elbow=(0.25, 0.15),
        lean=0.03,
        strides=0.95,
        flight=0.0,
        rise=0.0,
    ),
    "jogging": dict(
        thigh=(0.22, 0.52),
        load=0.55,
        swing=1.6,
        arm=0.5,
        elbow=(1.4, 0.15),
        lean=0.12,
        strides=1.3,
        flight=0.15,
        rise=0.02,
    ),
    "running": dict(
        thigh=(0.32, 0.78),
        load=0.55,
        swing=2.05,
        arm=0.95,
        elbow=(1.6, 0.25),
        lean=0.26,
        strides=1.5,
        flight=0.35,
        rise=0.035,
    ),
}


def bump(phase, at, width):
    """A smooth bump of height 1 at one phase of the cycle."""
    d = phase - at
    d = d - np.floor(d + 0.5)
    return np.exp(-((d / width) ** 2))


class Gait:
    """One person's walk, jog or run; phases are counted in strides, the near heel strikes at integers."""

    def __init__(self, draw, action, leg=1.0):
        style = {k: v if isinstance(v, tuple) else v * draw.uniform(0.88, 1.12) for k, v in GAITS[action].items()}
        mean, swing = style["thigh"]
        self.thigh_mean, self.thigh_swing = mean + draw.uniform(-0.04, 0.04), swing * draw.uniform(0.9, 1.1)
        self.load, self.swing, self.arm = style["load"], style["swing"], style["arm"] * draw.uniform(0.8, 1.2)
        self.elbow, self.lean, self.strides = style["elbow"], style["lean"], style["strides"]
        self.rise, self.leg = style["rise"], leg
        phases = np.arange(GRID) / GRID
        feet = [self._ankle(phases + shift) for shift in (0.0, 0.5)]
        low = np.maximum(feet[0][1], feet[1][1])
        arc = quantise(self.rise * np.cos(4 * np.pi * (phases - phases[np.argmin(low)])))
        excess = np.sort(low - arc)  # the arc is lifted until it clears the feet for the wanted share of the stride
        lift = excess[min(int(GRID * min(style["flight"], 0.9)), GRID - 1)]
        self.height = np.maximum(low, arc + lift) if self.rise else low
        # a stride's length: the standing foot must not slide while it carries the body
        first, last = (self._ankle(np.array(at))[0] for at in (0.03 + style["flight"] / 4, 0.47 - style["flight"] / 4))
        self.stride = float(quantise((first - last) / (0.44 - style["flight"] / 2)))  # body heights per stride

    def _leg(self, phase):
        """Thigh and shank directions."""
        thigh = self.thigh_mean + self.thigh_swing * np.cos(2 * np.pi * (phase + 0.04))
        knee = 0.06 + self.load * bump(phase, 0.14, 0.12) + self.swing * bump(phase, 0.72, 0.16)
        return thigh, thigh - knee

    def _ankle(self, phase):
        """Ankle position relative to the hip, in body heights."""
        thigh, shank = self._leg(phase)
        return (
            quantise(self.leg * (THIGH * np.sin(thigh) + SHANK * np.sin(shank))),
            quantise(self.leg * (THIGH * np.cos(thigh) + SHANK * np.cos(shank))),
        )

    def hip(self, phase):
        """Height of the hip above the ground, in body heights."""
        return (
            np.interp(phase - np.floor(phase), np.arange(GRID + 1) / GRID, np.append(self.height, self.height[0]))
            + SOLE
        )

    def pose(self, phase):
        """The figure's pose."""
        legs = [self._leg(phase + shift) for shift in (0.0, 0.5)]
        swing = [-self.arm * np.cos(2 * np.pi * (phase + shift + 0.04)) for shift in (0.0, 0.5)]
        upper = [s - 0.08 for s in swing]
        fore = [u + self.elbow[0] + self.elbow[1] * s / max(self.arm, 0.1) for u, s in zip(upper, swing, strict=True)]
        lean = self.lean + 0.02 * np.cos(4 * np.pi * phase)
        return Pose(lean, [a for a, _ in legs], [b for _, b in legs], upper, fore)


class Standing:
    """Boxing, waving or clapping on the spot; phases are counted in repetitions."""

    def __init__(self, draw, action, leg=1.0):
        self.action, self.leg = action, leg
        self.strides = draw.uniform(
            *{"boxing": (0.9, 1.5), "handwaving": (0.6, 1.1), "handclapping": (0.9, 1.7)}[action]
        )
        self.low, self.high = draw.uniform(0.5, 0.9), draw.uniform(2.5, 2.9)
        self.bend, self.reach = draw.uniform(0.1, 0.4), draw.uniform(0.85, 1.1)
        self.apart, self.fold = draw.uniform(-3.3, -2.7), draw.uniform(0.7, 0.9)
        self.stance, self.bob = draw.uniform(0.12, 0.28), draw.uniform(0.004, 0.012)
        self.lean, self.guard = draw.uniform(0.02, 0.14), draw.uniform(2.2, 2.7)

    def hip(self, phase):
        """Height of the hip above the ground, in body heights."""
        bounce = 2.0 if self.action == "boxing" else 1.0
        spread = self.stance if self.action == "boxing" else 0.06
        return LEG * self.leg * np.cos(spread) + SOLE - 0.004 - self.bob * (1 + np.cos(2 * np.pi * bounce * phase))

    def pose(self, phase):
        """The figure's pose."""
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
        if self.action == "boxing":
            hits = wave**2, (1 - wave) ** 2
            upper = [0.35 + self.reach * h for h in hits]
            fore = [self.guard - (self.guard - 1.55) * h for h in hits]
            bent = 0.1 + 4 * self.bob * (1 + np.cos(4 * np.pi * phase))
            return Pose(
                self.lean + 0.05 * hits[0],
                (self.stance + bent, -self.stance),
                (self.stance - bent, -self.stance - bent),
                upper,
                fore,
                width=0.3,
            )
        legs = dict(thigh=(0.06, -0.06), shank=(0.05, -0.05), width=1.0)
        if self.action == "handwaving":
            lift = self.low + (self.high - self.low) * wave
            fore = lift + self.bend * np.cos(2 * np.pi * (phase + 0.1))
            return Pose(0.0, upper=(lift, -lift), fore=(fore, -fore), **legs)
        out = 0.3 + 0.35 * wave
        fore = -1.85 + (self.apart + 1.85) * wave
        return Pose(0.0, upper=(out, -out), fore=(fore, -fore), fold=(self.fold, self.fold), **legs)
