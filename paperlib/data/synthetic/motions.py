"""The motion templates of `synth_ssv2`, named as in Something-Something-V2.

A template takes the random numbers and the stage of one video and returns `act(canvas, u)`, which paints the
action at the fractions u of the video. The reversed class of a pair plays the same template backwards in
time, so that no single frame can tell the two apart.
"""

import numpy as np

from .canvas import F, box, capsule, column, ellipse, noise, wedge
from .props import Hand, colour
from .stage import between, smooth

UPRIGHT = ("box", "can", "mug", "bottle", "book", "car", "duck", "pear")
LOPSIDED = ("mug", "bottle", "book", "car", "star", "bar", "duck", "box", "pear")


def grip(thing, x, y, angle, depth=0.35):
    """Where finger tips hold a thing centred at (x, y) when the arm leaves at `angle`."""
    reach = depth * (thing.w * abs(np.sin(angle)) + thing.h * abs(np.cos(angle)))
    return x - np.sin(angle) * reach, y + np.cos(angle) * reach


def wobble(draw, amount=0.02):
    """A small slow random motion, as a function of u."""
    f, p = draw.uniform(0.5, 2.5), draw.uniform()
    amount = draw.uniform(0.3 * amount, amount)
    return lambda u: amount * np.sin(2 * np.pi * (f * u + p))


def moving_up(draw, stage):
    thing, hand = stage.thing(draw), Hand(draw)
    x0, y0 = draw.uniform(-0.45, 0.45), draw.uniform(0.3, 0.55)
    dx, dy = draw.uniform(-0.2, 0.2), draw.uniform(0.6, 1.0)
    angle, turn = draw.uniform(-0.9, 0.9), draw.uniform(-0.4, 0.4)
    sway = wobble(draw)

    def act(canvas, u):
        p = stage.p(u)
        x, y = x0 + dx * p + sway(u), y0 - dy * p
        thing.paint(canvas, x, y, angle=turn * p)
        hand.paint(canvas, *grip(thing, x, y, angle), angle, 0.2)

    return act


def pushing(draw, stage, flip=1):
    """A hand behind the object slides it from left to right (flip -1: from right to left)."""
    thing, hand = stage.thing(draw), Hand(draw)
    y = draw.uniform(0.15, 0.6)
    x0, x1 = draw.uniform(-0.6, -0.35), draw.uniform(0.3, 0.65)
    rise, angle = draw.uniform(-0.15, 0.15), draw.uniform(0.7, 1.6)
    sway = wobble(draw, 0.015)

    def act(canvas, u):
        p = stage.p(u)
        x, at = flip * (x0 + (x1 - x0) * p), y + rise * p + sway(u)
        thing.paint(canvas, x, at, shadow=0.4)
        hand.paint(canvas, x - flip * thing.w * 0.85, at + thing.h * 0.15, flip * angle, 0.5)

    return act


class Couple:
    """Two things with a hand each, for the classes about two things."""

    def __init__(self, draw, stage):
        self.things = stage.thing(draw, (0.17, 0.25)), stage.thing(draw, (0.17, 0.25))
        size = draw.uniform(0.22, 0.28)
        self.hands = Hand(draw, size), Hand(draw, size)
        self.hands[1].skin, self.hands[1].sleeve = self.hands[0].skin, self.hands[0].sleeve
        self.angles = draw.uniform(0.3, 1.5), -draw.uniform(0.3, 1.5)
        self.x, self.y = draw.uniform(-0.12, 0.12), draw.uniform(0.05, 0.45)
        self.slope = draw.uniform(-0.3, 0.3)
        self.share = draw.uniform(0.35, 0.65)
        self.touch = self.things[0].w + self.things[1].w
        self.sway = wobble(draw, 0.015)

    def paint(self, canvas, u, gap, lane=0.0, arms=(1, 1)):
        """Paint the two `gap` apart (negative: they have changed sides), on lanes `lane` apart."""
        left = self.x - self.share * gap, self.y - self.slope * self.share * gap - lane / 2 + self.sway(u)
        right = self.x + (1 - self.share) * gap, self.y + self.slope * (1 - self.share) * gap + lane / 2
        for thing, hand, angle, (x, y), arm in zip(
            self.things, self.hands, self.angles, (left, right), arms, strict=True
        ):
            thing.paint(canvas, x, y, shadow=0.35)
            hand.paint(canvas, *grip(thing, x, y, angle, 0.6), arm * angle, 0.25)


