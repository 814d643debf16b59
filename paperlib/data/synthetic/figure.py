"""An articulated human figure: limbs of human proportions, posed by the directions of its segments."""

import numpy as np

from .canvas import F, capsule, circle, column, ellipse
from .props import SKIN, colour

# Segment lengths as fractions of the body height (Winter, Biomechanics and Motor Control of Human Movement).
THIGH, SHANK, FOOT, TORSO, UPPER, FORE, HAND = 0.245, 0.246, 0.11, 0.288, 0.186, 0.146, 0.07
NECK, HEAD = 0.05, 0.072
LEG = THIGH + SHANK


class Pose:
    """Directions of the segments in radians, numbers or arrays `[n]`.

    `torso` is measured from straight up, everything else from straight down, positive towards the
    side the figure faces. Limbs are pairs (near, far). `fold` shortens the forearms (they point at the
    camera), `width` sets the shoulders apart (0 seen from the side, 1 from the front).
    """

    def __init__(
        self,
        torso=0.0,
        thigh=(0.0, 0.0),
        shank=(0.0, 0.0),
        upper=(0.0, 0.0),
        fore=(0.0, 0.0),
        fold=(1.0, 1.0),
        width=0.0,
    ):
        self.torso, self.thigh, self.shank = torso, thigh, shank
        self.upper, self.fore, self.fold, self.width = upper, fore, fold, width


