"""Things to film: objects of many shapes and patterns, hands, containers, tables and rooms."""

import colorsys

import numpy as np

from .canvas import F, box, capsule, circle, ellipse, noise, triangle_wave, wedge

SKIN = ((0.96, 0.80, 0.69), (0.88, 0.67, 0.53), (0.78, 0.55, 0.40), (0.60, 0.40, 0.28), (0.42, 0.27, 0.19))


def colour(draw, saturation=(0.3, 0.95), value=(0.35, 1.0), unlike=(), hue=(0.0, 1.0)):
    """A random RGB colour at least 0.35 away (Euclidean) from each of `unlike`, if ten tries find one."""
    for _ in range(10):
        rgb = colorsys.hsv_to_rgb(draw.uniform(*hue), draw.uniform(*saturation), draw.uniform(*value))
        if all(sum((a - b) ** 2 for a, b in zip(rgb, other, strict=True)) > 0.12 for other in unlike):
            break
    return rgb


def mix(a, b, amount):
    """The colour between a and b."""
    return tuple(p + (q - p) * amount for p, q in zip(a, b, strict=True))


# ---- objects ----
# Each shape: (half width, half height, distance function, accents), in units where the object is about 1 high
# on each side of its centre. An accent is painted over the body in the second colour.


def _mug(u, v):
    handle = np.abs(circle(u, v, 0.38, 0.72, 0.05)) - F(0.1)
    return np.minimum(wedge(u, v, 0.7, 0.62, 0.8), handle)


def _bottle(u, v):
    return np.minimum(box(u, v, 0.38, 0.62, y=0.36, r=0.14), box(u, v, 0.15, 0.5, y=-0.5, r=0.05))


def _car(u, v):
    body = np.minimum(box(u, v, 1.0, 0.26, y=0.12, r=0.14), wedge(u, v - F(-0.28), 0.38, 0.62, 0.2))
    return np.minimum(body, np.minimum(circle(u, v, 0.23, -0.55, 0.34), circle(u, v, 0.23, 0.55, 0.34)))


def _star(u, v):
    k1, k2 = (0.80902, -0.58779), (-0.80902, -0.58779)
    u, v = np.abs(u), -v
    for kx, ky in (k1, k2):
        d = F(2) * np.maximum(F(kx) * u + F(ky) * v, F(0))
        u, v = u - d * F(kx), v - d * F(ky)
    u = np.abs(u)
    v = v - F(1.0)
    bx, by = 0.475 * 0.58779, 0.475 * 0.80902 - 1
    h = np.clip((u * F(bx) + v * F(by)) / F(bx * bx + by * by), F(0), F(1))
    eu, ev = u - h * F(bx), v - h * F(by)
    d = np.sqrt(eu * eu + ev * ev)
    return np.where(v * F(bx) - u * F(by) > 0, d, -d)


def _duck(u, v):
    body = np.minimum(ellipse(u, v, 0.9, 0.5, 0.0, 0.35), circle(u, v, 0.42, 0.45, -0.35))
    return np.minimum(body, capsule(u, v, -0.6, 0.2, -0.95, -0.15, 0.22, 0.08))


