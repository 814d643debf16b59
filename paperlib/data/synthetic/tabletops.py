"""The tabletop scenes of `synth_kinetics`: each takes random numbers, returns `paint(canvas, seconds)`."""

import numpy as np

from .backdrops import Wall, fill_all, sway
from .canvas import F, box, capsule, circle, ellipse, noise, polygon, triangle_wave, wedge
from .props import Hand, Room, Thing, colour

DARK = (0.06, 0.06, 0.08)


def cooking_egg(draw):
    stove, pan = colour(draw, (0.0, 0.3), (0.3, 0.8)), colour(draw, (0.0, 0.3), (0.1, 0.28))
    x, y, size, angle = (
        draw.uniform(-0.25, 0.25),
        draw.uniform(-0.2, 0.25),
        draw.uniform(0.5, 0.7),
        draw.uniform(-3.1, 3.1),
    )
    eggs = [
        (draw.uniform(-0.35, 0.35), draw.uniform(-0.35, 0.35), draw.uniform(0.25, 0.4), draw.uniform(0, 6))
        for _ in range(draw.pick((1, 2, 3)))
    ]
    hand, tool, reach, dx, dy = (
        Hand(draw),
        draw.chance(0.7),
        draw.uniform(-0.9, 0.9),
        sway(draw, 0.25),
        sway(draw, 0.2),
    )
    shift, knobs = draw.uniform(0, 8), draw.chance(0.6)

    def paint(canvas, t):
        fill_all(canvas, stove, 0.8, 0.35, (1.0, 2.0), shift)
        ring = canvas.local(x, y, size * 1.2, radius=1.2)
        ring.fill(circle(ring.u, ring.v, 1.0), (0.2, 0.2, 0.22))
        patch = canvas.local(x, y, size, angle, radius=2.6)
        patch.fill(capsule(patch.u, patch.v, 0.0, 0.9, 0.0, 2.4, 0.12), DARK)
        disc = circle(patch.u, patch.v, 1.0)
        patch.fill(disc, pan, F(1.2) + F(4.0) * np.clip(-disc - F(0.1), F(-0.1), F(0)))
        for ex, ey, s, seed in eggs:
            du, dv = patch.u - F(ex), patch.v - F(ey)
            edge = (noise(du * F(1.4) + F(seed), dv * F(1.4)) - F(0.5)) * F(0.35)
            white = np.maximum(np.sqrt(du * du + dv * dv) - F(s) + edge, disc + F(0.08))
            patch.fill(white, (0.98, 0.97, 0.93))
            yolk = circle(du, dv, s * 0.42)
            patch.fill(yolk, (0.98, 0.72, 0.1), F(1.05) - F(0.8) * dv)
        if knobs:
            for k in range(3):
                knob = canvas.local(-0.6 + 0.6 * k, 0.9, 0.09, radius=1.2)
                knob.fill(circle(knob.u, knob.v, 1.0), DARK)
        if tool:
            tx, ty = x + 0.4 * size + dx(t), y + 0.3 * size + dy(t)
            blade = canvas.local(tx, ty, 0.3, reach, radius=2.2)
            blade.fill(box(blade.u, blade.v, 0.3, 0.35, r=0.05), (0.25, 0.25, 0.28))
            blade.fill(capsule(blade.u, blade.v, 0.0, 0.3, 0.0, 2.0, 0.07), (0.5, 0.35, 0.2))
            hand.paint(canvas, tx - np.sin(reach) * 0.4, ty + np.cos(reach) * 0.4, reach, 0.1)

    return paint


def making_pizza(draw):
    board, crust = Room(draw, horizon=-9.0), (0.85, 0.66, 0.38)
    sauce, cheese = colour(draw, (0.7, 0.95), (0.55, 0.8), hue=(0.0, 0.04)), (0.97, 0.86, 0.5)
    x, y, size, turn = (
        draw.uniform(-0.2, 0.2),
        draw.uniform(-0.2, 0.2),
        draw.uniform(0.6, 0.85),
        draw.uniform(-3, 3),
    )
    tops = [
        (
            draw.uniform(-0.65, 0.65),
            draw.uniform(-0.65, 0.65),
            draw.uniform(0.08, 0.13),
            draw.pick(((0.7, 0.12, 0.1), (0.2, 0.45, 0.12), (0.12, 0.1, 0.1), (0.75, 0.7, 0.6))),
        )
        for _ in range(14)
    ]
    cover, seed, hand, reach = draw.uniform(0.8, 1.6), draw.uniform(0, 8), Hand(draw), draw.uniform(-2.0, 2.0)
    dx, dy = sway(draw, 0.5), sway(draw, 0.5)

    def paint(canvas, t):
        board.paint(canvas)
        patch = canvas.local(x, y, size, turn, radius=1.25)
        u, v = patch.u, patch.v
        disc = circle(u, v, 1.0) + (noise(u * F(0.9) + F(seed), v * F(0.9)) - F(0.5)) * F(0.12)
        patch.fill(disc, crust, F(0.9) + F(0.3) * noise(u * F(2), v * F(2)))
        patch.fill(disc + F(0.14), sauce)
        melt = np.clip(noise(u * F(1.6), v * F(1.6) + F(seed)) * F(5) - F(3.2 - cover), F(0), F(1))
        patch.paint(patch.cover(disc + F(0.18)) * melt, cheese)
        for px, py, s, tint in tops:
            patch.fill(np.maximum(circle(u, v, s, px, py), disc + F(0.16)), tint)
        hx, hy = x + 0.3 * size + dx(t), y + dy(t)
        hand.paint(canvas, hx, hy, reach, 0.4)

    return paint


