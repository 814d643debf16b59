"""The watery scenes of `synth_kinetics`: each takes random numbers, returns `paint(canvas, seconds)`."""

import numpy as np

from .backdrops import SEA, Landscape, fill_all, sway
from .canvas import F, box, capsule, circle, ellipse, polygon, triangle_wave, wedge
from .figure import Figure, Pose
from .props import colour


def swimming(draw):
    water, rope = (
        colour(draw, (0.5, 0.9), (0.6, 0.95), hue=(0.48, 0.58)),
        colour(draw, (0.6, 1.0), (0.7, 1.0)),
    )
    skin = Figure(draw, 1.0).skin
    cap, gap, first = colour(draw), draw.uniform(0.55, 0.8), draw.uniform(-0.3, 0.3)
    x, y, dx = draw.uniform(-0.3, 0.3), first + gap / 2, sway(draw, 0.3)
    f, phase, shift = draw.uniform(0.5, 1.0), draw.uniform(0, 6), draw.uniform(0, 8)

    def paint(canvas, t):
        fill_all(canvas, water, 0.75, 0.6, (2.2, 3.5), shift, t)
        for k in range(-2, 3):
            patch = canvas.local(0.0, first + k * gap, 1.0, radius=4.0)
            blob = np.floor(triangle_wave(patch.u * F(2.5)) + F(0.5))
            line = np.abs(patch.v) - F(0.035)
            patch.fill(line, rope)
            patch.paint(patch.cover(line) * blob * F(0.9), (1.0, 1.0, 1.0))
        a = 2 * np.pi * f * t + phase
        patch = canvas.local(x + dx(t), y + 0.05 * np.sin(a), 1.0, radius=0.8)
        u, v = patch.u, patch.v
        foam = ellipse(u, v, 0.5, 0.12, 0.0, 0.1)
        patch.paint(
            patch.cover(foam) * F(0.7) * np.clip(triangle_wave(u * F(6) + v * F(9)) * F(2), F(0), F(1)),
            (1, 1, 1),
        )
        hand_y = -0.28 * np.sin(a)
        arms = np.minimum(
            capsule(u, v, -0.1, 0.05, -0.42 + 0.1 * np.cos(a), hand_y, 0.06, 0.04),
            capsule(u, v, 0.1, 0.05, 0.42 - 0.1 * np.cos(a), hand_y, 0.06, 0.04),
        )
        patch.fill(np.minimum(arms, ellipse(u, v, 0.2, 0.12, 0.0, 0.06)), skin, F(1.0) - v)
        patch.fill(ellipse(u, v, 0.1, 0.12, 0.0, -0.08), skin)
        patch.fill(np.maximum(ellipse(u, v, 0.105, 0.125, 0.0, -0.085), v + F(0.1)), cap)
        patch.fill(np.maximum(np.abs(v + F(0.075)) - F(0.018), np.abs(u) - F(0.09)), (0.05, 0.05, 0.1))

    return paint


def sailing(draw):
    sea = Landscape(draw, SEA, (-0.1, 0.35), 0.25)
    hull, sail, second = colour(draw), colour(draw, (0.0, 0.6), (0.8, 1.0)), colour(draw)
    x, size, face = draw.uniform(-0.4, 0.4), draw.uniform(0.45, 0.75), draw.sign()
    dx, tilt, lean = sway(draw, 0.3, 0.5), sway(draw, 0.2), draw.uniform(-0.15, 0.15)

    def paint(canvas, t):
        sea.paint(canvas, t)
        patch = canvas.local(x + dx(t), sea.horizon + 0.15, size, lean + tilt(t), radius=2.2, flip=face)
        u, v = patch.u, patch.v
        patch.fill(box(u, v, 0.02, 0.85, 0.0, -0.8), (0.35, 0.25, 0.15))
        patch.fill(polygon(u, v, ((0.06, -1.6), (0.75, -0.15), (0.06, -0.15))), sail, F(0.9) - F(0.2) * u)
        patch.fill(polygon(u, v, ((-0.06, -1.45), (-0.06, -0.15), (-0.55, -0.15))), second, F(0.95) + F(0.2) * u)
        patch.fill(wedge(u, v, 0.85, 0.6, 0.14, 0.08), hull, F(1.0) - F(1.2) * v)

    return paint


