"""People far away: a few strokes each, and no answer to who else is close by."""

from random import Random

from ctgi.synth.brush import Brush, scaled
from ctgi.synth.colors import RGB, shade
from ctgi.synth.parts import Part
from ctgi.synth.person import CLOTH, LOWER_COLORS, draw
from ctgi.synth.shapes import box, ellipse, polygon

_SKIN: tuple[RGB, ...] = ((0.9, 0.72, 0.6), (0.7, 0.5, 0.38), (0.4, 0.27, 0.2))
_HAIR: tuple[RGB, ...] = ((0.05, 0.05, 0.05), (0.05, 0.05, 0.05), (0.25, 0.17, 0.1), (0.75, 0.62, 0.4))


def draw_passers_by(brush: Brush, area: tuple[float, float, float, float], horizon: float, rng: Random) -> None:
    """Some people with their feet a little below the horizon; area: left, top, right, bottom."""
    left, _, right, bottom = area
    for _ in range(rng.choice((1, 2, 3, 5, 8))):
        size = rng.uniform(0.22, 0.5)
        foot = complex(rng.uniform(left, right), min(horizon + 100 * (size - 0.1) * 0.5, bottom - 4))
        _draw_one(brush, foot, size, rng)


def _draw_one(brush: Brush, foot: complex, size: float, rng: Random) -> None:
    upper, lower = (shade(draw(table, rng), rng) for table in (CLOTH, LOWER_COLORS))
    hip, neck = foot - 47j * size, foot - 80j * size
    step = rng.uniform(1, 7) * size
    for x in (-1, 1):
        leg = polygon([hip + x * 2.5 * size, foot + x * step], closed=False)
        brush.stroke(leg, scaled(lower, 0.9 if x < 0 else 1.0), 6 * size, Part.BACKGROUND)
        arm = polygon([neck + x * 8 * size, hip + complex(x * rng.uniform(8, 11), 4) * size], closed=False)
        brush.stroke(arm, scaled(upper, 0.85), 4.5 * size, Part.BACKGROUND)
        brush.fill(ellipse(foot + x * step + 1j * size, 3 * size, 1.8 * size), (0.1, 0.1, 0.1), Part.BACKGROUND)
    trunk = polygon([neck + 8 * size, neck - 8 * size, hip - 7.5 * size, hip + 7.5 * size])
    brush.fill(trunk, upper, Part.BACKGROUND)
    head = neck - 9j * size
    brush.fill(ellipse(head, 4.6 * size, 6.3 * size), rng.choice(_HAIR), Part.BACKGROUND)
    if rng.random() < 0.5:
        brush.fill(ellipse(head + 1.6j * size, 3.8 * size, 4.6 * size), rng.choice(_SKIN), Part.BACKGROUND)
    if rng.random() < 0.25:
        at = hip + complex(rng.choice((-10, 10)), rng.uniform(-4, 10)) * size
        bag = box(at.real - 4 * size, at.imag - 4 * size, at.real + 4 * size, at.imag + 5 * size, size)
        brush.fill(bag, shade("black", rng), Part.BACKGROUND)