def reading_book(draw):
    table = Room(draw, horizon=-9.0)
    x, y, size, tilt = (
        draw.uniform(-0.2, 0.2),
        draw.uniform(-0.2, 0.2),
        draw.uniform(0.5, 0.7),
        draw.uniform(-0.35, 0.35),
    )
    cover, picture = colour(draw), draw.chance(0.5)
    tint, dx, dy = colour(draw), sway(draw, 0.06), sway(draw, 0.06)
    hands, cup, near = (
        (Hand(draw, 0.25), Hand(draw, 0.25)),
        Thing(draw, (0.15, 0.2), ("mug", "can", "pear")),
        draw.uniform(0.7, 0.9),
    )
    hands[1].skin, hands[1].sleeve, lines = hands[0].skin, hands[0].sleeve, draw.uniform(4.5, 6.5)

    def paint(canvas, t):
        table.paint(canvas)
        cup.paint(canvas, -near, -0.7)
        px, py = x + dx(t), y + dy(t)
        patch = canvas.local(px, py, size, tilt, radius=1.6)
        u, v = patch.u, patch.v
        patch.fill(box(u, v, 1.12, 0.82, r=0.04), cover)
        fold = np.abs(u)
        patch.fill(box(u, v, 1.05, 0.75), (0.97, 0.95, 0.88), F(0.8) + F(0.25) * np.clip(fold * F(4), F(0), F(1)))
        text = np.maximum(
            F(0.5) - triangle_wave(v * F(lines)),
            np.maximum(np.abs(fold - F(0.54)) - F(0.4), np.abs(v) - F(0.62)),
        )
        patch.paint(patch.cover(text * F(0.3)) * F(0.75), (0.15, 0.15, 0.2))
        if picture:
            patch.fill(box(u, v, 0.36, 0.25, 0.54, -0.3), tint, F(0.9) - F(0.6) * v)
        for k, hand in enumerate(hands):
            way = (-1, 1)[k]
            hand.paint(canvas, px + way * size * 0.95, py + size * 0.5, -way * 0.4, 0.2)

    return paint


def using_computer(draw):
    wall, desk = Wall(draw, (0.1, 0.35)), draw.uniform(0.45, 0.6)
    screen, frame, x = (
        colour(draw, (0.1, 0.8), (0.2, 0.95)),
        colour(draw, (0.0, 0.2), (0.05, 0.6)),
        draw.uniform(-0.2, 0.2),
    )
    size, keys = draw.uniform(0.5, 0.68), colour(draw, (0.0, 0.2), (0.1, 0.9))
    windows = [
        (
            draw.uniform(-0.5, 0.5),
            draw.uniform(-0.25, 0.25),
            draw.uniform(0.2, 0.4),
            draw.uniform(0.12, 0.28),
            colour(draw),
        )
        for _ in range(3)
    ]
    hands, dx, dy, moved = (
        (Hand(draw, 0.22), Hand(draw, 0.22)),
        sway(draw, 0.1),
        sway(draw, 0.06, 2.5),
        sway(draw, 0.2),
    )
    hands[1].skin, hands[1].sleeve = hands[0].skin, hands[0].sleeve

    def paint(canvas, t):
        wall.paint(canvas)
        patch = canvas.local(x, -0.2, size, radius=2.0)
        u, v = patch.u, patch.v
        patch.fill(wedge(u, v, 0.12, 0.3, 0.15, 0.8), frame)
        patch.fill(box(u, v, 1.1, 0.72, r=0.05), frame)
        glass = box(u, v, 1.0, 0.62)
        patch.fill(glass, screen, F(0.9) - F(0.15) * v)
        for wx, wy, a, b, tint in windows:
            inner = box(u, v, a, b, wx, wy)
            patch.fill(np.maximum(inner, glass), (0.93, 0.93, 0.95))
            patch.fill(np.maximum(np.maximum(inner, v - F(wy - b + 0.07)), glass), tint)
            text = np.maximum(
                F(0.5) - triangle_wave(v * F(8)),
                np.maximum(np.abs(u - F(wx)) - F(a * 0.8), np.abs(v - F(wy + 0.05)) - F(b * 0.6)),
            )
            patch.paint(patch.cover(np.maximum(text * F(0.2), glass)) * F(0.6), (0.2, 0.2, 0.25))
        arrow = canvas.local(x + size * 0.5 * moved(t) * 4, -0.2 + size * moved(t + 3.0), 0.07, radius=2.5)
        arrow.fill(polygon(arrow.u, arrow.v, ((-0.5, -1.0), (0.7, 0.4), (-0.5, 0.8))), DARK)
        board = canvas.local(x, desk, size, radius=1.3)
        board.fill(wedge(board.u, board.v, 0.8, 0.95, 0.17), keys)
        caps = np.minimum(triangle_wave(board.u * F(5.5)), triangle_wave(board.v * F(8.5))) < F(0.25)
        board.paint(board.cover(wedge(board.u, board.v, 0.75, 0.9, 0.14)) * caps * F(0.6), (0.4, 0.4, 0.42))
        for k, hand in enumerate(hands):
            way = (-1, 1)[k]
            hand.paint(canvas, x + way * 0.28 + dx(t), desk + 0.05 + way * dy(t), way * 0.35, 0.4)

    return paint