def scuba_diving(draw):
    water, deep = colour(draw, (0.6, 0.95), (0.45, 0.85), hue=(0.5, 0.62)), draw.uniform(0.5, 1.0)
    man = Figure(draw, draw.uniform(0.8, 1.1), ((0.06, 0.07, 0.1), (0.06, 0.07, 0.1)))
    man.sleeves, man.shorts = True, False
    x, y, face, tank = (
        draw.uniform(-0.3, 0.3),
        draw.uniform(-0.3, 0.3),
        draw.sign(),
        colour(draw, (0.6, 1.0), (0.6, 1.0)),
    )
    f, phase, tilt, dx, dy, shift = (
        draw.uniform(0.3, 0.8),
        draw.uniform(0, 6),
        draw.uniform(1.2, 1.8),
        sway(draw, 0.3),
        sway(draw, 0.2),
        draw.uniform(0, 8),
    )
    fish = [
        (
            draw.uniform(-1, 1),
            draw.uniform(-0.8, 0.8),
            draw.uniform(0.05, 0.13),
            colour(draw),
            draw.sign(),
            sway(draw, 0.6),
        )
        for _ in range(draw.pick((1, 3, 5)))
    ]
    floor = draw.uniform(0.55, 1.0)

    def paint(canvas, t):
        _, wy = fill_all(canvas, water, 0.7, 0.5, (0.9, 1.6), shift, t)
        if not canvas.furnished:
            canvas.image *= np.clip(F(1.0) - (wy + F(0.6)) * F(0.35 * deep), F(0.3), F(1.1))
        ground = canvas.local(0.0, floor, 1.0, radius=4.0)
        ground.fill(
            -ground.v + F(0.12) * triangle_wave(ground.u * F(0.8) + F(shift)),
            (0.55, 0.5, 0.35),
            F(0.6) + F(0.2) * ground.v,
        )
        for fx, fy, s, tint, way, move in fish:
            patch = canvas.local(fx + move(t), fy, s, radius=1.8, flip=way)
            patch.fill(
                np.minimum(
                    ellipse(patch.u, patch.v, 1.0, 0.5),
                    polygon(patch.u, patch.v, ((-1.5, -0.5), (-0.7, 0.0), (-1.5, 0.5))),
                ),
                tint,
            )
        a, sx, sy = 2 * np.pi * f * t + phase, x + dx(t), y + dy(t)
        kick = 0.3 * np.sin(a)
        pose = Pose(
            tilt,
            (-tilt + kick, -tilt - kick),
            (-tilt + kick - 0.2, -tilt - kick - 0.2),
            (0.6, 0.7),
            (1.2, 1.2),
        )
        patch = canvas.local(sx, sy, man.height, -face * tilt + face * np.pi, radius=1.0)
        man.paint(canvas, sx, sy, pose, face)
        back = canvas.local(sx + face * 0.14 * man.height, sy - 0.12 * man.height, man.height, radius=0.5, flip=face)
        back.fill(capsule(back.u, back.v, -0.12, 0.04, 0.1, 0.0, 0.06), tank)
        hx, hy = man.joints(pose)["head"]
        for k in range(5):
            rise = (t * 0.35 + k * 0.2) - np.floor(t * 0.35 + k * 0.2)
            bubble = canvas.local(
                sx + face * hx * man.height + 0.03 * np.sin(9 * rise + k),
                sy + hy * man.height - 0.9 * rise,
                0.02 + 0.025 * rise,
                radius=1.3,
            )
            bubble.fill(np.abs(circle(bubble.u, bubble.v, 0.8)) - F(0.3), (0.9, 0.97, 1.0))

    return paint