SHAPES = {
    "ball": (0.9, 0.9, lambda u, v: circle(u, v, 0.9), ()),
    "box": (0.8, 0.7, lambda u, v: box(u, v, 0.8, 0.7, r=0.08), (lambda u, v: box(u, v, 0.16, 0.72),)),
    "can": (0.52, 0.85, lambda u, v: box(u, v, 0.52, 0.85, r=0.16), (lambda u, v: box(u, v, 0.53, 0.4),)),
    "mug": (0.75, 0.8, _mug, (lambda u, v: ellipse(u, v, 0.6, 0.13, 0.0, -0.74),)),
    "bottle": (
        0.4,
        1.0,
        _bottle,
        (lambda u, v: box(u, v, 0.39, 0.24, y=0.4), lambda u, v: box(u, v, 0.17, 0.13, y=-0.9)),
    ),
    "book": (
        0.62,
        0.85,
        lambda u, v: box(u, v, 0.62, 0.85, r=0.05),
        (lambda u, v: box(u, v, 0.08, 0.86, x=-0.5), lambda u, v: box(u, v, 0.3, 0.14, x=0.1, y=-0.35)),
    ),
    "car": (
        1.0,
        0.57,
        _car,
        (
            lambda u, v: circle(u, v, 0.2, -0.55, 0.34),
            lambda u, v: circle(u, v, 0.2, 0.55, 0.34),
            lambda u, v: wedge(u, v - F(-0.28), 0.3, 0.45, 0.13),
        ),
    ),
    "star": (0.9, 0.95, _star, ()),
    "donut": (0.9, 0.9, lambda u, v: np.abs(circle(u, v, 0.6)) - F(0.3), ()),
    "bar": (
        1.05,
        0.24,
        lambda u, v: box(u, v, 1.05, 0.24, r=0.1),
        (lambda u, v: box(u, v, 0.2, 0.25, x=-0.8),),
    ),
    "duck": (
        0.95,
        0.85,
        _duck,
        (
            lambda u, v: capsule(u, v, 0.8, -0.3, 1.0, -0.25, 0.13, 0.06),
            lambda u, v: circle(u, v, 0.09, 0.55, -0.45),
        ),
    ),
    "pear": (
        0.66,
        0.95,
        lambda u, v: np.minimum(circle(u, v, 0.62, 0.0, 0.3), capsule(u, v, 0.0, 0.1, 0.06, -0.5, 0.5, 0.3)),
        (lambda u, v: capsule(u, v, 0.06, -0.75, 0.16, -1.0, 0.06),),
    ),
}
TALL = ("bottle", "can", "book", "pear")


class Thing:
    """An object: a shape, two colours and a pattern; `w` and `h` are its half sizes in world units."""

    def __init__(self, draw, size=(0.2, 0.3), shapes=None, unlike=()):
        self.kind = draw.pick(tuple(shapes or SHAPES))
        self.scale = draw.uniform(*size)
        self.flip = draw.sign()
        half_w, half_h, self.distance, self.accents = SHAPES[self.kind]
        self.w, self.h = half_w * self.scale, half_h * self.scale
        self.colour = colour(draw, unlike=unlike)
        self.second = colour(draw, unlike=(self.colour,))
        self.pattern = draw.pick(("plain", "plain", "stripes", "dots", "speckle"))
        self.pitch = draw.uniform(1.6, 2.6)
        self.tilt = draw.uniform(-0.7, 0.7)
        self.offset = draw.uniform(0, 8)

    def paint(self, canvas, x, y, size=1.0, angle=0.0, visible=1.0, shadow=0.0):
        """Paint it centred at (x, y), `size` times its own size; `shadow` darkens the ground under it."""
        if shadow:
            patch = canvas.local(x, np.asarray(y) + self.h * size, self.w * size * 1.25, radius=1.1)
            soft = np.clip(F(1) - (patch.u * patch.u + patch.v * patch.v * F(20)), F(0), F(1))
            patch.paint(soft * F(shadow), (0.05, 0.05, 0.08))
        patch = canvas.local(x, y, np.asarray(size) * self.scale, angle, radius=1.55, flip=self.flip)
        u, v = patch.u, patch.v
        body = self.distance(u, v)
        canvas.note("object", self, patch, body)
        shade = F(0.92) - F(0.28) * v - F(0.16 * self.flip) * u
        shade *= F(1) - F(0.45) * np.clip(F(1) + body * F(6), F(0), F(1))  # darker rim
        first, second = self.colour, self.second
        if self.pattern == "stripes":
            amount = np.clip(triangle_wave((u + v * F(self.tilt)) * F(self.pitch * 0.6)) * F(6) - F(3), F(0), F(1))
        elif self.pattern == "dots":
            du, dv = triangle_wave(u * F(self.pitch * 0.6)), triangle_wave(v * F(self.pitch * 0.6))
            amount = np.clip(F(2.2) - F(5) * (du * du + dv * dv), F(0), F(1))
        elif self.pattern == "speckle":
            amount = np.clip(noise(u * F(0.5) + F(self.offset), v * F(0.5)) * F(4) - F(1.6), F(0), F(1))
        else:
            amount = None
        if amount is None:
            fill = first
        else:
            fill = [F(a) + amount * F(b - a) for a, b in zip(first, second, strict=True)]
        patch.fill(body, [c * shade for c in map(_as_float, fill)], visible=visible)
        for accent in self.accents:
            patch.fill(np.maximum(accent(u, v), body), [F(c) * shade for c in self.second], visible=visible)
        if self.kind in ("ball", "pear", "donut"):
            glint = ellipse(u, v, 0.2, 0.14, -0.3 * self.flip, -0.42)
            patch.paint(patch.cover(np.maximum(glint, body)) * F(0.55), (1.0, 1.0, 1.0))