def moving_closer(draw, stage):
    couple = Couple(draw, stage)
    far, near = draw.uniform(1.05, 1.3), couple.touch + draw.uniform(0.12, 0.25)
    return lambda canvas, u: couple.paint(canvas, u, far + (near - far) * stage.p(u))


def colliding(draw, stage):
    couple = Couple(draw, stage)
    far, hit, recoil = draw.uniform(1.05, 1.3), draw.uniform(0.45, 0.7), draw.uniform(0.15, 0.4)

    def act(canvas, u):
        q = np.clip((u - stage.start) / (stage.stop - stage.start), 0, 1)
        gap = np.where(
            q < hit,
            far + (couple.touch * 0.9 - far) * (q / hit) ** 1.4,
            couple.touch * 0.9 + recoil * smooth((q - hit) / (1 - hit)),
        )
        couple.paint(canvas, u, gap)

    return act


def passing(draw, stage):
    couple = Couple(draw, stage)
    far, lane = draw.uniform(0.95, 1.2), draw.uniform(0.28, 0.4)
    couple.slope, couple.share = draw.uniform(-0.1, 0.1), 0.5
    couple.angles = draw.uniform(-0.5, 0.5), draw.uniform(-0.5, 0.5)
    return lambda canvas, u: couple.paint(canvas, u, far * (1 - 2 * stage.p(u)), lane)


def moving_towards_camera(draw, stage):
    thing, hand = stage.thing(draw), Hand(draw)
    x, y, angle = draw.uniform(-0.3, 0.3), draw.uniform(-0.1, 0.25), draw.uniform(-0.9, 0.9)
    small, large = draw.uniform(0.5, 0.7), draw.uniform(1.6, 2.2)
    sink, sway = draw.uniform(0.0, 0.25), wobble(draw)

    def act(canvas, u):
        p = stage.p(u)
        size = small * (large / small) ** p
        at = y + sink * p
        thing.paint(canvas, x + sway(u), at, size)
        hand.paint(
            canvas,
            x + sway(u) - np.sin(angle) * 0.35 * thing.h * size,
            at + np.cos(angle) * 0.35 * thing.h * size,
            angle,
            0.2,
            size,
        )

    return act


def turning_camera(draw, stage, dx=0, dy=0):
    """The camera pans by (dx, dy) times a random travel, past an object."""
    thing = stage.thing(draw, (0.22, 0.34))
    travel, x, y = draw.uniform(0.8, 1.4), draw.uniform(-0.5, 0.5), draw.uniform(-0.1, 0.5)
    stage.camera = lambda u: (dx * travel * (stage.p(u) - 0.5), dy * travel * (stage.p(u) - 0.5), 1.0)
    return lambda canvas, u: thing.paint(canvas, x, y, shadow=0.4)


def approaching(draw, stage):
    thing = stage.thing(draw, (0.2, 0.3))
    x, y = draw.uniform(-0.4, 0.4), draw.uniform(0.0, 0.5)
    wide, near, aim = draw.uniform(0.6, 0.8), draw.uniform(1.7, 2.4), draw.uniform(0.6, 1.0)

    def camera(u):
        p = stage.p(u)
        return x * aim * p, y * aim * p, wide * (near / wide) ** p

    stage.camera = camera
    return lambda canvas, u: thing.paint(canvas, x, y, shadow=0.4)


