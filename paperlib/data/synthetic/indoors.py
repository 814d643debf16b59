"""The indoor scenes of `synth_kinetics`: each takes random numbers, returns `paint(canvas, seconds)`."""

import numpy as np

from .backdrops import Landscape, Wall, fill_all, sway
from .canvas import F, box, circle, ellipse, noise, triangle_wave, wedge
from .figure import Figure, Pose
from .props import Hand, colour

WHITE, DARK = (0.95, 0.95, 0.95), (0.06, 0.06, 0.08)


def bowling(draw):
    hall, lane = (
        colour(draw, (0.1, 0.6), (0.12, 0.45)),
        colour(draw, (0.3, 0.6), (0.65, 0.9), hue=(0.07, 0.12)),
    )
    sign, ball = colour(draw), colour(draw, (0.4, 1.0), (0.2, 0.8))
    top, far, near, x = (
        draw.uniform(-0.5, -0.2),
        draw.uniform(0.2, 0.32),
        draw.uniform(0.7, 1.0),
        draw.uniform(-0.3, 0.3),
    )
    size, along, dx = draw.uniform(0.1, 0.17), draw.uniform(0.2, 0.8), sway(draw, 0.15)
    shift = draw.uniform(0, 8)

    def paint(canvas, t):
        fill_all(canvas, hall, 0.6, 0.5, (0.7, 0.7), shift)
        for side in (-1, 0, 1):
            patch = canvas.local(x + side * 1.25, 0.0, 1.0, radius=3.0)
            u, v = patch.u - F(side * -0.55) * np.clip(-v_to(top, patch.v), F(-1), F(1)), patch.v
            half = (1 - top) / 2
            patch.fill(wedge(u, v, far * 1.25, near * 1.15, half, top + half), DARK)
            boards = F(0.85) + F(0.25) * triangle_wave(u * F(3.0)) + F(0.1) * noise(u * F(2), v)
            patch.fill(wedge(u, v, far, near * 0.95, half, top + half), lane, boards)
        patch = canvas.local(x, top, 1.0, radius=1.6)
        patch.fill(box(patch.u, patch.v, 1.5, 0.14, 0.0, -0.42), sign)
        patch.fill(box(patch.u, patch.v, far * 1.2, 0.16, 0.0, -0.12), DARK)
        for row in range(4):
            for k in range(4 - row):
                px, py = (k - (3 - row) / 2) * far * 0.5, 0.04 - 0.04 * (3 - row)
                pin = np.minimum(
                    ellipse(patch.u, patch.v, 0.032, 0.06, px, py),
                    circle(patch.u, patch.v, 0.022, px, py - 0.075),
                )
                patch.fill(pin, WHITE)
                patch.fill(np.maximum(pin, np.abs(patch.v - F(py - 0.05)) - F(0.008)), (0.8, 0.1, 0.1))
        z = along + 0.15 * np.sin(0.8 * t)
        patch = canvas.local(x + dx(t), top + (0.85 - top) * z, size * (0.5 + z), radius=1.3)
        patch.fill(circle(patch.u, patch.v, 1.0), ball, F(1.0) - F(0.35) * patch.v - F(0.2) * patch.u)
        for hx, hy in ((-0.2, -0.45), (0.15, -0.5), (0.0, -0.2)):
            patch.fill(circle(patch.u, patch.v, 0.12, hx, hy), DARK)

    return paint


def v_to(top, v):
    """Depth along the floor: 0 at the far end `top`, 1 at the bottom of the frame."""
    return (v - F(top)) * F(1 / (1 - top))


