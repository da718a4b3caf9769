"""A bicycle under its rider."""

import math
from random import Random

from ctgi.synth.brush import Brush, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.parts import Part
from ctgi.synth.shapes import ellipse, polygon

_RADIUS = 19.0


def draw_bicycle(brush: Brush, figure: Figure, color: RGB, rng: Random) -> None:
    """Wheels, frame, saddle and bars; drawn before the rider."""
    rear, front = (0.0, -_RADIUS, -29.0), (0.0, -_RADIUS, 33.0)
    narrow = max(0.06, abs(figure.heading))
    black = (0.05, 0.05, 0.05)
    for hub in (rear, front):
        at = figure.project(hub)
        brush.stroke(ellipse(at, _RADIUS * narrow, _RADIUS), black, 1.6, Part.VEHICLE)
        brush.stroke(ellipse(at, _RADIUS * narrow * 0.93, _RADIUS * 0.93), (0.6, 0.6, 0.62), 0.5)
        for i in range(8):
            turn = math.pi * i / 8
            rim = complex(math.cos(turn) * narrow, math.sin(turn)) * _RADIUS * 0.93
            brush.stroke(polygon([at - rim, at + rim], closed=False), (0.5, 0.5, 0.52), 0.2, alpha=0.5)
    points = {
        "rear": rear, "front": front, "crank": (0.0, -15.0, 4.0), "seat": (0.0, -48.0, -8.0),
        "head": (0.0, -52.0, 22.0), "low": (0.0, -40.0, 25.0), "bars": (0.0, -61.0, 23.0),
    }  # fmt: skip
    seen = {name: figure.project(vec) for name, vec in points.items()}
    tubes = (
        ("rear", "crank"),
        ("rear", "seat"),
        ("crank", "seat"),
        ("seat", "head"),
        ("crank", "low"),
        ("bars", "head"),
        ("head", "front"),
    )
    for a, b in tubes:
        brush.stroke(polygon([seen[a], seen[b]], closed=False), color, 1.7, Part.VEHICLE)
        brush.stroke(polygon([seen[a] - 0.4, seen[b] - 0.4], closed=False), scaled(color, 1.5), 0.4, alpha=0.6)
    grips = [figure.project((side * 11.0, -62.0, 22.0)) for side in (-1, 1)]
    brush.stroke(polygon([grips[0], seen["bars"], grips[1]], closed=False), black, 1.4, Part.VEHICLE)
    brush.fill(ellipse(seen["seat"] - 1.5j, figure.half(3.0, 5.5), 1.6), black, Part.VEHICLE)
    if rng.random() < 0.4:
        at = figure.project((0.0, -54.0, 31.0))
        half = figure.half(7.0, 5.0)
        basket = polygon(
            [at + complex(-half, -5), at + complex(half, -5), at + complex(half * 0.8, 5), at + complex(-half * 0.8, 5)]
        )
        brush.fill(basket, (0.25, 0.25, 0.26), Part.VEHICLE)
