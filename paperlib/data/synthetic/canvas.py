"""A stack of frames to paint on with signed-distance shapes, identical on every machine.

Pixels are touched only by operations that IEEE 754 rounds correctly (+ - * / sqrt floor min max), each in one
numpy call, so no library version or instruction set can change a bit. Sines and cosines are taken per frame
in float64 and rounded to a multiple of 2**-16 before any pixel sees them.
"""

import contextlib
import math

import numpy as np

F = np.float32


def quantise(x):
    """Round to a multiple of 2**-16, so that a last-bit difference between maths libraries vanishes."""
    return np.floor(np.asarray(x, np.float64) * 65536 + 0.5) / 65536


def column(value):
    """A number or `[n]` array, one per frame, as quantised float32 that broadcasts over `[n, h, w]`."""
    value = quantise(value).astype(F)
    return value.reshape(-1, 1, 1) if value.ndim else value[()]


class Draw:
    """The random numbers of one video: a frozen stream (`RandomState`), quantised."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)
        self.pool = iter(())

    def uniform(self, low=0.0, high=1.0):
        """Return one float in [low, high)."""
        value = next(self.pool, None)
        if value is None:
            self.pool = iter(self.state.random_sample(128).tolist())
            value = next(self.pool)
        return math.floor((low + (high - low) * value) * 65536) / 65536

    def pick(self, options):
        """Return one of the options."""
        return options[int(self.uniform(0, len(options)))]

    def sign(self):
        """Return -1 or 1."""
        return self.pick((-1, 1))

    def chance(self, p):
        """Return True with probability p."""
        return self.uniform() < p


class Canvas:
    """`n` square frames; world coordinates are x right, y down, with [-1, 1]^2 in view at zoom 1.

    A grey canvas has one channel and takes every colour's luminance. `furnished` says that a backdrop is there
    already: scenes then leave out their own. `record` (see `planted`) takes down where things are painted, as `role`.
    """

    furnished, record, role, rows = False, None, "", None

    def __init__(self, n, size, centre_x=0.0, centre_y=0.0, zoom=1.0, grey=False):
        self.n, self.size = n, size
        self.image = np.empty((1 if grey else 3, n, size, size), F)
        self.grid = (np.arange(size, dtype=np.float64) * 2 + 1) / size - 1
        self.centre_x, self.centre_y, self.zoom = (self.per_frame(a) for a in (centre_x, centre_y, zoom))

    def per_frame(self, value):
        """Broadcast a number or `[n]` array to a quantised float64 `[n]` array."""
        return quantise(np.broadcast_to(np.asarray(value, np.float64), (self.n,)))

    def world(self):
        """World coordinates of the pixels: x `[n, 1, W]` and y `[n, H, 1]`."""
        x = self.grid[None, :] / self.zoom[:, None] + self.centre_x[:, None]
        y = self.grid[None, :] / self.zoom[:, None] + self.centre_y[:, None]
        return x.astype(F)[:, None, :], y.astype(F)[:, :, None]

    def local(self, x, y, scale=1.0, angle=0.0, radius=1.5, flip=1):
        """A patch in the coordinates of something at (x, y), `scale` world units big, turned by `angle`.

        `radius` bounds what will be painted, in local units; `flip=-1` mirrors it left to right.
        """
        x, y, scale, angle = (self.per_frame(a) for a in (x, y, scale, angle))
        unit = scale * self.zoom
        sx, sy = (x - self.centre_x) * self.zoom, (y - self.centre_y) * self.zoom  # on screen
        reach = np.abs(unit) * radius + 2.0 / self.size
        xs, ys = (self._span(c - reach, c + reach) for c in (sx, sy))
        cos, sin = quantise(np.cos(angle)) / unit, quantise(np.sin(angle)) / unit
        gx = self.grid[xs][None, :] - sx[:, None]
        gy = self.grid[ys][None, :] - sy[:, None]
        ucol, urow = (cos[:, None] * gx * flip).astype(F), (sin[:, None] * gy * flip).astype(F)
        vcol, vrow = (-sin[:, None] * gx).astype(F), (cos[:, None] * gy).astype(F)
        u = ucol[:, None, :] + urow[:, :, None]
        v = vcol[:, None, :] + vrow[:, :, None]
        pixel = (2.0 / self.size / np.abs(unit)).astype(F)[:, None, None]
        patch = Patch(self.image[:, :, ys, xs], u, v, pixel)
        patch.corner = xs.start, ys.start
        if self.record is not None:
            patch.place = lambda pu, pv: (
                sx + unit * unit * (cos * pu * flip - sin * pv),
                sy + unit * unit * (sin * pu * flip + cos * pv),
            )
        return patch

    @contextlib.contextmanager
    def part(self, rows, x=0.0, y=0.0, scale=1.0, role=None):
        """Give a canvas of the frames `rows` only, and put what was painted on it back.

        What is painted on it comes out moved by (x, y) and `scale` times as large, numbers or arrays, one per row.
        """
        part = Canvas.__new__(Canvas)
        part.n, part.size, part.grid = len(rows), self.size, self.grid
        part.image = np.ascontiguousarray(self.image[:, rows])
        part.centre_x = part.per_frame((self.centre_x[rows] - x) / scale)
        part.centre_y = part.per_frame((self.centre_y[rows] - y) / scale)
        part.zoom = part.per_frame(self.zoom[rows] * scale)
        part.furnished, part.record, part.role = self.furnished, self.record, role or self.role
        part.rows = rows if self.rows is None else self.rows[rows]
        yield part
        self.image[:, rows] = part.image

    def note(self, kind, owner, patch, distance, at=(0.0, 0.0)):
        """Take down where `owner`, painted on a patch as the shape given by `distance`, is: see `planted.Record`.

        `at` is its position in the patch's coordinates.
        """
        if self.record is not None:
            rows = np.arange(self.n) if self.rows is None else self.rows
            self.record.note(f"{self.role}{kind}", owner, rows, patch, distance, at)

    def _span(self, low, high):
        """Pixel slice that holds [low, high] of every frame, in screen coordinates."""
        first = int(np.floor((low.min() + 1) / 2 * self.size))
        last = int(np.ceil((high.max() + 1) / 2 * self.size))
        first = min(max(first, 0), self.size)
        return slice(first, min(max(last, first), self.size))

    def frames(self):
        """The finished frames, uint8 `[n, H, W, 3]`."""
        pixels = np.floor(np.clip(self.image, 0, 1) * F(255) + F(0.5)).astype(np.uint8)
        pixels = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
        return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


class Patch:
    """A window of a canvas: its pixels `[3, n, h, w]` and their local coordinates `u`, `v` `[n, h, w]`.

    `corner` is the canvas's pixel (x, y) it starts at. Where a truth is recorded, `place(u, v)` says where a point is
    on screen, `[n]` each.
    """

    def __init__(self, image, u, v, pixel):
        self.image, self.u, self.v, self.pixel = image, u, v, pixel

    def cover(self, distance):
        """Coverage in [0, 1] of a shape given by its signed distance (negative inside), one pixel soft."""
        return np.clip(F(0.5) - distance / self.pixel, F(0), F(1))

    def paint(self, alpha, colour):
        """Blend a colour, three numbers or arrays `[n, h, w]`, over the pixels."""
        for channel, value in zip(self.image, self.tones(colour), strict=True):
            channel += alpha * ((F(value) if np.isscalar(value) else value) - channel)

    def fill(self, distance, colour, shade=None, visible=1.0):
        """Paint a shape in one colour times an optional shade `[n, h, w]`; `visible` is opacity per frame."""
        alpha = self.cover(distance)
        if np.ndim(visible) or visible != 1.0:
            alpha = alpha * column(visible)
        if shade is not None:
            colour = [F(c) * shade for c in self.tones(colour)]
        self.paint(alpha, colour)

    def tones(self, colour):
        """The colour's values in the canvas's channels: its luminance where the canvas is grey."""
        if len(self.image) == 1 and len(colour) == 3:
            red, green, blue = colour
            return (red * F(0.299) + green * F(0.587) + blue * F(0.114),)
        return colour


# ---- signed distances (negative inside), in local units ----


def circle(u, v, radius, x=0.0, y=0.0):
    """Distance to a disc around (x, y)."""
    du, dv = u - F(x), v - F(y)
    return np.sqrt(du * du + dv * dv) - F(radius)


def ellipse(u, v, a, b, x=0.0, y=0.0):
    """Approximate distance to an ellipse with half axes a, b."""
    du, dv = (u - F(x)) * F(1 / a), (v - F(y)) * F(1 / b)
    return (np.sqrt(du * du + dv * dv) - F(1)) * F(min(a, b))


def box(u, v, a, b, x=0.0, y=0.0, r=0.0):
    """Distance to a box with half sides a, b and corners rounded by r."""
    qu, qv = np.abs(u - F(x)) - F(a - r), np.abs(v - F(y)) - F(b - r)
    if not r:
        return np.maximum(qu, qv)
    pu, pv = np.maximum(qu, F(0)), np.maximum(qv, F(0))
    return np.sqrt(pu * pu + pv * pv) + np.minimum(np.maximum(qu, qv), F(0)) - F(r)


def capsule(u, v, x0, y0, x1, y1, r0, r1=None):
    """Distance to a limb from (x0, y0) to (x1, y1), radius r0 at the start and r1 at the end.

    The end points may be arrays `[n]`, one per frame.
    """
    x0, y0, x1, y1 = (column(a) for a in (x0, y0, x1, y1))
    dx, dy = x1 - x0, y1 - y0
    norm = np.maximum(dx * dx + dy * dy, F(1e-6))
    pu, pv = u - x0, v - y0
    along = np.clip(pu * (dx / norm) + pv * (dy / norm), F(0), F(1))
    eu, ev = pu - along * dx, pv - along * dy
    radius = F(r0) if r1 is None else F(r0) + along * F(r1 - r0)
    return np.sqrt(eu * eu + ev * ev) - radius


def wedge(u, v, top, bottom, height, y=0.0):
    """Distance to a trapezoid of half widths `top` and `bottom` and half height `height`."""
    dv = v - F(y)
    slope = (bottom - top) / (2 * height)
    norm = 1 / math.sqrt(1 + slope * slope)
    side = (np.abs(u) - (F((top + bottom) / 2) + dv * F(slope))) * F(norm)
    return np.maximum(side, np.abs(dv) - F(height))


def polygon(u, v, points):
    """Distance to a convex polygon given by its corners, clockwise on screen."""
    distance = None
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        dx, dy = x1 - x0, y1 - y0
        length = math.sqrt(dx * dx + dy * dy)
        side = (u - F(x0)) * F(dy / length) - (v - F(y0)) * F(dx / length)
        distance = side if distance is None else np.maximum(distance, side)
    return distance


def triangle_wave(x):
    """Period-1 wave between 0 and 1, the machine-independent stand-in for a sine."""
    return np.abs((x - np.floor(x)) * F(2) - F(1))


# ---- smooth noise ----

TILE = 256


def _tile():
    """A tileable 256 x 256 multi-octave noise image in [0, 1]."""
    state = np.random.RandomState(20)
    total = np.zeros((TILE, TILE))
    for cells, weight in ((8, 0.4), (16, 0.25), (32, 0.2), (64, 0.1), (128, 0.05)):
        lattice = np.floor(state.random_sample((cells, cells)) * 256) / 255
        at = np.arange(TILE) * cells / TILE
        i = at.astype(int)
        f = at - i
        f = f * f * (3 - 2 * f)
        j = (i + 1) % cells
        rows = lattice[i] + f[:, None] * (lattice[j] - lattice[i])
        total += weight * (rows[:, i] + f[None, :] * (rows[:, j] - rows[:, i]))
    return (total - total.min()) / (total.max() - total.min())


NOISE = _tile().astype(F).reshape(-1)


def noise(x, y):
    """Smooth noise in [0, 1] at (x, y), arrays that broadcast; the coarsest features are one unit wide."""
    x, y = x * F(TILE / 8), y * F(TILE / 8)
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    x0, y0 = x0.astype(np.int32) & 255, y0.astype(np.int32) & 255
    x1, y1 = (x0 + 1) & 255, ((y0 + 1) & 255) * TILE
    y0 = y0 * TILE
    top = NOISE.take(y0 + x0)
    top += fx * (NOISE.take(y0 + x1) - top)
    low = NOISE.take(y1 + x0)
    low += fx * (NOISE.take(y1 + x1) - low)
    return top + fy * (low - top)
