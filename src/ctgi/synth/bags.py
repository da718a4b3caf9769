"""Backpacks, handbags, bags on a strap, suitcases, in the cuts that one meets."""

import skia

from ctgi.synth.brush import Brush, luminance, mixed, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.shapes import between, box, ellipse, polygon, smooth, trunk
from ctgi.synth.upper import sheen

_METAL = (0.45, 0.46, 0.48)
_BRASS = (0.78, 0.68, 0.42)


def _edge(color: RGB) -> RGB:
    """Seams and edges: lighter on dark cloth, where light catches them, and darker on light."""
    return mixed(color, (0.62, 0.62, 0.64), 0.3) if luminance(color) < 0.3 else scaled(color, 0.6)


def _finish(brush: Brush, look: Look, path: skia.Path, center: complex, wide: float, high: float) -> None:
    """Material, roundness and an outline."""
    color, gloss = look.bag, sheen(look.bag) + 0.5 * look.bag_gloss
    brush.texture(path, "leather" if look.bag_gloss > 0.4 else "creases", 0.4, 34, center, sheen=gloss)
    brush.round(path, center - high * 1j, center + high * 1j, wide, gloss)
    brush.shade(path, center - high * 1j, center + high * 1j, (0.14, 0.0, -0.25), gloss)
    brush.stroke(path, _edge(color), 0.35, alpha=0.55)


def _cast_shadow(brush: Brush, center: complex, wide: float, high: float) -> None:
    """On what the bag hangs before."""
    brush.tint(ellipse(center + complex(0.8, 1.2), wide * 1.08, high * 1.08), (0.0, 0.0, 0.0), 0.25, 1.2)


def _strap(brush: Brush, look: Look, points: list[complex], width: float) -> None:
    """A band with an edge that catches light."""
    path = smooth(points, closed=False)
    brush.stroke(path, scaled(look.bag, 0.85), width, Part.BAG)
    edge = smooth([point - 0.35 * width for point in points], closed=False)
    brush.stroke(edge, _edge(look.bag), 0.3, alpha=0.5)


def draw_backpack(brush: Brush, figure: Figure, look: Look) -> None:
    """The pack on the back: drawn before the trunk from the front, after it from the back."""
    size = look.bag_size
    half = figure.half(8.2 * size**0.5, 5.0 * size)
    behind = figure.build.chest * figure.build.depth + 4.0 * size
    tall = look.bag_cut == "tall"
    low = 0.05 if tall else 0.3 - 0.25 * (size - 0.75)
    levels = ((1.08, 0.6), (0.98, 0.9)) if tall else ((0.98, 0.55), (0.9, 0.92))
    rings = []
    for level, share in (*levels, (0.6, 1.0), (low + 0.1, 1.06), (low - 0.04, 0.9)):
        center, _ = figure.trunk_ring(min(level, 1.0))
        rings.append((center - behind * figure.heading - (8j if level > 1 else 0), half * share))
    path = trunk(rings)
    brush.fill(path, look.bag, Part.BAG)
    high = abs(rings[-1][0] - rings[0][0]) / 2
    middle = between(rings[0][0], rings[-1][0], 0.5)
    _finish(brush, look, path, middle, half, high)
    if figure.facing < 0.3:
        _draw_pack_front(brush, look, rings, half)
    elif abs(figure.heading) > 0.5:
        brush.stroke(polygon([rings[1][0], rings[-1][0]], closed=False), _edge(look.bag), 0.35, alpha=0.5)


def _draw_pack_front(brush: Brush, look: Look, rings: list[tuple[complex, float]], half: float) -> None:
    """Pocket, zips and handle on the side away from the back."""
    color, wide = look.bag, half * 0.72
    middle = rings[3][0]
    second = look.trim if look.bag_cut == "two colors" else color
    high = abs(rings[-1][0] - rings[1][0]) * 0.22
    pocket = smooth(
        [middle + complex(x * wide, y * high) for x, y in ((-1, -1.1), (1, -1.1), (1.05, 0.9), (-1.05, 0.9))]
    )
    if second != color:
        brush.fill(pocket, second, Part.BAG)
    brush.shade(pocket, middle - high * 1j, middle + high * 1j, (0.15, 0.0, -0.2), sheen(second) + 0.2)
    brush.stroke(pocket, _edge(color), 0.45, alpha=0.8)
    arc = [rings[1][0] - wide + 1j, rings[1][0] + 0.4j, rings[1][0] + wide + 1j]
    brush.stroke(smooth([rings[2][0] - wide, *arc, rings[2][0] + wide], closed=False), _edge(color), 0.4, alpha=0.7)
    loop = [rings[0][0] - 1.6, rings[0][0] - 2.2j, rings[0][0] + 1.6]
    brush.stroke(smooth(loop, closed=False), scaled(color, 0.8), 0.8, Part.BAG)
    brush.tint(ellipse(middle - high * 0.75j, 1.3, 0.5), look.trim, 0.7)