def blowing_candles(draw):
    dark = draw.uniform(0.25, 0.6)
    wall = Wall(draw, (0.3, 0.5), colour(draw, (0.2, 0.6), (0.25 * dark + 0.08, 0.7 * dark)))
    icing, cake, size = (
        colour(draw, (0.1, 0.6), (0.75, 1.0)),
        colour(draw, (0.3, 0.7), (0.3, 0.8), hue=(0.0, 0.1)),
        draw.uniform(0.4, 0.6),
    )
    x, y, tiers = draw.uniform(-0.3, 0.3), draw.uniform(0.25, 0.5), draw.pick((1, 2))
    candles = [((k + 0.5) / 7 * 1.5 - 0.75, colour(draw, (0.5, 1), (0.7, 1)), draw.uniform(0, 6)) for k in range(7)]
    man, side, dx = Figure(draw, draw.uniform(2.1, 2.6)), draw.sign(), sway(draw, 0.1)

    def paint(canvas, t):
        wall.paint(canvas)
        man.paint(
            canvas,
            x + side * (0.85 + dx(t)),
            y + 0.2 * man.height,
            Pose(0.3 + dx(t), upper=(0.3, 0.4), fore=(1.2, 1.2)),
            -side,
            light=0.8,
        )
        glow = canvas.local(x, y - 0.6 * size, size * 2.2, radius=1.0)
        glow.paint(np.clip(F(1) - glow.u * glow.u - glow.v * glow.v, F(0), F(1)) * F(0.3), (1.0, 0.75, 0.3))
        patch = canvas.local(x, y, size, radius=2.0)
        u, v = patch.u, patch.v
        patch.fill(box(u, v, 1.25, 0.08, 0.0, 0.62), (0.85, 0.85, 0.88))
        patch.fill(box(u, v, 1.0, 0.55, 0.0, 0.05, 0.08), cake, F(0.95) - F(0.3) * np.abs(u))
        drip = v - F(-0.25) - F(0.18) * triangle_wave(u * F(2.5))
        patch.fill(np.maximum(box(u, v, 1.02, 0.56, 0.0, 0.05, 0.08), drip), icing)
        if tiers == 2:
            patch.fill(np.maximum(np.abs(u) - F(1.0), np.abs(v - F(0.22)) - F(0.04)), icing)
        for px, tint, phase in candles:
            stick = box(u, v, 0.04, 0.2, px, -0.66)
            patch.fill(stick, tint, F(0.8) + F(0.4) * np.floor(triangle_wave(v * F(6)) + F(0.5)))
            wave = canvas.local(x + size * px, y - 0.98 * size, size * 0.12, 0.25 * np.sin(7 * t + phase), radius=1.6)
            flame = np.maximum(ellipse(wave.u, wave.v, 0.55, 1.1), wave.v - F(0.9))
            wave.fill(flame, (1.0, 0.6, 0.1))
            wave.fill(ellipse(wave.u, wave.v, 0.3, 0.6, 0.0, 0.25), (1.0, 0.95, 0.6))

    return paint


def driving(draw):
    land, road = Landscape(draw, horizon=(-0.35, -0.1), trees=0.7), draw.uniform(0.28, 0.45)
    dash, wheel = colour(draw, (0.0, 0.3), (0.08, 0.3)), colour(draw, (0.0, 0.4), (0.05, 0.25))
    side, size, dx, turn = draw.sign(), draw.uniform(0.4, 0.55), sway(draw, 0.2), sway(draw, 0.7)
    speed, bend, edge = draw.uniform(0.3, 1.2), draw.uniform(-0.3, 0.3), draw.uniform(0.35, 0.55)
    hands = Hand(draw, 0.2), Hand(draw, 0.2)
    hands[1].skin, hands[1].sleeve = hands[0].skin, hands[0].sleeve

    def paint(canvas, t):
        land.paint(canvas)
        top = land.horizon
        patch = canvas.local(bend * 0.3 + dx(t), 0.0, 1.0, radius=4.0)
        half = (1.2 - top) / 2
        patch.fill(wedge(patch.u, patch.v, 0.05, 1.5, half, top + half), (road, road, road * 1.05))
        depth = np.clip(v_to(top, patch.v), F(0.02), F(2))
        roll = np.floor(np.asarray(t) * speed * 4096) / 4096
        dash_on = np.floor(triangle_wave(F(0.6) / depth + (roll - np.floor(roll)).astype(F)[:, None, None]) + F(0.5))
        line = np.maximum(np.abs(patch.u) - F(0.045) * depth, F(top + 0.03) - patch.v)
        patch.paint(patch.cover(line) * dash_on, WHITE)
        panel = canvas.local(0.0, edge, 1.0, radius=4.0)
        panel.fill(-panel.v + F(0.12) * panel.u * panel.u, dash, F(1.2) - F(0.7) * panel.v)
        mirror = canvas.local(side * -0.35, -0.85, 0.28, radius=1.3)
        mirror.fill(box(mirror.u, mirror.v, 1.0, 0.32, r=0.15), DARK)
        wx, wy = side * 0.3, edge + 0.35
        ring = canvas.local(wx, wy, size, turn(t), radius=1.2)
        u, v = ring.u, ring.v
        ring.fill(
            np.minimum(
                np.abs(circle(u, v, 0.95)) - F(0.09),
                np.minimum(np.maximum(np.abs(v) - F(0.1), np.abs(u) - F(0.9)), circle(u, v, 0.25)),
            ),
            wheel,
            F(1.3) - F(0.8) * v,
        )
        for k, hand in enumerate(hands):
            a = turn(t) + (-0.9, 0.9)[k]
            hand.paint(canvas, wx + np.sin(a) * size * 0.95, wy - np.cos(a) * size * 0.95, (0.5, -0.5)[k], 0.0)

    return paint