def _as_float(value):
    return F(value) if np.isscalar(value) else value


# ---- hands ----


class Hand:
    """A hand with forearm and sleeve: its finger tips are at (x, y), the arm leaves in direction `angle`.

    Angle 0: the arm goes down; positive turns clockwise on screen, so pi/2: the arm leaves to the left.
    """

    def __init__(self, draw, size=None):
        self.skin = draw.pick(SKIN)
        self.sleeve = colour(draw, unlike=(self.skin,))
        self.bare = draw.uniform(1.5, 3.2)  # length of the bare forearm
        self.size = draw.uniform(0.24, 0.3) if size is None else size
        self.flip = draw.sign()

    def paint(self, canvas, x, y, angle=0.0, open_=0.3, size=1.0, visible=1.0, pointing=False):
        """Paint it; `open_` spreads the fingers (0 closed, 1 flat), `pointing` stretches one only."""
        scale = np.asarray(size) * self.size
        arm = canvas.local(x, y, scale, angle, radius=14.0, flip=self.flip)
        width = F(0.27) + F(0.05) * np.minimum(arm.v, F(5))
        length = np.maximum(F(1.0) - arm.v, arm.v - F(13))
        limb = np.maximum(np.abs(arm.u) - width, length)
        shade = F(1.08) - F(0.75) * np.abs(arm.u + F(0.1))
        arm.fill(limb, self.skin, shade, visible)
        arm.fill(
            np.maximum(np.abs(arm.u) - width - F(0.12), F(self.bare) - arm.v),
            self.sleeve,
            F(1.05) - F(0.6) * np.abs(arm.u + F(0.12)),
            visible,
        )
        patch = canvas.local(x, y, scale, angle, radius=2.0, flip=self.flip)
        u, v = patch.u, patch.v
        shape = ellipse(u, v, 0.42, 0.45, 0.0, 0.9)
        open_ = np.asarray(open_, np.float64)
        for k in range(4):
            spread = (k - 1.5) * (0.2 + 0.14 * open_)
            tip = 0.08 + 0.1 * abs(k - 1.5) + (0.35 if pointing and k != 1 else 0.0) - 0.1 * open_
            reach = 0.5 if pointing and k != 1 else 0.0
            shape = np.minimum(shape, capsule(u, v, (k - 1.5) * 0.21, 0.78, spread, tip + reach, 0.13, 0.1))
        shape = np.minimum(shape, capsule(u, v, 0.3, 1.0, 0.5 + 0.25 * open_, 0.45 - 0.1 * open_, 0.16, 0.11))
        canvas.note("hand", self, patch, shape)
        shade = F(0.72) + F(2.6) * np.clip(-shape, F(0), F(0.14))
        patch.fill(shape, self.skin, shade, visible)


# ---- rooms ----


