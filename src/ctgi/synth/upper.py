"""Upper garments and dresses: trunk, sleeves, collars, fronts, prints."""

from itertools import pairwise
from random import Random

import skia

from ctgi.synth.body import arm_rings
from ctgi.synth.brush import Brush, luminance, mixed, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.patterns import cloth
from ctgi.synth.person import NONE, OUTER, Person
from ctgi.synth.shapes import Ring, between, box, degrees, ellipse, polygon, segment, smooth, trunk

_SKIRT_SHARE = {"short": 0.36, "knee-length": 0.56, "long": 0.86}
"""How far down the leg a skirt or dress reaches."""


_FOLDS = ("folds", "creases", "drape")


def hem_drop(figure: Figure, length: str) -> float:
    """Where a skirt of a length ends, in units below the hip joints."""
    return figure.build.leg * _SKIRT_SHARE[length]


def surface(brush: Brush, path: skia.Path, color: RGB, look: Look, at: complex, axis: complex, name: str) -> None:
    """Cloth: weave and folds."""
    soft, shine = (0.6 if luminance(color) > 0.75 else 1.0), 0.12 + 0.6 * luminance(color)
    turn = degrees(axis) - 90
    if name not in _FOLDS:
        size = 26 if name in ("puffer", "leather", "denim") else 17
        gloss = shine + 0.2 if name in ("puffer", "leather") else shine
        brush.texture(path, name, look.cut.cloth_strength * soft, size, at, turn, gloss)
    folds = name if name in _FOLDS else "drape"
    width = 24 + 14 * look.pattern_size
    brush.texture(path, folds, look.cut.fold_strength * soft, width, at * 1.7, turn + 12 * look.fringe, shine)


def sheen(color: RGB) -> float:
    """How much light a cloth of this color throws back: dark cloth stays dark."""
    return 0.16 + 0.6 * luminance(color)


def draw_upper(brush: Brush, figure: Figure, person: Person, look: Look, rng: Random) -> None:
    """The trunk of the garment with everything on it, without sleeves."""
    rings = _rings(figure, person, look)
    path = trunk(rings)
    _add_shoulders(path, figure, person, look)
    fill = cloth(look.upper, look.pattern, _tiled_pattern(person, look), look, at=rings[0][0])
    brush.fill(path, fill, Part.UPPER)
    surface(brush, path, look.upper, look, rings[0][0], 1j, look.cut.cloth)
    width = max(half for _, half in rings)
    with brush.clip(path):
        if figure.facing > 0.25 or (figure.facing > -0.2 and person.inner_color != NONE):
            _draw_front(brush, figure, person, look, rings)
        elif figure.facing < -0.25:
            _draw_back(brush, figure, look, rings)
        if person.upper_type == "dress":
            _draw_waist(brush, figure, look)
        _draw_wrinkles(brush, figure, rng)
        brush.round(path, rings[0][0], rings[-1][0], width, sheen(look.upper))
        brush.shade(path, rings[0][0], rings[-1][0], (0.06, 0.0, -0.02, -0.05, -0.14), sheen(look.upper))
    _draw_neckline(brush, figure, person, look)


def draw_sleeve(brush: Brush, figure: Figure, person: Person, look: Look, side: int) -> None:
    """A sleeve over the arm; nothing where the garment has none."""
    rings = _sleeve_rings(figure, person, look, side)
    for i, (start, end) in enumerate(pairwise(rings)):
        last = i == len(rings) - 2
        path = segment(start, end, round_start=i > 0, round_end=not last)
        axis = end[0] - start[0]
        fill = cloth(look.upper, look.pattern, _tiled_pattern(person, look), look, axis, start[0])
        brush.fill(path, fill, Part.UPPER)
        surface(brush, path, look.upper, look, start[0] * 3, axis, look.cut.cloth)
        brush.round(path, start[0], end[0], max(start[1], end[1]), sheen(look.upper))
    if rings and look.cut.cuff:
        _draw_cuff(brush, rings, person, look)