def playing_guitar(draw):
    wall, man, face = Wall(draw, (0.6, 1.2)), Figure(draw, draw.uniform(1.9, 2.4)), draw.sign()
    wood, x, y = (
        colour(draw, (0.4, 0.95), (0.35, 0.85), hue=draw.pick(((0.02, 0.12), (0.0, 1.0)))),
        draw.uniform(-0.25, 0.25),
        draw.uniform(0.55, 0.75),
    )
    tilt, size, dx, strum = (
        draw.uniform(0.15, 0.5),
        draw.uniform(0.3, 0.38),
        sway(draw, 0.08),
        sway(draw, 0.12, 3.0),
    )
    frets = tuple(0.35 * c for c in wood)

    def paint(canvas, t):
        wall.paint(canvas)
        sx = x + dx(t)
        pose = Pose(0.0, upper=(0.4, -0.6), fore=(-0.9 + 0.8 * strum(t), -2.2), fold=(0.7, 0.6), width=1.0)
        man.paint(canvas, sx, y, pose)
        patch = canvas.local(sx - face * 0.12, y - 0.12 * man.height, size, -face * tilt, radius=3.4, flip=face)
        u, v = patch.u, patch.v
        patch.fill(box(u, v, 1.1, 0.12, 1.6, 0.0, 0.03), frets)
        patch.fill(box(u, v, 0.22, 0.2, 2.8, 0.0, 0.05), frets)
        body = np.minimum(circle(u, v, 0.75, -0.55), circle(u, v, 0.58, 0.3))
        patch.fill(body, frets)
        patch.fill(body + F(0.06), wood, F(1.0) - F(0.25) * v)
        patch.fill(circle(u, v, 0.24, 0.22), DARK)
        for k in (-0.06, 0.0, 0.06):
            patch.fill(box(u, v, 1.75, 0.008, 0.95, k), WHITE)
        hand = canvas.local(sx - face * 0.08 + 0.4 * strum(t), y - 0.1 * man.height + strum(t), 0.1, radius=1.3)
        hand.fill(ellipse(hand.u, hand.v, 0.9, 0.7), man.skin)

    return paint


def basketball(draw):
    gym = Wall(draw, (0.35, 0.6), floor=colour(draw, (0.4, 0.6), (0.6, 0.85), hue=(0.07, 0.11)))
    x, y, man, side = (
        draw.uniform(-0.5, 0.5),
        draw.uniform(-0.65, -0.4),
        Figure(draw, draw.uniform(0.75, 1.05)),
        draw.sign(),
    )
    f, phase, jump, dx = draw.uniform(0.3, 0.6), draw.uniform(0, 6), draw.uniform(0.05, 0.25), sway(draw, 0.2)
    size, man_x = draw.uniform(0.3, 0.42), draw.uniform(0.25, 0.5)

    def paint(canvas, t):
        gym.paint(canvas)
        patch = canvas.local(x, y, size, radius=5.2)
        u, v = patch.u, patch.v
        patch.fill(box(u, v, 0.06, 3.0, 0.0, 2.0), (0.3, 0.3, 0.33))
        patch.fill(box(u, v, 1.0, 0.7), WHITE)
        patch.fill(np.abs(box(u, v, 0.38, 0.28, 0.0, 0.25)) - F(0.04), (0.8, 0.15, 0.1))
        net = np.maximum(
            wedge(u, v, 0.4, 0.25, 0.3, 0.95),
            F(0.12) - np.minimum(triangle_wave((u + v) * F(3)), triangle_wave((u - v) * F(3))),
        )
        patch.fill(net, WHITE)
        patch.fill(ellipse(u, v, 0.45, 0.09, 0.0, 0.65), (0.9, 0.3, 0.1))
        s = np.sin(2 * np.pi * f * t + phase)
        px, py = x + side * (man_x + dx(t)), 0.35 - jump * (1 + s)
        lift = 2.3 + 0.5 * s
        pose = Pose(0.1, (0.4 + 0.3 * s, -0.2), (-0.5, -0.5), (lift, 0.6), (lift + 0.2, 1.2))
        man.paint(canvas, px, py, pose, -side)
        wx, wy = man.joints(pose)["wrist", 0]
        ball = canvas.local(
            px - side * man.height * (wx + 0.04), py + man.height * (wy - 0.08), 0.085, 2 * s, radius=1.2
        )
        disc = circle(ball.u, ball.v, 1.0)
        ball.fill(disc, (0.9, 0.45, 0.12), F(0.95) - F(0.25) * ball.v)
        ball.fill(np.maximum(np.minimum(np.abs(ball.u), np.abs(ball.v)) - F(0.07), disc), DARK)

    return paint