def opening(draw, stage):
    """A box's lid, a laptop or a cabinet door opened by hand."""
    hand, kind, flip = Hand(draw), draw.pick(("box", "laptop", "door")), draw.sign()
    x, y = draw.uniform(-0.25, 0.25), draw.uniform(0.1, 0.45)
    a, b = draw.uniform(0.34, 0.45), draw.uniform(0.2, 0.3)
    body, lid = colour(draw, unlike=stage.room.colours), colour(draw, unlike=stage.room.colours)
    inside, wide, angle = colour(draw, value=(0.08, 0.25)), draw.uniform(1.5, 2.2), draw.uniform(-0.7, 0.7)

    def act(canvas, u):
        p = stage.p(u)
        patch = canvas.local(x, y, 1.0, radius=1.3, flip=flip)
        pu, pv = patch.u, patch.v
        shade = F(0.95) - F(0.5) * pv
        body_at = (
            wedge(pu, pv, a, a * 1.15, 0.08, b) if kind == "laptop" else box(pu, pv, a, b * (1 + (kind == "door") / 2))
        )
        canvas.note("object", act, patch, body_at)
        if kind == "box":
            patch.fill(ellipse(pu, pv, a, 0.1, 0.0, -b), inside, visible=np.minimum(1, 8 * p))
            patch.fill(box(pu, pv, a, b, r=0.03), body, shade)
            tip = -a + 2 * a * np.cos(wide * p), -b - 2 * a * np.sin(wide * p)
            patch.fill(capsule(pu, pv, -a, -b, *tip, 0.05), lid)
        elif kind == "laptop":
            patch.fill(wedge(pu, pv, a, a * 1.15, 0.08, b), body, shade)
            tip = np.zeros_like(p), b - 0.08 - 0.62 * p
            height = column(np.maximum(0.62 * p, 0.04) / 2)
            centre = column(b - 0.08) - height
            patch.fill(np.maximum(np.abs(pu) - F(a), np.abs(pv - centre) - height), lid)
            patch.fill(
                np.maximum(np.abs(pu) - F(a - 0.05), np.abs(pv - centre) - (height - F(0.05))),
                (0.7, 0.85, 0.95),
            )
        else:
            patch.fill(box(pu, pv, a, b * 1.5, r=0.02), body, shade)
            patch.fill(box(pu, pv, a - 0.05, b * 1.5 - 0.05), inside)
            leaf = 2 * (a - 0.05) * np.maximum(np.cos(wide * 0.6 * p), 0.08)
            half = column(leaf / 2)
            patch.fill(
                np.maximum(np.abs(pu - (half - F(a - 0.05))) - half, np.abs(pv) - F(b * 1.5 - 0.05)),
                lid,
                shade,
            )
            tip = leaf - (a - 0.05), np.zeros_like(p)
        hand.paint(canvas, x + flip * tip[0], y + tip[1], angle, 0.3)

    return act


def putting_into(draw, stage):
    """A hand brings something, lowers it into a container and leaves."""
    thing, hand = stage.thing(draw, (0.15, 0.21)), Hand(draw)
    x, y, side = draw.uniform(-0.3, 0.3), draw.uniform(0.3, 0.55), draw.sign()
    a, b = thing.w * draw.uniform(1.25, 1.6), max(thing.h * draw.uniform(1.1, 1.4), 0.16)
    top = a * draw.uniform(1.0, 1.3)
    wall, angle = colour(draw, unlike=stage.room.colours), side * draw.uniform(1.8, 2.7)
    from_x, from_y = x - side * draw.uniform(0.4, 0.7), draw.uniform(-0.6, -0.2)
    dark = tuple(0.3 * c for c in wall)

    def act(canvas, u):
        q = np.clip((u - stage.start) / (stage.stop - stage.start), 0, 1)
        over, lower, leave = smooth(q / 0.45), smooth((q - 0.35) / 0.3), smooth((q - 0.68) / 0.32)
        tx, ty = from_x + (x - from_x) * over, from_y + (y - 2.2 * b - from_y) * over
        ty = ty + (y - ty) * lower
        back = canvas.local(x, y - b, 1.0, radius=top * 2.4)  # the flat ellipse has wide soft ends
        back.fill(ellipse(back.u, back.v, top, top * 0.22), dark)
        thing.paint(canvas, tx, ty)
        hx, hy = grip(thing, tx, ty, angle, 0.7)
        hand.paint(canvas, hx - side * 1.2 * leave, hy - 0.7 * leave, angle, 0.2 + 0.5 * leave)
        front = canvas.local(x, y, 1.0, radius=max(top, b) * 1.5)
        body = np.maximum(wedge(front.u, front.v, top, a, b), -ellipse(front.u, front.v, top, top * 0.22, 0.0, -b))
        canvas.note("object", act, front, body)
        front.fill(body, wall, F(1.0) - F(0.5) * np.abs(front.u / F(top)))

    return act


