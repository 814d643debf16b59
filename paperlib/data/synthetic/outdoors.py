"""The outdoor scenes of `synth_kinetics`: each takes random numbers, returns `paint(canvas, seconds)`."""

import numpy as np

from .backdrops import GRASS, ROAD, SAND, SNOW, Landscape, sway
from .canvas import F, box, capsule, circle, column, ellipse, polygon, triangle_wave
from .figure import Figure, Pose
from .props import Room, colour


def walking_pose(t, f, swing=0.45, lean=0.05):
    """A generic stride: legs and arms swing in opposition `f` times a second."""
    s = np.sin(2 * np.pi * f * np.asarray(t))
    c = np.maximum(np.cos(2 * np.pi * f * np.asarray(t)), 0)
    d = np.maximum(-np.cos(2 * np.pi * f * np.asarray(t)), 0)
    return Pose(
        lean,
        (swing * s, -swing * s),
        (swing * s - 0.8 * swing * c - 0.1, -swing * s - 0.8 * swing * d - 0.1),
        (-swing * s, swing * s),
        (-swing * s + 0.4, swing * s + 0.4),
    )


def skiing(draw):
    land = Landscape(draw, SNOW, (-0.4, 0.0), 0.8)
    man, x, y = Figure(draw, draw.uniform(0.7, 1.0)), draw.uniform(-0.3, 0.3), draw.uniform(0.15, 0.4)
    crouch, face, dx = draw.uniform(0.5, 0.9), draw.sign(), sway(draw, 0.3)
    gates = [
        (draw.uniform(-1.1, 1.1), draw.uniform(0.1, 0.8), draw.pick(((0.85, 0.1, 0.1), (0.1, 0.2, 0.85))))
        for _ in range(4)
    ]
    pines = [(draw.uniform(-1.3, 1.3), draw.uniform(0.2, 0.45)) for _ in range(draw.pick((2, 3, 4, 5)))]

    def paint(canvas, t):
        land.paint(canvas)
        for px, high in pines:
            patch = canvas.local(px, land.horizon + 0.1, high, radius=2.2)
            for k in range(3):
                patch.fill(
                    polygon(
                        patch.u,
                        patch.v,
                        (
                            (0.0, -1.9 + 0.5 * k),
                            (0.35 + 0.15 * k, -0.9 + 0.5 * k),
                            (-0.35 - 0.15 * k, -0.9 + 0.5 * k),
                        ),
                    ),
                    (0.08, 0.28, 0.18),
                    F(1.1) + F(0.5) * patch.u,
                )
        for gx, gy, tint in gates:
            patch = canvas.local(gx, gy, 0.35, radius=1.2)
            patch.fill(box(patch.u, patch.v, 0.04, 1.0), tint)
            patch.fill(box(patch.u, patch.v, 0.28, 0.22, 0.28, -0.6), tint)
        knee = crouch + 0.1 * np.sin(2.0 * t)
        pose = Pose(crouch * 0.9, (knee, knee + 0.1), (-knee * 0.7, -knee * 0.7 + 0.1), (0.6, 0.7), (1.3, 1.2))
        sx = x + dx(t)
        man.paint(canvas, sx, y, pose, face)
        patch = canvas.local(sx, y, man.height, radius=1.4, flip=face)
        for k in (0, 1):
            joints = man.joints(pose)
            ax, ay = joints["ankle", k]
            patch.fill(capsule(patch.u, patch.v, ax - 0.3, ay + 0.03, ax + 0.4, ay + 0.03, 0.018), (0.9, 0.25, 0.1))
            wx, wy = joints["wrist", k]
            patch.fill(capsule(patch.u, patch.v, wx, wy, wx - 0.45, wy + 0.3, 0.012), (0.15, 0.15, 0.2))

    return paint