def _sleeve_rings(figure: Figure, person: Person, look: Look, side: int) -> list[Ring]:
    if person.sleeves == NONE:
        return []
    (shoulder, a), (elbow, b), (hand, c) = arm_rings(figure, side)
    shoulder = between(shoulder, figure.at("neck"), 0.06)
    loose = look.cut.loose
    if person.sleeves == "short":
        end = between(shoulder, elbow, look.cut.sleeve)
        return [(shoulder, a + loose * 0.25), (end, b + 0.9 + loose * 0.5)]
    return [(shoulder, a + loose * 0.25), (elbow, b + 0.5 + loose * 0.45), (hand, c + 0.6 + loose * 0.3)]


def _draw_cuff(brush: Brush, rings: list[Ring], person: Person, look: Look) -> None:
    end, width = rings[-1]
    start = rings[-2][0]
    top = between(end, start, 0.12)
    path = segment((top, width + 0.15), (end, width + 0.15), round_start=False, round_end=False)
    fur = look.cut.collar == "fur" and person.sleeves == "long"
    brush.fill(path, look.trim if fur else scaled(look.upper, 0.88), Part.UPPER)
    brush.round(path, top, end, width, sheen(look.upper))


def _tiled_pattern(person: Person, look: Look) -> str:
    emblem = person.upper_pattern == "printed" and not look.printed_all_over
    return "plain" if emblem else person.upper_pattern


def _rings(figure: Figure, person: Person, look: Look) -> list[Ring]:
    loose = look.cut.loose
    spine = abs(figure.at("neck") - figure.at("pelvis")) or 1.0
    rings = [figure.trunk_ring(level, extra) for level, extra in ((1.0, 0.4), (0.95, 0.5), (0.86, 0.6))]
    rings += [figure.trunk_ring(0.72, loose * 0.8), figure.trunk_ring(0.42, loose)]
    if person.upper_type == "dress":
        drop = hem_drop(figure, person.lower_length)
        flare = look.cut.skirt_flare * 6
        return [*rings, figure.trunk_ring(0.05, loose * 0.5 + flare * 0.15), *_skirt(figure, drop, flare)]
    hem = 0.12 * spine if look.cut.tucked else look.cut.hem
    if hem >= 0:
        return [*rings, figure.trunk_ring(min(hem / spine, 0.3), loose * 0.6)]
    rings.append(figure.trunk_ring(0.05, loose * 0.9))
    return [*rings, *_skirt(figure, -hem, 0.5 + loose * 0.4 - hem * 0.05)]


def _skirt(figure: Figure, drop: float, flare: float) -> list[Ring]:
    return [figure.skirt_ring(drop * share, 0.8 + flare * share) for share in (0.4, 0.75, 1.0)]


def _add_shoulders(path: skia.Path, figure: Figure, person: Person, look: Look) -> None:
    if person.sleeves == NONE:
        return
    for side in (1, -1):
        at, radius = arm_rings(figure, side)[0]
        at = between(at, figure.at("neck"), 0.06)
        path.addCircle(at.real, at.imag, radius + look.cut.loose * 0.25, skia.PathDirection.kCW)


def _middle(figure: Figure, level: float, across: float = 0.0) -> complex:
    """A point on the front of the trunk; across is -1 to 1, person's right to left."""
    center, _ = figure.trunk_ring(level)
    depth = figure.build.chest * figure.build.depth
    x = across * figure.build.chest * figure.facing + depth * figure.heading
    return center + x


def _draw_front(brush: Brush, figure: Figure, person: Person, look: Look, rings: list[Ring]) -> None:
    top, bottom = _middle(figure, 1.0), _middle(figure, 0.0)
    bottom = complex(bottom.real, rings[-1][0].imag + 2)
    front = look.cut.front
    if front == "open":
        _draw_open(brush, figure, look, top, bottom)
    elif front in ("buttons", "zip") and person.upper_type != "dress":
        brush.stroke(polygon([top, bottom], closed=False), scaled(look.upper, 0.6), 0.35, alpha=0.7)
        if front == "buttons":
            count = 4 if person.upper_type in OUTER else 7
            for i in range(count):
                at = between(top, bottom, (i + 0.8) / (count + 0.5)) + 0.8
                brush.tint(ellipse(at, 0.45, 0.45), look.trim, 0.8)
    if person.upper_pattern == "printed" and _tiled_pattern(person, look) == "plain":
        _draw_print(brush, figure, look, look.pattern)
    if look.cut.pocket and person.upper_type in ("shirt", "jacket", "coat", "blazer"):
        at = _middle(figure, 0.68, 0.5)
        brush.stroke(
            box(at.real - 2, at.imag - 1.5, at.real + 2, at.imag + 3), scaled(look.upper, 0.65), 0.3, alpha=0.5
        )