def burying(draw, stage):
    """A hand scoops sand from a heap over an object until it is covered."""
    thing, hand = stage.thing(draw, (0.13, 0.2)), Hand(draw)
    side = draw.sign()
    x, y = side * draw.uniform(0.15, 0.35), draw.uniform(0.25, 0.5)
    away, strokes = -side * draw.uniform(0.25, 0.45), draw.pick((2, 3, 4))
    sand = colour(draw, (0.2, 0.6), (0.35, 0.85), unlike=(*stage.room.colours, thing.colour))
    width, shift, angle = (
        thing.w + draw.uniform(0.12, 0.2),
        draw.uniform(0, 8),
        side * draw.uniform(-1.2, 0.2),
    )
    base = y + thing.h

    def heap(canvas, at, half, height):
        patch = canvas.local(at, base, 1.0, radius=1.0)
        pu, pv = patch.u, patch.v
        grain = noise(pu * F(3.5) + F(shift), pv * F(3.5))
        flat = pu / F(half)
        edge = (F(1) - flat * flat) * column(height) + (grain - F(0.5)) * F(0.06)
        shape = np.maximum(-pv - edge, pv - F(0.03))
        patch.fill(np.maximum(shape, np.abs(pu) - F(half)), sand, F(0.7) + F(0.6) * grain)

    def act(canvas, u):
        q = np.clip((u - stage.start) / (stage.stop - stage.start), 0, 1)
        thing.paint(canvas, x, y)
        phase = q * strokes
        grown = (np.floor(phase) + smooth((phase - np.floor(phase) - 0.4) / 0.5)) / strokes
        heap(canvas, away, width * 1.1, 2.3 * thing.h * (1 - 0.8 * grown) + 0.02)
        heap(canvas, x, width, (2.5 * thing.h + 0.08) * grown + 0.005)
        to = 0.5 - 0.5 * np.cos(2 * np.pi * np.minimum(phase, strokes))
        lift = np.abs(np.sin(2 * np.pi * phase)) * 0.18
        hand.paint(canvas, away + (x - away) * to, base - 2.2 * thing.h - lift + 0.1, angle, 0.1)

    return act


def taking(draw, stage, really=True):
    """A hand comes, closes around something and leaves, with it or (pretending) without it."""
    thing, hand = stage.thing(draw, (0.15, 0.23)), Hand(draw)
    x, y, angle = draw.uniform(-0.4, 0.4), draw.uniform(-0.05, 0.5), draw.uniform(-1.9, 1.9)
    meet, away = draw.uniform(0.38, 0.5), draw.uniform(1.1, 1.5)
    veer, lift = draw.uniform(-0.3, 0.3), draw.uniform(0.0, 0.25)

    def act(canvas, u):
        q = np.clip((u - stage.start + 0.1) / (stage.stop - stage.start + 0.1), 0, 1)
        come, leave = 1 - smooth(q / meet), smooth((q - meet - 0.08) / (0.92 - meet))
        sx, sy = -np.sin(angle + veer) * away, np.cos(angle + veer) * away
        tx, ty = x + sx * leave, y + sy * leave - lift * np.sin(np.pi * leave)
        if really:
            thing.paint(canvas, tx, ty, shadow=0.3)
        else:
            thing.paint(canvas, x, y, shadow=0.3)
        hx, hy = grip(thing, tx, ty, angle, 0.55)
        hand.paint(
            canvas,
            hx - np.sin(angle) * away * come,
            hy + np.cos(angle) * away * come,
            angle,
            0.1 + 0.7 * smooth(come * 4),
        )

    return act


def falling_rock(draw, stage):
    thing, hand = stage.thing(draw), Hand(draw)
    x, y0, y1 = draw.uniform(-0.45, 0.45), draw.uniform(-0.75, -0.45), draw.uniform(0.35, 0.6)
    start, last = draw.uniform(0.12, 0.55), draw.uniform(0.15, 0.3)
    angle, turn, bounce = draw.uniform(1.8, 4.4), draw.uniform(-1.5, 1.5), draw.uniform(0.05, 0.2)
    held = draw.chance(0.6)

    def act(canvas, u):
        fall = np.maximum(u - start, 0) / last
        after = np.clip((fall - 1) / 0.7, 0, 1)
        y = np.where(fall < 1, y0 + (y1 - y0) * fall**2, y1 - bounce * 4 * after * (1 - after))
        thing.paint(canvas, x, y, angle=turn * np.minimum(fall, 1), shadow=0.0)
        if held:
            gone = smooth((u - start) / 0.2)
            hx, hy = grip(thing, x, y0, angle, 0.6)
            hand.paint(canvas, hx - np.sin(angle) * gone, hy + np.cos(angle) * gone, angle, 0.2 + 0.5 * gone)

    return act