def tennis(draw):
    land = Landscape(
        draw,
        dict(hue=draw.pick(((0.3, 0.4), (0.58, 0.64), (0.03, 0.06))), saturation=(0.4, 0.7), value=(0.4, 0.65)),
        (-0.5, -0.2),
        0.7,
    )
    man, x, y, face = (
        Figure(draw, draw.uniform(0.9, 1.25)),
        draw.uniform(-0.4, 0.4),
        draw.uniform(0.05, 0.25),
        draw.sign(),
    )
    net, f, phase = draw.uniform(-0.1, 0.1), draw.uniform(0.3, 0.8), draw.uniform(0, 6)
    dx, bx, by = sway(draw, 0.3), sway(draw, 1.2), sway(draw, 0.6)

    def paint(canvas, t):
        land.paint(canvas)
        patch = canvas.local(0.0, 0.0, 1.0, radius=3.0)
        u, v = patch.u, patch.v
        top = land.horizon
        for line in (
            capsule(u, v, -0.5, top + 0.2, -1.3, 1.2, 0.012, 0.03),
            capsule(u, v, 0.5, top + 0.2, 1.3, 1.2, 0.012, 0.03),
            capsule(u, v, -0.5, top + 0.2, 0.5, top + 0.2, 0.012),
            capsule(u, v, -1.2, 0.75, 1.2, 0.75, 0.022),
        ):
            patch.fill(line, (0.95, 0.95, 0.95))
        mesh = np.maximum(np.abs(v - F(net + 0.08)) - F(0.1), np.abs(u) - F(1.4))
        patch.paint(patch.cover(mesh) * F(0.45), (0.08, 0.1, 0.1))
        patch.fill(np.maximum(np.abs(v - F(net - 0.03)) - F(0.018), np.abs(u) - F(1.4)), (0.95, 0.95, 0.95))
        swing = 1.3 * np.sin(2 * np.pi * f * t + phase)
        pose = walking_pose(t, 0.5 * f, 0.35)
        pose.upper, pose.fore = (0.9 + 0.6 * swing, -0.5), (1.5 + swing, 0.3)
        sx = x + dx(t)
        man.paint(canvas, sx, y, pose, face)
        patch = canvas.local(sx, y, man.height, radius=1.2, flip=face)
        wx, wy = man.joints(pose)["wrist", 0]
        ax, ay = np.sin(pose.fore[0]), np.cos(pose.fore[0])
        patch.fill(capsule(patch.u, patch.v, wx, wy, wx + 0.14 * ax, wy + 0.14 * ay, 0.014), (0.1, 0.1, 0.1))
        ring = _ring(patch, wx + 0.23 * ax, wy + 0.23 * ay, 0.085)
        patch.paint(patch.cover(ring) * F(0.4), (0.95, 0.95, 0.9))
        patch.fill(np.abs(ring) - F(0.014), (0.8, 0.15, 0.15))
        ball = canvas.local(bx(t), -0.15 + by(t), 0.045, radius=1.2)
        ball.fill(circle(ball.u, ball.v, 1.0), (0.85, 0.95, 0.2))

    return paint


def _ring(patch, x, y, radius):
    """Distance to a disc whose centre moves (x, y arrays `[n]`)."""
    du, dv = patch.u - column(x), patch.v - column(y)
    return np.sqrt(du * du + dv * dv) - F(radius)