def _draw_open(brush: Brush, figure: Figure, look: Look, top: complex, bottom: complex) -> None:
    width = look.cut.open_width * max(0.3, figure.facing)
    path = smooth([top - 1.4, top + 1.4, between(top, bottom, 0.3) + width, bottom + width * 1.3, bottom - width * 1.3,
                   between(top, bottom, 0.3) - width])  # fmt: skip
    brush.fill(path, look.inner, Part.INNER)
    brush.texture(path, "creases", 0.35, 30, top, sheen=sheen(look.inner))
    brush.shade(path, top - width * 1.3, top + width * 1.3, (-0.4, 0.0, 0.05, 0.0, -0.4), 0.3)
    if look.cut.collar in ("lapels", "shirt"):
        for sign in (-1, 1):
            mid = between(top, bottom, 0.33) + sign * width * 0.95
            lapel = polygon([top + sign * 1.5, mid, mid + sign * 2.0 - 3.5j, top + sign * 3.6 + 0.6j])
            brush.fill(lapel, scaled(look.upper, 0.9), Part.UPPER)
            brush.stroke(lapel, scaled(look.upper, 0.6), 0.3, alpha=0.6)


def _draw_print(brush: Brush, figure: Figure, look: Look, color: RGB) -> None:
    at = _middle(figure, 0.66)
    wide = 5.0 * look.pattern_size**0.5 * max(0.25, figure.facing)
    kind = look.cut.print_kind
    if kind == "band":
        brush.fill(box(at.real - 40, at.imag - 3.5, at.real + 40, at.imag + 3.5), color, Part.UPPER)
    elif kind == "letters":
        for row in range(2):
            for i in range(5):
                x = at.real + (i - 2) * wide * 0.42
                y = at.imag + row * 3.2 - 1.5
                brush.fill(box(x - wide * 0.15, y - 1.1, x + wide * 0.15, y + 1.1), color, Part.UPPER)
    else:
        path = ellipse(at, wide, 4.6) if kind == "emblem" else _blot(at, wide)
        brush.fill(path, color, Part.UPPER)
        brush.fill(ellipse(at + complex(wide * 0.15, -0.6), wide * 0.5, 2.0), look.trim, Part.UPPER)


def _blot(at: complex, wide: float) -> skia.Path:
    return smooth(
        [at + complex(x * wide, y) for x, y in ((-1, -3), (0.2, -5), (1.1, -2), (0.8, 4), (-0.2, 2.5), (-0.9, 5))]
    )


def _draw_back(brush: Brush, figure: Figure, look: Look, rings: list[Ring]) -> None:
    top, bottom = figure.trunk_ring(0.95)[0], rings[-1][0]
    if look.cut.front != "closed":
        brush.stroke(polygon([top, bottom], closed=False), scaled(look.upper, 0.6), 0.3, alpha=0.4)
    if look.cut.pocket:
        at = figure.trunk_ring(0.8)[0]
        brush.stroke(smooth([at - 9, at + 0.6j, at + 9], closed=False), scaled(look.upper, 0.6), 0.3, alpha=0.5)


def _draw_waist(brush: Brush, figure: Figure, look: Look) -> None:
    at, half = figure.trunk_ring(0.4, look.cut.loose)
    brush.stroke(smooth([at - half, at + 0.8j, at + half], closed=False), scaled(look.upper, 0.55), 0.5, alpha=0.5)


def _draw_wrinkles(brush: Brush, figure: Figure, rng: Random) -> None:
    for _ in range(rng.randint(3, 7)):
        level = rng.uniform(0.05, 0.7)
        at, half = figure.trunk_ring(level)
        side = rng.choice((-1, 1))
        start = at + side * half * rng.uniform(0.5, 1.1)
        end = start + complex(-side * rng.uniform(3, 9), rng.uniform(-3, 5))
        path = smooth([start, between(start, end, 0.5) + 1j, end], closed=False)
        brush.stroke(path, (0.0, 0.0, 0.0), rng.uniform(0.4, 1.0), alpha=rng.uniform(0.08, 0.22))