def spinning(draw, stage):
    thing, hand = stage.thing(draw, (0.26, 0.36), LOPSIDED), Hand(draw)
    x, y = draw.uniform(-0.3, 0.3), draw.uniform(-0.1, 0.4)
    way, turns, first = draw.sign(), draw.uniform(4.0, 8.5), draw.uniform(-3.1, 3.1)
    angle, slow = draw.uniform(-1.4, 1.4), draw.uniform(1.2, 2.0)

    def act(canvas, u):
        q = np.clip((u - stage.start) / (1 - stage.start), 0, 1)
        thing.paint(canvas, x, y, angle=first + way * turns * (1 - (1 - q) ** slow))
        gone = smooth((u - stage.start - 0.05) / 0.25)
        hx, hy = grip(thing, x, y, angle, 0.9)
        hand.paint(canvas, hx - np.sin(angle) * 1.3 * gone, hy + np.cos(angle) * 1.3 * gone, angle, 0.5)

    return act


def falling_over(draw, stage):
    """A finger pokes a tall object, which topples away from it."""
    thing, hand, side = (
        stage.thing(draw, (0.26, 0.36), ("bottle", "can", "book", "pear")),
        Hand(draw),
        draw.sign(),
    )
    x, base, angle = side * draw.uniform(0.0, 0.3), draw.uniform(0.45, 0.7), draw.uniform(0.9, 1.6)
    touch, fall = draw.uniform(0.25, 0.45), draw.uniform(0.2, 0.35)

    def act(canvas, u):
        come, p = 1 - between(u, 0.02, touch), np.clip((u - touch) / fall, 0, 1) ** 1.8
        turn = p * np.pi / 2
        # turns about the bottom corner on the far side from the finger; the finger pokes towards -side
        corner = x - side * thing.w
        cx = corner + side * (thing.w * np.cos(turn) - thing.h * np.sin(turn))
        cy = base - thing.h * np.cos(turn) - thing.w * np.sin(turn)
        thing.paint(canvas, cx, cy, angle=-side * turn, shadow=0.0)
        gone = smooth((u - touch - 0.1) / 0.3)
        reach = 0.8 * come + 0.9 * gone - 0.12 * np.clip((u - touch) / 0.1, 0, 1)
        hand.paint(
            canvas,
            x + side * (thing.w * 0.9 + reach),
            base - thing.h * 1.4,
            -side * angle,
            0.2,
            pointing=True,
        )

    return act


def holding_next_to(draw, stage):
    held, other, hand, side = stage.thing(draw), stage.thing(draw), Hand(draw), draw.sign()
    x, y, angle = side * draw.uniform(0.15, 0.3), draw.uniform(0.0, 0.35), side * draw.uniform(-1.2, 0.3)
    gap, above = held.w + other.w + draw.uniform(0.03, 0.2), draw.uniform(0.0, 0.2)
    sway, bob = wobble(draw), wobble(draw)

    def act(canvas, u):
        other.paint(canvas, x - side * gap, y, shadow=0.4)
        hx, hy = x + sway(u), y - above + bob(u)
        held.paint(canvas, hx, hy)
        hand.paint(canvas, *grip(held, hx, hy, angle), angle, 0.2)

    return act


def touching(draw, stage):
    thing, hand = stage.thing(draw, (0.24, 0.34)), Hand(draw)
    x, y, angle = draw.uniform(-0.35, 0.35), draw.uniform(-0.1, 0.45), draw.uniform(-1.8, 1.8)
    sway, bob = wobble(draw, 0.015), wobble(draw, 0.015)

    def act(canvas, u):
        thing.paint(canvas, x, y, shadow=0.4)
        hx, hy = grip(thing, x, y, angle, 0.7)
        hand.paint(canvas, hx + sway(u), hy + bob(u), angle, 0.2, pointing=True)

    return act