def biking(draw):
    land, road = Landscape(draw, GRASS, (-0.3, 0.1), 0.8), colour(draw, **ROAD)
    man, x, y = Figure(draw, draw.uniform(0.75, 1.05)), draw.uniform(-0.3, 0.3), draw.uniform(-0.05, 0.15)
    frame, f, phase, face, dx = (
        colour(draw),
        draw.uniform(0.5, 1.3),
        draw.uniform(0, 6),
        draw.sign(),
        sway(draw, 0.4),
    )

    def paint(canvas, t):
        land.paint(canvas)
        h, sx, a = man.height, x + dx(t), 2 * np.pi * f * t + phase
        strip = canvas.local(0.0, y + 0.5 * h, 1.0, radius=4.0)
        strip.fill(np.abs(strip.v) - F(0.2), road, F(1.0) - F(0.6) * strip.v)
        patch = canvas.local(sx, y, h, radius=1.0, flip=face)
        u, v = patch.u, patch.v
        crank = 0.06, 0.36
        for wx in (-0.24, 0.4):
            patch.fill(np.abs(circle(u, v, 0.19, wx, 0.36)) - F(0.018), (0.07, 0.07, 0.08))
            spokes = np.minimum(
                *(
                    np.abs((u - F(wx)) * column(np.cos(q)) + (v - F(0.36)) * column(np.sin(q)))
                    for q in (a * 0.8, a * 0.8 + np.pi / 2)
                )
            ) - F(0.006)
            patch.fill(np.maximum(spokes, circle(u, v, 0.18, wx, 0.36)), (0.6, 0.6, 0.62))
        knees = [
            _reach((0.0, 0.0), (crank[0] + 0.08 * np.cos(a + k * np.pi), crank[1] + 0.08 * np.sin(a + k * np.pi)))
            for k in (0, 1)
        ]
        pose = Pose(0.65, (knees[0][0], knees[1][0]), (knees[0][1], knees[1][1]), (0.75, 0.75), (1.0, 1.0))
        for x0, y0, x1, y1 in (
            (-0.24, 0.36, 0.0, 0.1),
            (0.0, 0.1, 0.33, 0.08),
            (0.33, 0.08, *crank),
            (0.0, 0.05, *crank),
            (0.4, 0.36, 0.31, 0.0),
            (-0.24, 0.36, *crank),
            (0.31, 0.0, 0.4, -0.04),
        ):
            patch.fill(capsule(u, v, x0, y0, x1, y1, 0.017), frame)
        man.paint(canvas, sx, y, pose, face)

    return paint


def _reach(hip, foot, upper=0.245, lower=0.246):
    """Thigh and shank directions that put the ankle at `foot`, the knee bent forward."""
    dx, dy = foot[0] - hip[0], foot[1] - hip[1]
    d = np.minimum(np.sqrt(dx * dx + dy * dy), upper + lower - 1e-3)
    towards = np.arctan2(dx, dy)
    bend = np.arccos(np.clip((upper * upper + d * d - lower * lower) / (2 * upper * d), -1, 1))
    thigh = towards + bend
    knee_x, knee_y = upper * np.sin(thigh), upper * np.cos(thigh)
    return thigh, np.arctan2(d * np.sin(towards) - knee_x, d * np.cos(towards) - knee_y)


def kite_flying(draw):
    land = Landscape(draw, draw.pick((GRASS, SAND)), (0.45, 0.75), 0.4)
    man, mx, face = Figure(draw, draw.uniform(0.35, 0.55)), draw.uniform(-0.8, 0.8), draw.sign()
    one, two, size = (
        colour(draw, (0.7, 1.0), (0.7, 1.0)),
        colour(draw, (0.7, 1.0), (0.7, 1.0)),
        draw.uniform(0.2, 0.36),
    )
    x, y, dx, dy, turn = (
        draw.uniform(-0.5, 0.5),
        draw.uniform(-0.6, -0.1),
        sway(draw, 0.4),
        sway(draw, 0.3),
        sway(draw, 0.8),
    )

    def paint(canvas, t):
        land.paint(canvas)
        my, kx, ky = land.horizon, x + dx(t), y + dy(t)
        man.paint(canvas, mx, my, Pose(-0.1, upper=(2.2, 2.0), fore=(2.4, 2.3)), face)
        patch = canvas.local(0.0, 0.0, 1.0, radius=2.5)
        patch.fill(
            capsule(patch.u, patch.v, kx, ky, mx + face * 0.2 * man.height, my - 0.45 * man.height, 0.006),
            (0.95, 0.95, 0.95),
        )
        patch = canvas.local(kx, ky, size, turn(t), radius=3.2)
        u, v = patch.u, patch.v
        shape = polygon(u, v, ((0.0, -1.0), (0.75, -0.15), (0.0, 1.0), (-0.75, -0.15)))
        patch.fill(shape, one)
        patch.fill(
            np.maximum(shape, np.where(u * v > 0, F(-1), F(1)) * np.minimum(np.abs(u), np.abs(v + F(0.15)))),
            two,
        )
        tail = np.abs(u - F(0.25) * (triangle_wave(v * F(0.7)) - F(0.5))) - F(0.05)
        patch.fill(np.maximum(tail, np.maximum(F(1.0) - v, v - F(2.8))), two)

    return paint