class Figure:
    """Clothes, skin, hair and build of one person; `height` is the standing height in world units."""

    def __init__(self, draw, height, clothes=None):
        self.height = height
        self.build = draw.uniform(0.85, 1.2)
        self.leg, self.arm = draw.uniform(0.96, 1.05), draw.uniform(0.95, 1.05)
        self.skin, self.hair = draw.pick(SKIN), colour(draw, (0.1, 0.7), (0.05, 0.6), hue=(0.04, 0.12))
        self.shirt = colour(draw) if clothes is None else clothes[0]
        self.trousers = colour(draw, (0.1, 0.7), (0.1, 0.6)) if clothes is None else clothes[1]
        self.shoes = colour(draw, (0.0, 0.5), (0.1, 0.9))
        self.sleeves, self.shorts = draw.chance(0.5), draw.chance(0.35)

    def joints(self, pose):
        """Positions (x, y) of all joints in body heights, the hip at the origin, y down."""

        def step(start, angle, length):
            return start[0] + np.sin(angle) * length, start[1] + np.cos(angle) * length

        found = {"hip": (0.0, 0.0)}
        up = pose.torso + np.pi
        found["neck"] = neck = step((0.0, 0.0), -up, TORSO)
        found["head"] = step(neck, -up, NECK + HEAD)
        for k, side in enumerate((1, -1)):
            hip = side * (0.012 + 0.048 * pose.width), 0.0
            found["knee", k] = knee = step(hip, pose.thigh[k], THIGH * self.leg)
            found["ankle", k] = step(knee, pose.shank[k], SHANK * self.leg)
            shoulder = neck[0] + side * (0.01 + 0.1 * pose.width), neck[1] + 0.025
            found["elbow", k] = elbow = step(shoulder, pose.upper[k], UPPER * self.arm)
            found["wrist", k] = step(elbow, pose.fore[k], FORE * self.arm * np.asarray(pose.fold[k]))
            found["hip", k], found["shoulder", k] = hip, shoulder
        return found

    def paint(self, canvas, x, y, pose, facing=1, size=1.0, light=1.0):
        """Paint it with its hip at (x, y), facing right (1) or left (-1)."""
        scale = self.height * np.asarray(size, np.float64)
        patch = canvas.local(x, y, scale, radius=0.85, flip=facing)
        at = self.joints(pose)
        legs = [self._leg(patch, at, pose, k) for k in (0, 1)]
        arms = [self._arm(patch, at, pose, k) for k in (0, 1)]
        if canvas.record is not None:
            self._note(canvas, patch, at, [distance for parts in (*legs, *arms) for distance, _ in parts])
        far = 0.78 * light
        for parts, shade in ((arms[1] if pose.width < 0.5 else (), far), (legs[1], far), (legs[0], light)):
            self._fill(patch, parts, shade)
        self._body(patch, at, pose, light)
        if pose.width >= 0.5:
            self._fill(patch, arms[1], light)
        self._fill(patch, arms[0], light)

    def _note(self, canvas, patch, at, limbs):
        """Take down where the whole person and the hands are."""
        u, v = patch.u, patch.v
        (nx, ny), (hx, hy) = at["neck"], at["head"]
        whole = [capsule(u, v, nx, ny, 0.0, 0.0, 0.06 * self.build), circle(u - column(hx), v - column(hy), 0.064)]
        canvas.note("person", self, patch, np.minimum.reduce([*limbs, *whole]))
        for k in (0, 1):
            wx, wy = (column(a) for a in at["wrist", k])
            canvas.note("hand", (self, k), patch, circle(u - wx, v - wy, 0.03), at["wrist", k])

    def _leg(self, patch, at, pose, k):
        """The (distance, colour) parts of leg k."""
        u, v, b = patch.u, patch.v, self.build
        thigh = capsule(u, v, *at["hip", k], *at["knee", k], 0.055 * b, 0.04 * b)
        shank = capsule(u, v, *at["knee", k], *at["ankle", k], 0.038 * b, 0.026 * b)
        ax, ay = at["ankle", k]
        turn = np.asarray(pose.shank[k]) * 0.7
        length = FOOT * (1 - 0.6 * pose.width) * 0.8
        sideways = pose.width * (1 if k == 0 else -1) * 0.04
        foot = capsule(
            u,
            v,
            ax,
            ay + 0.012,
            ax + np.cos(turn) * length * (1 - pose.width) + sideways,
            ay + 0.02 - np.sin(turn) * length,
            0.026 * b,
            0.018 * b,
        )
        if self.shorts:
            return ((shank, self.skin), (foot, self.shoes), (thigh, self.trousers))
        return ((foot, self.shoes), (np.minimum(thigh, shank), self.trousers))

    def _arm(self, patch, at, pose, k):
        """The (distance, colour) parts of arm k."""
        u, v, b = patch.u, patch.v, self.build
        upper = capsule(u, v, *at["shoulder", k], *at["elbow", k], 0.034 * b, 0.027 * b)
        fore = capsule(u, v, *at["elbow", k], *at["wrist", k], 0.026 * b, 0.02 * b)
        wx, wy = at["wrist", k]
        reach = 0.55 * HAND
        hand = capsule(u, v, wx, wy, wx + np.sin(pose.fore[k]) * reach, wy + np.cos(pose.fore[k]) * reach, 0.026, 0.022)
        if self.sleeves:
            return ((hand, self.skin), (np.minimum(upper, fore), self.shirt))
        return ((np.minimum(fore, hand), self.skin), (upper, self.shirt))

    def _body(self, patch, at, pose, light):
        """Paint torso, neck, head and hair."""
        u, v, b = patch.u, patch.v, self.build
        nx, ny = at["neck"]
        hx, hy = at["head"]
        half = 0.03 + 0.05 * pose.width  # half distance between the shoulders' and the hips' two lobes
        neck = capsule(u, v, nx, ny, hx, hy, 0.026 * b)
        self._fill(patch, ((neck, self.skin),), 0.9 * light)
        torso = np.minimum(
            capsule(u, v, nx - half, ny + 0.055, 0.0 - half * 0.7, 0.0, 0.062 * b, 0.054 * b),
            capsule(u, v, nx + half, ny + 0.055, 0.0 + half * 0.7, 0.0, 0.062 * b, 0.054 * b),
        )
        torso = np.minimum(torso, capsule(u, v, nx, ny + 0.06, 0.0, 0.0, 0.06 * b, 0.055 * b))
        self._fill(patch, ((torso, self.shirt),), light)
        du, dv = u - column(hx), v - column(hy)
        self._fill(patch, ((ellipse(du, dv, 0.058, 0.075), self.skin),), light)
        hair = np.maximum(
            ellipse(du, dv, 0.064, 0.08, -0.012 * (1 - pose.width), -0.006),
            -circle(du, dv, 0.075, 0.055 * (1 - pose.width), 0.055 + 0.01 * pose.width),
        )
        self._fill(patch, ((hair, self.hair),), light)

    @staticmethod
    def _fill(patch, parts, light):
        for distance, tint in parts:
            shade = F(0.7 * light) + F(9.0 * light) * np.clip(-distance, F(0), F(0.04))
            patch.fill(distance, tint, shade)