class Room:
    """A table in front of a wall (or only a table, seen from above) with texture, pictures and clutter."""

    def __init__(self, draw, horizon=None, wide=False):
        self.above = horizon is None and draw.chance(0.3)
        self.horizon = -9.0 if self.above else draw.uniform(-0.45, 0.05) if horizon is None else horizon
        self.wall = colour(draw, (0.03, 0.35), (0.45, 0.95))
        self.kind = draw.pick(("wood", "wood", "cloth", "tiles", "stone"))
        warm = self.kind == "wood" or draw.chance(0.3)
        self.table = colour(draw, (0.1, 0.5), (0.3, 0.85), (self.wall,), (0.03, 0.13) if warm else (0.0, 1.0))
        self.paper = draw.pick(("plain", "stripes", "bricks", "stone"))
        self.pitch = draw.uniform(1.5, 3.0)
        self.shift = draw.uniform(0, 8), draw.uniform(0, 8)
        self.light = draw.uniform(0.85, 1.1), draw.uniform(-0.12, 0.12)
        reach = 2.6 if wide else 1.1
        count = 9 if wide else draw.pick((0, 1, 2, 3))
        self.pictures = [
            (
                draw.uniform(-reach, reach),
                self.horizon - draw.uniform(0.3, reach * 0.9 if wide else 0.8),
                draw.uniform(0.1, 0.3),
                draw.uniform(0.1, 0.25),
                colour(draw),
                colour(draw),
            )
            for _ in range(0 if self.above else count)
        ]

    @property
    def colours(self):
        """What objects should not look like."""
        return self.wall, self.table

    def paint(self, canvas):
        """Paint the whole canvas."""
        if canvas.furnished:
            return
        x, y = canvas.world()
        grain = noise(
            x * F(0.9 if self.kind == "wood" else 1.7) + F(self.shift[0]),
            y * F(5.0 if self.kind == "wood" else 1.7) + F(self.shift[1]),
        )
        shade = F(0.72) + F(0.5) * grain
        if self.kind == "tiles":
            shade *= F(1) - F(0.35) * _grout(x * F(self.pitch)) * np.ones_like(grain)
            shade *= F(1) - F(0.35) * _grout(y * F(self.pitch * 1.4))
        elif self.kind == "cloth":
            shade += F(0.22) * np.floor(triangle_wave(x * F(self.pitch)) + F(0.5))
            shade -= F(0.18) * np.floor(triangle_wave(y * F(self.pitch)) + F(0.5))
        table = shade
        if not self.above:
            wall = F(0.82) + F(0.3) * grain
            if self.paper == "stripes":
                wall += F(0.2) * np.floor(triangle_wave(x * F(self.pitch)) + F(0.5))
            elif self.paper == "bricks":
                row = np.floor(y * F(self.pitch * 2))
                wall *= F(1) - F(0.3) * _grout(x * F(self.pitch) + row * F(0.5))
                wall *= F(1) - F(0.3) * _grout(y * F(self.pitch * 2))
            edge = F(0.5) - (y - F(self.horizon)) * (canvas.zoom.astype(F)[:, None, None] * F(canvas.size / 2))
            above = np.clip(edge, F(0), F(1))
            table *= np.clip(F(0.72) + (y - F(self.horizon)) * F(0.6), F(0.7), F(1))  # darker at the back
        light = F(self.light[0]) + F(self.light[1]) * x
        for channel, w, t in zip(canvas.image, self.wall, self.table, strict=True):
            channel[:] = F(t) * table
            if not self.above:
                channel += above * (F(w) * wall - channel)
            channel *= light
        for px, py, a, b, frame, inner in self.pictures:
            patch = canvas.local(px, py, 1.0, radius=max(a, b) * 1.5)
            clip = patch.v - F(self.horizon - py)  # nothing below the wall
            patch.fill(np.maximum(box(patch.u, patch.v, a, b), clip), frame)
            patch.fill(np.maximum(box(patch.u, patch.v, a * 0.8, b * 0.75), clip), inner, F(0.9) - patch.v)


def _grout(x):
    """Thin lines at whole numbers, 1 on the line and 0 between."""
    return np.clip(F(1) - F(10) * np.abs(x - np.floor(x + F(0.5))), F(0), F(1))