def soccer(draw):
    land, goal = Landscape(draw, GRASS, (-0.3, 0.05), 0.7), draw.uniform(-0.7, 0.7)
    man, x, y, face = (
        Figure(draw, draw.uniform(0.8, 1.15)),
        draw.uniform(-0.3, 0.3),
        draw.uniform(-0.05, 0.15),
        draw.sign(),
    )
    f, phase, bounce = draw.uniform(0.5, 0.9), draw.uniform(0, 1), draw.uniform(0.25, 0.5)

    def paint(canvas, t):
        land.paint(canvas)
        patch = canvas.local(goal, land.horizon + 0.02, 0.5, radius=1.5)
        u, v = patch.u, patch.v
        net = np.maximum(np.abs(u) - F(1.0), np.abs(v + F(0.3)) - F(0.4))
        weave = np.minimum(triangle_wave(u * F(5)), triangle_wave(v * F(5))) < F(0.2)
        patch.paint(patch.cover(net) * weave * F(0.5), (0.95, 0.95, 0.95))
        for bar in (
            box(u, v, 0.03, 0.42, -1.0, -0.3),
            box(u, v, 0.03, 0.42, 1.0, -0.3),
            box(u, v, 1.03, 0.03, 0.0, -0.72),
        ):
            patch.fill(bar, (0.95, 0.95, 0.95))
        cycle = f * t + phase
        beat = cycle - np.floor(cycle)
        kick = np.maximum(np.cos(2 * np.pi * cycle), 0)
        pose = Pose(0.05, (0.2 + 0.7 * kick, -0.05), (0.1 + 0.5 * kick, -0.15), (-0.5, 0.5), (0.1, 1.0))
        man.paint(canvas, x, y, pose, face)
        fly = 4 * beat * (1 - beat)
        ball = canvas.local(
            x + face * man.height * 0.33,
            y + man.height * (0.3 - bounce * fly),
            0.09 * man.height,
            3 * cycle,
            radius=1.3,
        )
        u, v = ball.u, ball.v
        disc = circle(u, v, 1.0)
        ball.fill(disc, (0.95, 0.95, 0.95), F(0.9) - F(0.25) * v)
        for px, py in ((0.0, 0.0), (0.75, 0.3), (-0.7, 0.4), (0.1, -0.8)):
            ball.fill(np.maximum(circle(u, v, 0.3, px, py), disc), (0.05, 0.05, 0.06))

    return paint


