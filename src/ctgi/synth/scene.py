"""Surroundings: a floor, what stands behind, and things nearby. All of it is chance."""

from collections.abc import Callable
from random import Random

import skia

from ctgi.synth.brush import Brush, mixed, scaled
from ctgi.synth.colors import COLORS, RGB, shade
from ctgi.synth.parts import Part
from ctgi.synth.passers import draw_passers_by
from ctgi.synth.shapes import box, ellipse, polygon, smooth

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in units."""


def draw_scene(brush: Brush, scene: str, area: Rect, horizon: float, rng: Random) -> None:
    """Fills the area: what stands above the horizon, the floor below it."""
    left, top, right, bottom = area
    _FAR[scene](brush, (left, top, right, horizon), rng)
    _draw_floor(brush, scene, (left, horizon, right, bottom), rng)
    if scene in ("hall", "shop"):
        draw_glare(brush, (left, horizon, right, bottom), rng)
    if scene != "wall" and rng.random() < 0.25:
        draw_passers_by(brush, area, horizon, rng)


def gray(rng: Random, low: float, high: float, tint: float = 0.06) -> RGB:
    """A dull color."""
    level = rng.uniform(low, high)
    return (level + rng.uniform(-tint, tint), level + rng.uniform(-tint, tint) * 0.7, level + rng.uniform(-tint, tint))


def lively(rng: Random) -> RGB:
    """Any of the colors that clothes have."""
    return shade(rng.choice(list(COLORS)), rng)


def _rect(brush: Brush, area: Rect, color: RGB) -> skia.Path:
    path = box(*area)
    brush.fill(path, color, Part.BACKGROUND)
    return path


def _draw_floor(brush: Brush, scene: str, area: Rect, rng: Random) -> None:
    _, top, _, bottom = area
    if bottom <= top:
        return
    green = scene == "park" and rng.random() < 0.6
    color = (rng.uniform(0.2, 0.5), rng.uniform(0.32, 0.55), rng.uniform(0.12, 0.3)) if green else gray(rng, 0.25, 0.85)
    path = _rect(brush, area, color)
    brush.texture(path, "blotches", rng.uniform(0.0, 0.6) ** 1.5, rng.uniform(40, 160), complex(rng.uniform(0, 99), 0))
    brush.texture(path, "fur" if green else "grain", rng.uniform(0.0, 0.5) ** 1.5, rng.uniform(20, 60))
    if scene in ("hall", "shop") or rng.random() < 0.1:
        brush.texture(
            path, "streaks", rng.uniform(0.0, 0.5) ** 1.5, rng.uniform(80, 250), complex(rng.uniform(0, 99), 0)
        )
    brush.shade(path, complex(0, top), complex(0, bottom), (rng.uniform(-0.3, 0.2), rng.uniform(-0.2, 0.2)), 1)
    if not green and rng.random() < 0.65:
        _draw_tiles(brush, area, color, rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        _draw_marking(brush, area, rng)


def draw_glare(brush: Brush, area: Rect, rng: Random) -> None:
    """Lamps and windows on a polished floor."""
    left, top, right, bottom = area
    if bottom <= top:
        return
    with brush.clip(box(*area)):
        for _ in range(rng.choice((0, 0, 1, 2, 4))):
            at = complex(rng.uniform(left, right), rng.uniform(top, bottom))
            spot = ellipse(at, rng.uniform(2, 14), rng.uniform(3, 40))
            brush.tint(spot, (1.0, 1.0, 0.97), rng.uniform(0.08, 0.4), rng.uniform(1, 4))


def draw_reflection(brush: Brush, feet: list[complex], color: RGB, rng: Random) -> None:
    """The legs, upside down in a polished floor."""
    for foot in feet:
        wide, long = rng.uniform(2.5, 4.5), rng.uniform(10, 30)
        path = box(foot.real - wide, foot.imag + 2, foot.real + wide, foot.imag + long, 2)
        brush.tint(path, color, rng.uniform(0.1, 0.4), rng.uniform(0.8, 2.0))


def _draw_tiles(brush: Brush, area: Rect, color: RGB, rng: Random) -> None:
    left, top, right, bottom = area
    line = scaled(color, rng.choice((0.6, 0.75, 0.85, 1.2)))
    width, alpha = rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.9)
    y, step = top, rng.uniform(1.5, 5)
    while y < bottom:
        brush.stroke(polygon([complex(left, y), complex(right, y)], closed=False), line, width, alpha=alpha)
        step *= rng.uniform(1.1, 1.3) if step < 30 else 1
        y += step
    vanish, gap = complex(rng.uniform(-60, 60), top - rng.uniform(20, 200)), rng.uniform(8, 30)
    for i in range(-10, 11):
        foot = complex(i * gap, bottom)
        start = vanish + (foot - vanish) * ((top - vanish.imag) / (bottom - vanish.imag))
        brush.stroke(polygon([start, foot], closed=False), line, width, alpha=alpha)


def _draw_marking(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    color = rng.choice(((0.9, 0.9, 0.88), (0.85, 0.7, 0.2), gray(rng, 0.3, 0.7), lively(rng)))
    x, y = rng.uniform(left, right), rng.uniform(top, bottom)
    lean = rng.uniform(-30, 30)
    path = polygon(
        [complex(x, y), complex(x + rng.uniform(4, 40), y), complex(x + lean + 30, bottom), complex(x + lean, bottom)]
    )
    if rng.random() < 0.4:
        path = ellipse(complex(x, y), rng.uniform(8, 50), rng.uniform(3, 15))
    with brush.clip(box(*area)):
        brush.tint(path, color, rng.uniform(0.3, 0.9))


def _far_street(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    path = _rect(brush, area, gray(rng, 0.55, 0.95))
    brush.shade(path, complex(0, top), complex(0, bottom), (rng.uniform(-0.2, 0.2), 0.1), 1)
    x = left - rng.uniform(0, 30)
    while x < right:
        width = rng.uniform(20, 70)
        roof = top + rng.choice((0.0, rng.uniform(0, 0.6) * (bottom - top)))
        _draw_house(brush, (x, roof, x + width, bottom), rng)
        x += width
    for _ in range(rng.choice((0, 1, 1, 2))):
        _draw_car(brush, complex(rng.uniform(left, right), bottom + rng.uniform(-1, 5)), rng)
    _draw_poles(brush, area, rng)


def _draw_house(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    color = rng.choice(
        (
            gray(rng, 0.2, 0.9, 0.1),
            (rng.uniform(0.4, 0.7), rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.35)),
            lively(rng),
        )
    )
    path = _rect(brush, area, color)
    brush.texture(path, rng.choice(("blotches", "streaks", "grain")), rng.uniform(0.1, 0.5), 60)
    if rng.random() < 0.4:
        _draw_bricks(brush, area, color, rng)
    pane, high, gap = rng.uniform(4, 14), rng.uniform(6, 22), rng.uniform(2, 8)
    glass = gray(rng, 0.08, 0.6)
    y = top + gap
    while y < bottom - high * 0.6:
        x = left + gap
        while x < right - pane * 0.6:
            window = box(x, y, x + pane, y + high)
            brush.fill(window, scaled(glass, rng.uniform(0.7, 1.4)), Part.BACKGROUND)
            brush.stroke(window, scaled(color, 1.25), 0.6, alpha=0.8)
            x += pane + gap
        y += high + gap


def _draw_bricks(brush: Brush, area: Rect, color: RGB, rng: Random) -> None:
    left, top, right, bottom = area
    high, wide = rng.uniform(1.8, 5), rng.uniform(4, 12)
    line = scaled(color, rng.choice((0.65, 1.35)))
    y, row = top, 0
    path = skia.Path()
    while y < bottom:
        path.moveTo(left, y)
        path.lineTo(right, y)
        x = left + (wide / 2 if row % 2 else 0)
        while x < right:
            path.moveTo(x, y)
            path.lineTo(x, y + high)
            x += wide
        y, row = y + high, row + 1
    brush.stroke(path, line, 0.4, alpha=rng.uniform(0.3, 0.8))


def _draw_car(brush: Brush, at: complex, rng: Random) -> None:
    color = rng.choice((lively(rng), gray(rng, 0.05, 0.95)))
    size, flip = rng.uniform(0.7, 1.4), rng.choice((-1, 1))
    body = [(-35, 0), (-36, -9), (-30, -13), (-18, -14), (-9, -23), (12, -23), (22, -14), (34, -11), (36, 0)]
    glass = [(-15, -14), (-8, -21.5), (11, -21.5), (18, -14)]
    path = smooth([at + complex(x * flip, y) * size for x, y in body])
    brush.fill(path, color, Part.BACKGROUND)
    brush.shade(path, at - 23j * size, at, (0.25, 0.0, -0.3), 1)
    brush.fill(smooth([at + complex(x * flip, y) * size for x, y in glass]), (0.12, 0.14, 0.17), Part.BACKGROUND)
    for x in (-22, 22):
        brush.fill(ellipse(at + complex(x, -1) * size, 6 * size, 6 * size), (0.06, 0.06, 0.06), Part.BACKGROUND)
        brush.fill(ellipse(at + complex(x, -1) * size, 3.3 * size, 3.3 * size), (0.55, 0.55, 0.57), Part.BACKGROUND)


def _draw_poles(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    for _ in range(rng.choice((0, 0, 1, 2))):
        x, wide = rng.uniform(left, right), rng.uniform(0.8, 4)
        path = box(x - wide, top, x + wide, bottom + rng.uniform(0, 12))
        color = gray(rng, 0.1, 0.8)
        brush.fill(path, color, Part.BACKGROUND)
        brush.round(path, complex(x, top), complex(x, bottom), wide, 0.5)
        if rng.random() < 0.5:
            y = rng.uniform(top, bottom)
            brush.fill(box(x - 8, y, x + 8, y + rng.uniform(6, 16)), lively(rng), Part.BACKGROUND)


def _far_park(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    color = (rng.uniform(0.15, 0.4), rng.uniform(0.25, 0.5), rng.uniform(0.08, 0.3))
    path = _rect(brush, area, color)
    brush.texture(path, "blotches", rng.uniform(0.5, 1.0), rng.uniform(30, 90), complex(rng.uniform(0, 99), 3))
    for _ in range(rng.randint(4, 14)):
        at = complex(rng.uniform(left, right), rng.uniform(top, bottom))
        leaf = scaled(color, rng.uniform(0.5, 1.7))
        bush = ellipse(at, rng.uniform(8, 30), rng.uniform(6, 22), rng.uniform(0, 90))
        brush.tint(bush, leaf, rng.uniform(0.4, 1.0))
    brush.texture(path, "grain", rng.uniform(0.3, 0.9), rng.uniform(60, 160))
    if rng.random() < 0.4:
        sky = smooth(
            [complex(left + (right - left) * i / 7, top + rng.uniform(0, 0.5) * (bottom - top)) for i in range(8)]
            + [complex(right, top - 9), complex(left, top - 9)]
        )
        brush.tint(sky, rng.choice(((0.75, 0.85, 0.97), (0.9, 0.92, 0.93))), 0.95)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        x, wide = rng.uniform(left, right), rng.uniform(1.5, 5)
        trunk = polygon(
            [
                complex(x - wide, top),
                complex(x + wide, top),
                complex(x + wide * 1.4, bottom + 3),
                complex(x - wide * 1.4, bottom + 3),
            ]
        )
        brush.fill(trunk, (rng.uniform(0.2, 0.4), rng.uniform(0.16, 0.3), 0.15), Part.BACKGROUND)
        brush.texture(trunk, "streaks", 0.7, 30)


def _far_wall(brush: Brush, area: Rect, rng: Random) -> None:
    color = rng.choice(
        (
            gray(rng, 0.2, 0.95, 0.08),
            (rng.uniform(0.45, 0.7), rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.35)),
            lively(rng),
        )
    )
    path = _rect(brush, area, color)
    brush.texture(path, "blotches", rng.uniform(0.0, 0.7) ** 1.5, rng.uniform(40, 150), complex(rng.uniform(0, 99), 0))
    brush.texture(path, rng.choice(("streaks", "grain")), rng.uniform(0.05, 0.6) ** 1.5, rng.uniform(30, 120))
    if rng.random() < 0.6:
        _draw_bricks(brush, area, color, rng)
    _draw_posters(brush, area, rng)
    _draw_poles(brush, area, rng)


def _draw_posters(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    for _ in range(rng.choice((0, 0, 1, 2))):
        x, y = rng.uniform(left - 10, right), rng.uniform(top, bottom)
        wide, high = rng.uniform(8, 40), rng.uniform(8, 45)
        poster = box(x, y, x + wide, min(y + high, bottom))
        brush.fill(poster, lively(rng), Part.BACKGROUND)
        for _ in range(rng.randint(0, 5)):
            line = y + rng.uniform(0.1, 0.9) * high
            brush.stroke(
                polygon([complex(x + 2, line), complex(x + wide * rng.uniform(0.3, 0.9), line)], closed=False),
                lively(rng),
                rng.uniform(0.5, 2.5),
            )


def _far_hall(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    color = gray(rng, 0.25, 0.9)
    path = _rect(brush, area, color)
    brush.shade(path, complex(left, top), complex(right, bottom), (rng.uniform(-0.4, 0.3), rng.uniform(-0.4, 0.3)), 1)
    for _ in range(rng.randint(1, 5)):
        x, wide = rng.uniform(left, right), rng.uniform(4, 30)
        door = box(x, top + rng.uniform(0, 0.7) * (bottom - top), x + wide, bottom)
        brush.fill(door, gray(rng, 0.05, 0.95), Part.BACKGROUND)
        brush.stroke(door, gray(rng, 0.2, 0.8), rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        y, step = bottom - rng.uniform(0, 20), rng.uniform(2, 6)
        for i in range(9):
            brush.stroke(
                polygon([complex(left, y - i * step), complex(right, y - i * step - rng.uniform(0, 3))], closed=False),
                gray(rng, 0.1, 0.9),
                rng.uniform(0.4, 2),
            )
    _draw_posters(brush, area, rng)
    _draw_poles(brush, area, rng)


def _far_shop(brush: Brush, area: Rect, rng: Random) -> None:
    left, top, right, bottom = area
    _rect(brush, area, gray(rng, 0.1, 0.8))
    y = top + rng.uniform(0, 6)
    while y < bottom:
        high, x = rng.uniform(8, 22), left - rng.uniform(0, 8)
        while x < right:
            wide = rng.uniform(2, 12)
            item = box(x, y + high * rng.uniform(0.1, 0.5), x + wide * 0.92, y + high, rng.uniform(0, 1))
            brush.fill(item, rng.choice((lively(rng), gray(rng, 0.1, 0.9))), Part.BACKGROUND)
            x += wide
        brush.stroke(
            polygon([complex(left, y + high), complex(right, y + high)], closed=False),
            gray(rng, 0.2, 0.9),
            rng.uniform(0.6, 2),
        )
        y += high + rng.uniform(1, 4)


_FAR: dict[str, Callable[[Brush, Rect, Random], None]] = {
    "street": _far_street,
    "park": _far_park,
    "wall": _far_wall,
    "hall": _far_hall,
    "shop": _far_shop,
}


def draw_shadow(brush: Brush, feet: list[complex], rng: Random) -> None:
    """A soft shadow where the feet stand."""
    darkness = rng.uniform(0.1, 0.5)
    for foot in feet:
        brush.tint(ellipse(foot + 2j, rng.uniform(6, 11), rng.uniform(1.5, 3)), (0, 0, 0), darkness, 1.5)
    if rng.random() < 0.35:
        lean = rng.uniform(-60, 60)
        foot = feet[0]
        path = smooth(
            [
                foot - 6,
                foot + 6,
                foot + complex(lean + 8, rng.uniform(6, 20)),
                foot + complex(lean - 8, rng.uniform(6, 20)),
            ]
        )
        brush.tint(path, (0, 0, 0), darkness, 1.0)


def draw_hard_shadow(brush: Brush, area: Rect, rng: Random) -> None:
    """The edge of a shadow of something outside of the picture, over everything."""
    left, top, right, bottom = area
    center = complex((left + right) / 2 + rng.uniform(-20, 20), rng.uniform(top, bottom))
    along = complex(rng.uniform(-1, 1), rng.uniform(-0.6, 0.6))
    along /= abs(along)
    wide = rng.choice((200.0, 200.0, rng.uniform(5, 25)))
    edge = [
        center - along * 300,
        center + along * 300,
        center + along * 300 + 1j * along * wide,
        center - along * 300 + 1j * along * wide,
    ]
    brush.tint(
        polygon(edge),
        rng.choice(((0.0, 0.0, 0.05), (0.0, 0.0, 0.05), (1.0, 0.97, 0.88))),
        rng.uniform(0.08, 0.3),
        rng.uniform(0.1, 2),
    )


def draw_foreground(brush: Brush, area: Rect, rng: Random) -> None:
    """Something in front that hides part of the person."""
    left, top, right, bottom = area
    kind = rng.choice(("pole", "pole", "box", "car", "rail"))
    x = rng.uniform(left, right)
    if kind == "pole":
        wide = rng.uniform(1.5, 6)
        path = box(x - wide, top - 9, x + wide, bottom + 9)
    elif kind == "box":
        path = box(x, bottom - rng.uniform(15, 45), x + rng.choice((-1, 1)) * rng.uniform(15, 60), bottom + 9, 1)
    elif kind == "rail":
        y = rng.uniform(bottom - 60, bottom - 25)
        path = box(left - 9, y, right + 9, y + rng.uniform(1.5, 5))
    else:
        _draw_car(brush, complex(x + rng.choice((-35, 35)), bottom + rng.uniform(-5, 8)), rng)
        return
    color = mixed(gray(rng, 0.08, 0.85), lively(rng), rng.choice((0.0, 0.3, 1.0)))
    brush.fill(path, color, Part.BACKGROUND)
    brush.texture(path, "blotches", 0.4, 40)
    brush.shade(path, complex(x - 6, 0), complex(x + 6, 0), (0.1, 0.0, -0.25), 0.8)