def watering_plants(draw):
    wall, sill = Wall(draw, (0.4, 0.6)), draw.uniform(0.45, 0.65)
    plants = [
        (
            -0.65 + 0.65 * k + draw.uniform(-0.12, 0.12),
            draw.uniform(0.13, 0.2),
            colour(draw, (0.5, 0.8), (0.4, 0.8), hue=(0.02, 0.08)),
            colour(draw, (0.5, 0.9), (0.25, 0.65), hue=(0.24, 0.4)),
            draw.pick((None, colour(draw, (0.6, 1.0), (0.8, 1.0)))),
            [(draw.uniform(-0.9, 0.9), draw.uniform(1.5, 3.2)) for _ in range(7)],
            sway(draw, 0.1),
        )
        for k in range(3)
    ]
    can, x, y, side, tilt = (
        colour(draw),
        draw.uniform(-0.2, 0.3),
        draw.uniform(-0.6, -0.3),
        draw.sign(),
        draw.uniform(0.2, 0.5),
    )
    dx, dy, hand = sway(draw, 0.2), sway(draw, 0.1), Hand(draw)

    def paint(canvas, t):
        wall.paint(canvas)
        for px, s, pot, leaf, flower, leaves, move in plants:
            patch = canvas.local(px, sill, s, move(t) * 0.5, radius=5.0)
            u, v = patch.u, patch.v
            for a, length in leaves:
                tip_x, tip_y = length * a * 0.8, -0.9 - length * (1 - 0.4 * a * a)
                patch.fill(capsule(u, v, 0.0, -0.8, tip_x * 0.6, tip_y * 0.8, 0.08), leaf)
                patch.fill(ellipse(u, v, 0.42, 0.6, tip_x, tip_y), leaf, F(0.9) - F(0.1) * (v - F(tip_y)))
                if flower is not None:
                    patch.fill(circle(u, v, 0.28, tip_x, tip_y - 0.3), flower)
            patch.fill(wedge(u, v, 1.0, 0.7, 0.9), pot, F(1.0) - F(0.3) * u)
            patch.fill(box(u, v, 1.12, 0.18, 0.0, -0.85), pot)
        cx, cy = x + dx(t), y + dy(t)
        spout = canvas.local(cx, cy, 0.28, -side * tilt, radius=2.6, flip=-side)
        u, v = spout.u, spout.v
        spout.fill(
            np.minimum(box(u, v, 0.7, 0.6, r=0.1), capsule(u, v, 0.5, 0.3, 1.6, -0.4, 0.13, 0.08)),
            can,
            F(1.0) - F(0.3) * v,
        )
        spout.fill(ellipse(u, v, 0.12, 0.3, 1.65, -0.42), can, F(0.8))
        spout.fill(np.abs(circle(u, v, 0.45, -0.7, -0.2)) - F(0.08), can)
        hand.paint(canvas, cx + side * 0.22, cy - 0.1, -side * 1.4, 0.0)
        for k in range(8):
            fall = (t * 1.3 + k * 0.125) - np.floor(t * 1.3 + k * 0.125)
            drop = canvas.local(
                cx - side * (0.48 + 0.12 * fall + 0.03 * (k % 3)),
                cy + 0.05 + 0.6 * fall * fall,
                0.018,
                radius=5.0,
            )
            drop.fill(ellipse(drop.u, drop.v, 0.7, 1.5), (0.75, 0.88, 1.0))

    return paint