def _draw_neckline(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    neck, half = figure.trunk_ring(1.0)
    collar = look.cut.collar
    if figure.facing > -0.15 and person.inner_color == NONE and collar in ("crew", "none", "shirt", "lapels"):
        deep = {"crew": 1.6, "shirt": 2.6}.get(collar, 2.0 + look.cut.neckline)
        wide = half * (0.8 if collar in ("crew", "shirt") else 1.1)
        at = neck + complex(figure.heading * 2.0, -0.8)
        opening = smooth(
            [
                at - wide - 1j,
                at + wide - 1j,
                at + wide * 0.7 + deep * 0.7j,
                at + deep * 1.3j,
                at - wide * 0.7 + deep * 0.7j,
            ]
        )
        brush.fill(opening, look.skin, Part.SKIN)
        if collar == "crew":
            brush.stroke(opening, scaled(look.upper, 0.8), 0.5, Part.UPPER)
    if collar in _COLLARS:
        _COLLARS[collar](brush, figure, look, neck, half)


def _shirt_collar(brush: Brush, figure: Figure, look: Look, neck: complex, half: float) -> None:
    for sign in (-1, 1):
        inner = neck + complex(figure.heading * 2.0 + sign * 0.5, 2.2 if figure.facing > 0 else 0)
        path = polygon(
            [
                neck + sign * half * 1.15 - 1.6j,
                inner,
                inner + sign * 2.2 + 1.4j,
                neck + sign * (half * 1.3 + 0.8) + 0.4j,
            ]
        )
        brush.fill(path, scaled(look.upper, 0.94), Part.UPPER)
        brush.stroke(path, scaled(look.upper, 0.6), 0.25, alpha=0.6)


def _stand_collar(brush: Brush, figure: Figure, look: Look, neck: complex, half: float) -> None:
    path = trunk([(neck - 3.2j, half * 0.98), (neck - 1j, half * 1.1), (neck + 1.4j, half * 1.25)])
    with brush.clip(
        ellipse(neck + complex(figure.heading * 2, -3.2), half * 0.7, 2.6 * max(0.0, figure.facing)), out=True
    ):
        brush.fill(path, scaled(look.upper, 0.92), Part.UPPER)
        brush.round(path, neck - 3j, neck + 1j, half, sheen(look.upper))


def _fur_collar(brush: Brush, figure: Figure, look: Look, neck: complex, half: float) -> None:
    path = smooth(
        [
            neck + complex(x * half, y)
            for x, y in ((-1.3, -3), (0, -1.5), (1.3, -3), (2.1, 1.5), (1.0, 6.5), (0, 4), (-1.0, 6.5), (-2.1, 1.5))
        ]
    )
    color = mixed(look.upper, look.hair, 0.35)
    brush.fill(path, color, Part.UPPER)
    brush.texture(path, "fur", 0.6, 18, neck, sheen=sheen(color) + 0.2)


def _hood(brush: Brush, figure: Figure, look: Look, neck: complex, half: float) -> None:
    back = figure.facing < -0.1
    shift = -figure.heading * 3.0
    if back:
        path = smooth(
            [
                neck + complex(x * half + shift, y)
                for x, y in ((-1.5, -2.5), (0, -3.5), (1.5, -2.5), (2.0, 2), (0, 10), (-2.0, 2))
            ]
        )
    else:
        path = smooth(
            [
                neck + complex(x * half + shift, y)
                for x, y in (
                    (-1.4, -3.5),
                    (-0.6, 0),
                    (0.6, 0),
                    (1.4, -3.5),
                    (2.0, 1.5),
                    (0.5, 3.6),
                    (-0.5, 3.6),
                    (-2.0, 1.5),
                )
            ]
        )
    brush.fill(path, scaled(look.upper, 0.93), Part.UPPER)
    brush.texture(path, "creases", 0.35, 26, neck, sheen=sheen(look.upper))
    brush.stroke(path, scaled(look.upper, 0.55), 0.35, alpha=0.5)
    if not back and figure.facing > 0.3:
        for sign in (-1, 1):
            start = neck + complex(figure.heading * 2 + sign * 1.4, 2.4)
            brush.stroke(smooth([start, start + 4j, start + 8j + sign * 0.4], closed=False), look.trim, 0.45)


_COLLARS = {"shirt": _shirt_collar, "lapels": _shirt_collar, "stand": _stand_collar, "fur": _fur_collar, "hood": _hood}
"""Those that are more than the edge of an opening."""