def draw_straps(brush: Brush, figure: Figure, look: Look) -> None:
    """A backpack's shoulder straps on the chest."""
    width = 1.5 + 0.6 * look.bag_strap
    for side in (1, -1):
        if figure.facing < 0.3 and figure.near(f"shoulder{side}") < 0:
            continue
        if look.bag_cut == "one shoulder" and side != look.bag_side and figure.facing > 0.3:
            continue
        shoulder = figure.at(f"shoulder{side}")
        neck = figure.at("neck")
        top = between(neck, shoulder, 0.6) - 1.5j
        low, half = figure.trunk_ring(0.5)
        end = low + (half * 0.85 * side * figure.facing if abs(figure.facing) > 0.3 else -half * 0.6 * figure.heading)
        mid = between(top, end, 0.5) + side * figure.facing * 0.8 + figure.heading * 1.5
        _strap(brush, look, [top, mid, end], width)
        brush.tint(ellipse(between(mid, end, 0.4), width * 0.5, 0.5), look.trim, 0.8)
    if look.bag_strap > 0.85 and figure.facing > 0.5:
        chest, half = figure.trunk_ring(0.74)
        ends = [chest + complex(x * half * 0.5 + figure.heading * 3, 0) for x in (-1, 1)]
        brush.stroke(polygon(ends, closed=False), scaled(look.bag, 0.8), 0.8, Part.BAG)


def draw_shoulder_bag(brush: Brush, figure: Figure, look: Look) -> None:
    """The bag at the end of a strap: at the hip, or before the chest or the back."""
    at = _hanging_point(figure, look)
    wide = max(figure.half(3.2, 8.5), 8.5 * abs(look.bag_swing)) * look.bag_size
    wide *= {"pouch": 0.62, "duffel": 1.15, "sling": 0.6}.get(look.bag_cut, 1.0)
    high = (5.0 + 3.0 * look.bag_shape) * look.bag_size
    high *= {"pouch": 0.7, "duffel": 0.72, "tote": 1.25, "sling": 0.8}.get(look.bag_cut, 1.0)
    _draw_body(brush, look, at + high * 0.6j, max(wide, 3.4), high)


def bag_is_near(figure: Figure, look: Look) -> bool:
    """Whether the bag hangs on the side toward the camera, or beside the body."""
    return figure.near(f"hip{look.bag_side}") + 8.0 * look.bag_swing * figure.facing > -2.5


def draw_shoulder_strap(brush: Brush, figure: Figure, look: Look, *, across: bool) -> None:
    """From the bag up to a shoulder: the far one when worn across."""
    side = -look.bag_side if across else look.bag_side
    shoulder = between(figure.at("neck"), figure.at(f"shoulder{side}"), 0.65) - 2j
    end = _hanging_point(figure, look)
    middle = between(shoulder, end, 0.5) + figure.heading * 2.0 * (1 if figure.facing >= 0 else -1)
    _strap(brush, look, [shoulder, middle, end], 0.7 + 1.5 * look.bag_strap)


def _hanging_point(figure: Figure, look: Look) -> complex:
    if look.bag_cut == "sling":
        up = 0.5 + 0.25 * look.bag_shape
        center, half = figure.trunk_ring(up)
        depth = figure.build.chest * figure.build.depth
        ahead = depth * (1 if look.bag_swing > 0 else -1)
        return center + complex(look.bag_side * half * 0.25 * figure.facing + ahead * figure.heading, 0)
    if look.bag_cut == "tote":
        return figure.joint(f"shoulder{look.bag_side}", left=look.bag_side * 2.0, down=15.0, ahead=2.0)
    out = figure.build.hip + 3.0 - 5.0 * look.bag_swing**2
    return figure.joint("pelvis", left=look.bag_side * out, down=-1.5, ahead=1.0 + 8.0 * look.bag_swing)


_OUTLINES = {
    "tote": [(-1.1, -1), (1.1, -1), (0.95, 0.3), (0.86, 1), (-0.86, 1), (-0.95, 0.3)],
    "duffel": [(-0.8, -1), (0.8, -1), (1.05, -0.3), (1.05, 0.5), (0.85, 1), (-0.85, 1), (-1.05, 0.5), (-1.05, -0.3)],
}