def horse_riding(draw):
    land = Landscape(draw, draw.pick((GRASS, SAND)), (-0.25, 0.1), 0.6)
    coat = colour(draw, (0.1, 0.7), (0.15, 0.75), hue=(0.02, 0.1))
    mane, man = tuple(0.35 * c for c in coat), Figure(draw, draw.uniform(0.55, 0.75))
    x, y, face, size = draw.uniform(-0.25, 0.25), draw.uniform(0.1, 0.3), draw.sign(), draw.uniform(0.5, 0.7)
    f, phase, dx = draw.uniform(0.6, 1.4), draw.uniform(0, 6), sway(draw, 0.4)

    def paint(canvas, t):
        land.paint(canvas)
        a, sx = 2 * np.pi * f * t + phase, x + dx(t)
        sy = y + 0.02 * np.sin(2 * a)
        patch = canvas.local(sx, sy, size, radius=1.6, flip=face)
        u, v = patch.u, patch.v
        for k, hx in enumerate((-0.5, -0.42, 0.42, 0.5)):
            swing = 0.3 * np.sin(a + k * np.pi * 0.7)
            leg = capsule(u, v, hx, 0.2, hx + swing, 0.9 - 0.15 * np.abs(swing), 0.11, 0.05)
            patch.fill(leg, coat, F(0.75 if k % 2 == 0 else 1.0))
        patch.fill(capsule(u, v, -0.62, -0.1, -0.85, 0.4 + 0.05 * np.sin(a), 0.07, 0.03), mane)
        body = np.minimum(ellipse(u, v, 0.72, 0.32), capsule(u, v, 0.5, -0.1, 0.85, -0.6, 0.2, 0.13))
        head = capsule(u, v, 0.85, -0.65, 1.12, -0.4, 0.13, 0.08)
        patch.fill(np.minimum(body, head), coat, F(1.0) - F(0.5) * v)
        patch.fill(capsule(u, v, 0.42, -0.35, 0.75, -0.78, 0.06), mane)
        patch.fill(polygon(u, v, ((0.8, -0.9), (0.88, -0.7), (0.76, -0.7))), coat)
        patch.fill(box(u, v, 0.16, 0.1, 0.0, -0.3, 0.04), (0.3, 0.12, 0.08))
        pose = Pose(0.1 + 0.05 * np.sin(2 * a), (1.0, 1.0), (-0.2, -0.2), (0.6, 0.6), (1.1, 1.1))
        man.paint(canvas, sx, sy - size * 0.42, pose, face)

    return paint


def ladder_climbing(draw):
    room, man = Room(draw, horizon=3.0), Figure(draw, draw.uniform(0.8, 1.1))
    metal, x, lean, f = (
        colour(draw, (0.0, 0.5), (0.5, 0.95)),
        draw.uniform(-0.35, 0.35),
        draw.uniform(-0.15, 0.15),
        draw.uniform(0.3, 0.8),
    )
    rise, y, window = draw.uniform(-0.06, 0.06), draw.uniform(-0.1, 0.15), draw.uniform(-0.8, 0.8)
    room.pictures = []

    def paint(canvas, t):
        room.paint(canvas)
        pane = canvas.local(window, -0.3, 0.4, radius=1.2)
        pane.fill(box(pane.u, pane.v, 0.8, 0.9), (0.95, 0.95, 0.95))
        pane.fill(
            np.maximum(box(pane.u, pane.v, 0.7, 0.8), F(0.05) - np.minimum(np.abs(pane.u), np.abs(pane.v))),
            (0.35, 0.5, 0.65),
        )
        patch = canvas.local(x, 0.0, 1.0, lean, radius=2.5)
        u, v = patch.u, patch.v
        for side in (-0.17, 0.17):
            patch.fill(np.abs(u - F(side)) - F(0.025), metal, F(1.0) + F(3.0) * (u - F(side)))
        rung = triangle_wave(v * F(3.6))
        patch.fill(np.maximum((F(0.86) - rung) * F(0.14), np.abs(u) - F(0.17)), metal)
        s = np.sin(2 * np.pi * f * t)
        pose = Pose(
            0.0,
            (0.15 + 0.1 * s, 0.2 - 0.1 * s),
            (0.05, -0.05),
            (2.7 + 0.25 * s, -2.7 + 0.25 * s),
            (2.9, -2.9),
            (0.8 + 0.2 * s, 0.8 - 0.2 * s),
            1.0,
        )
        man.paint(canvas, x - lean * (y + rise * t) * 0.5, y - rise * t + 0.05, pose)

    return paint