def _draw_body(brush: Brush, look: Look, center: complex, wide: float, high: float) -> None:
    color, taper = look.bag, 0.8 + 0.25 * look.bag_shape
    points = [(-taper, -1), (taper, -1), (1.05, 0.2), (1.0, 1), (-1.0, 1), (-1.05, 0.2)]
    outline = [center + complex(x * wide, y * high) for x, y in _OUTLINES.get(look.bag_cut, points)]
    path = polygon(outline) if look.bag_shape > 0.5 and look.bag_cut not in ("duffel", "pouch") else smooth(outline)
    _cast_shadow(brush, center, wide, high)
    brush.fill(path, color, Part.BAG)
    _finish(brush, look, path, center, wide, high)
    with brush.clip(path):
        if look.bag_cut in ("duffel", "sling", "pouch"):
            for y in (-0.55, 0.25):
                line = [center + complex(-wide, y * high), center + complex(wide, y * high)]
                brush.stroke(polygon(line, closed=False), _edge(color), 0.4, alpha=0.7)
            if look.bag_cut == "duffel":
                for x in (-0.45, 0.45):
                    band = [center + complex(x * wide, -high), center + complex(x * wide, high)]
                    brush.stroke(polygon(band, closed=False), scaled(color, 0.75), 1.3)
        elif look.bag_cut == "tote":
            line = [center + complex(-2 * wide, -0.85 * high), center + complex(2 * wide, -0.85 * high)]
            brush.stroke(polygon(line, closed=False), _edge(color), 0.5, alpha=0.8)
            brush.tint(ellipse(center, wide * 0.35, high * 0.2), look.trim, 0.5 if look.bag_gloss < 0.3 else 0.0)
        else:
            tip = center + complex(0, high * (0.35 if look.bag_cut == "messenger" else -0.1))
            side = high * (0.2 if look.bag_cut == "messenger" else -1)
            flap = [center + complex(-1.1 * wide, side), tip, center + complex(1.1 * wide, side)]
            brush.stroke(polygon(flap, closed=False), _edge(color), 0.45, alpha=0.8)
            brush.tint(ellipse(tip, 0.7, 0.7), _BRASS if look.bag_gloss > 0.5 else look.trim, 0.85)


def draw_handbag(brush: Brush, figure: Figure, look: Look, hook: complex, drop: float) -> None:
    """A bag that hangs by two handles, `drop` units long, from a hand, an elbow or a shoulder."""
    wide = max(4.0, figure.half(5.0, 8.0)) * look.bag_size
    high = (4.5 + 2.5 * look.bag_shape) * look.bag_size * (1.3 if look.bag_cut == "tote" else 1.0)
    center = hook + complex(0, high + drop)
    for shift in (-0.5, 0.5):
        arc = [center + complex(-wide * 0.6, -high), hook + shift, center + complex(wide * 0.6, -high)]
        points = [arc[0], arc[0] - 0.8j * drop, arc[1], arc[2] - 0.8j * drop, arc[2]]
        _strap(brush, look, points, 0.6 + 0.5 * look.bag_strap)
    _draw_body(brush, look, center, wide, high)


def draw_suitcase(brush: Brush, figure: Figure, look: Look, hand: complex, side: int) -> None:
    """A trolley case on the floor with its handle in the hand."""
    color, grow = look.bag, look.bag_size**0.5
    high, wide = 17.0 * grow, figure.half(11.0, 7.5) * grow
    foot = figure.joint("pelvis", left=side * (figure.build.hip + 8 + 12 * abs(look.bag_swing)), ahead=-11)
    floor = figure.project((0.0, 0.0, 0.0)).imag
    center = complex(foot.real * 0.6 + hand.real * 0.4 + 1.0, floor - high - 1.5)
    for shift in (-0.35, 0.35):
        top = hand + shift * wide
        rod = polygon([top, center + complex(shift * wide, -high)], closed=False)
        brush.stroke(rod, _METAL if look.bag_strap > 0.4 else (0.1, 0.1, 0.11), 0.9, Part.BAG)
    brush.stroke(polygon([hand - 0.35 * wide, hand + 0.35 * wide], closed=False), (0.1, 0.1, 0.1), 1.4, Part.BAG)
    brush.tint(ellipse(complex(center.real, floor), wide * 1.2, 2.0), (0.0, 0.0, 0.0), 0.35, 1.2)
    for shift in (-0.75, 0.75):
        brush.fill(ellipse(complex(center.real + shift * wide, floor - 1.2), 1.3, 1.3), (0.08, 0.08, 0.08), Part.BAG)
    path = box(center.real - wide, center.imag - high, center.real + wide, center.imag + high, 1.8)
    brush.fill(path, color, Part.BAG)
    _finish(brush, look, path, center, wide, high)
    if look.bag_cut == "hard":
        for i in range(-3, 4):
            x = center.real + i * wide / 4
            rib = polygon([complex(x, center.imag - high), complex(x, center.imag + high)], closed=False)
            brush.stroke(rib, _edge(color), 0.5, alpha=0.6)
        return
    for top, bottom in ((-0.1, 0.8), (-0.75, -0.25)):
        pocket = box(center.real - wide * 0.75, center.imag + high * top, center.real + wide * 0.75,
                     center.imag + high * bottom, 1)  # fmt: skip
        brush.stroke(pocket, _edge(color), 0.5, alpha=0.7)
    brush.tint(ellipse(center - high * 0.5j, 1.6, 0.6), look.trim, 0.6)
