"""Trousers, shorts, skirts, belts, socks and shoes."""

from itertools import pairwise

from ctgi.synth.body import draw_leg, draw_limb, leg_rings
from ctgi.synth.brush import Brush, luminance, mixed, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.patterns import cloth
from ctgi.synth.person import NONE, Person
from ctgi.synth.shapes import Ring, between, ellipse, normal, polygon, segment, trunk
from ctgi.synth.upper import hem_drop, sheen, surface


def draw_legs(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """Both legs with all they wear, the farther one first, then the seat or skirt over them."""
    near = {side: figure.near(f"knee{side}") + figure.near(f"ankle{side}") for side in (1, -1)}
    first = 1 if near[1] < near[-1] else -1
    trousered = person.lower_type not in (NONE, "skirt")
    if trousered:
        _draw_seat(brush, figure, person, look)
    for side in (first, -first):
        draw_leg(brush, figure, look, side)
        _draw_sock(brush, figure, person, look, side)
        boots = person.shoes_type == "boots"
        if not boots:
            draw_shoe(brush, figure, person, look, side)
        if trousered:
            _draw_trouser_leg(brush, figure, person, look, side, far=side == first)
        if boots:
            draw_shoe(brush, figure, person, look, side)
    if person.lower_type == "skirt":
        _draw_skirt(brush, figure, person, look)


def contrasting(color: RGB) -> RGB:
    """A second color for a pattern that has no name of its own."""
    return mixed(color, (0.95, 0.94, 0.9) if luminance(color) < 0.45 else (0.12, 0.12, 0.16), 0.6)


def draw_belt(brush: Brush, figure: Figure, look: Look) -> None:
    """A belt at the waist."""
    at, half = figure.trunk_ring(0.24, 0.5)
    half += 0.3
    path = polygon([at - half - 0.9j, at + half - 0.9j, at + half + 0.9j, at - half + 0.9j])
    brush.fill(path, look.belt, Part.BELT)
    if figure.facing > 0.4:
        buckle = at + figure.heading * 4
        brush.tint(ellipse(buckle, 1.0, 0.9), (0.75, 0.72, 0.6), 0.8)


def _lower_rings(figure: Figure, person: Person, look: Look, side: int) -> list[Ring]:
    (hip, a), (knee, b), (_, c), (ankle, d) = leg_rings(figure, side)
    width = look.cut.leg_width
    slim = person.lower_type == "leggings"
    top = (hip, a * (1.0 + (width - 1) * 0.35))
    if person.lower_type == "shorts":
        share = 0.9 if person.lower_length == "knee-length" else 0.55
        return [top, (between(hip, knee, share), (a + (b - a) * share) * width)]
    knee_ring = (knee, b * (1.0 + (width - 1) * 0.8))
    if slim:
        return [top, knee_ring, (between(knee, ankle, 0.3), c * 1.03), (between(knee, ankle, 0.93), d * 1.1)]
    return [top, knee_ring, (between(knee, ankle, 1.02), max(d * 1.25, b * width * 0.8 * look.cut.flare))]


def _draw_trouser_leg(brush: Brush, figure: Figure, person: Person, look: Look, side: int, *, far: bool) -> None:
    rings = _lower_rings(figure, person, look, side)
    color = look.lower
    for i, (start, end) in enumerate(pairwise(rings)):
        path = segment(start, end, round_end=i < len(rings) - 2)
        axis = end[0] - start[0]
        second = contrasting(look.lower)
        brush.fill(path, cloth(color, second, person.lower_pattern, look, axis, start[0]), Part.LOWER)
        surface(brush, path, color, look, start[0] * 2, axis, look.cut.lower_cloth)
        if look.cut.stripe:
            _draw_stripe(brush, start, end, look, 0.8 * side * figure.facing)
        brush.round(path, start[0], end[0], max(start[1], end[1]), sheen(color))
        if i == 0:  # in the shadow of the upper garment
            brush.shade(path, start[0], end[0], (-0.16, -0.12, -0.04, 0.0), 1)
        if far:
            brush.shade(path, start[0], end[0], (-0.2, -0.15), 1)
    hem, width = rings[-1]
    across = normal(rings[-2][0], hem) * width
    brush.stroke(polygon([hem - across, hem + across], closed=False), scaled(color, 0.6), 0.4, alpha=0.6)


def _draw_stripe(brush: Brush, start: Ring, end: Ring, look: Look, across: float) -> None:
    """A stripe on the outer side, where the camera sees it: -1 at the leg's left edge, 1 at the right one."""
    path = polygon([start[0] + across * start[1], end[0] + across * end[1]], closed=False)
    brush.stroke(path, look.trim, 0.9, Part.LOWER)


def _draw_seat(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    rings = [figure.trunk_ring(level, 0.35) for level in (0.28, 0.18, 0.08, 0.0, -0.1)]
    path = trunk([*rings, (rings[-1][0] + 4j, rings[-1][1] * 0.75)])
    second = contrasting(look.lower)
    brush.fill(path, cloth(look.lower, second, person.lower_pattern, look, 1j, rings[0][0]), Part.LOWER)
    surface(brush, path, look.lower, look, rings[0][0], 1j, look.cut.lower_cloth)
    brush.round(path, rings[0][0], rings[-1][0], rings[0][1], sheen(look.lower))


def _draw_skirt(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    drop = hem_drop(figure, person.lower_length)
    flare = 0.5 + look.cut.skirt_flare * 6
    rings = [figure.trunk_ring(0.3, 0.4), figure.trunk_ring(0.1, 0.6)]
    rings += [figure.skirt_ring(drop * share, 0.8 + flare * share) for share in (0.3, 0.65, 1.0)]
    path = trunk(rings)
    second = contrasting(look.lower)
    brush.fill(path, cloth(look.lower, second, person.lower_pattern, look, 1j, rings[0][0]), Part.LOWER)
    surface(brush, path, look.lower, look, rings[0][0], 1j, "folds")
    brush.round(path, rings[0][0], rings[-1][0], max(half for _, half in rings), sheen(look.lower))
    brush.shade(path, rings[0][0], rings[-1][0], (0.05, 0.0, -0.12), sheen(look.lower))


def _draw_sock(brush: Brush, figure: Figure, person: Person, look: Look, side: int) -> None:
    if person.socks_color == NONE:
        return
    knee, ankle = figure.at(f"knee{side}"), figure.at(f"ankle{side}")
    width = 2.5 * figure.build.limb
    top = between(ankle, knee, 0.25 + 0.2 * look.pattern_share)
    draw_limb(brush, [(top, width * 1.15), (ankle, width)], look.socks, Part.SOCKS)


def draw_shoe(brush: Brush, figure: Figure, person: Person, look: Look, side: int) -> None:
    """One foot."""
    ankle, toe = figure.at(f"ankle{side}"), figure.at(f"toe{side}")
    heel = ankle + (ankle - toe) * 0.22 + 2.4j
    size = 0.9 + 0.1 * figure.build.limb
    kind = person.shoes_type
    if kind == "sandals":
        _draw_sandal(brush, look, ankle, heel, toe)
        return
    if kind == "boots":
        _draw_shaft(brush, figure, person, look, side)
    path = segment((heel, 1.9 * size), (toe, 1.75 * size))
    path.addPath(segment((ankle + 0.6j, 2.3 * size), (between(heel, toe, 0.35), 2.1 * size)))
    brush.fill(path, look.shoes, Part.SHOES)
    brush.shade(path, ankle - 2j, heel + 2j, (0.25, 0.0, -0.2), 0.2 + sheen(look.shoes))
    sole = polygon([heel + 1.5j, toe + 1.3j], closed=False)
    if kind == "sneakers":
        brush.stroke(sole, look.sole, 1.1, Part.SHOES)
        laces = between(ankle, toe, 0.45)
        brush.stroke(polygon([laces - 0.9, laces + 0.9], closed=False), look.trim, 0.5, alpha=0.8)
    elif kind == "high heels":
        brush.fill(
            polygon([heel - 0.9, heel + 0.9, heel + complex(0.4, 4.2), heel + complex(-0.4, 4.2)]),
            look.shoes,
            Part.SHOES,
        )
    else:
        brush.stroke(sole, scaled(look.shoes, 0.5), 0.6)


def _draw_shaft(brush: Brush, figure: Figure, person: Person, look: Look, side: int) -> None:
    knee, ankle = figure.at(f"knee{side}"), figure.at(f"ankle{side}")
    high = person.gender == "woman" and look.fringe > 0
    wide = 3.0 * figure.build.limb
    top = between(ankle, knee, 0.72 if high else 0.28)
    draw_limb(brush, [(top, wide * (1.5 if high else 1.1)), (ankle, wide * 0.9)], look.shoes, Part.SHOES)
    brush.texture(segment((top, wide), (ankle, wide)), "leather", 0.3, 30, ankle, sheen=sheen(look.shoes))


def _draw_sandal(brush: Brush, look: Look, ankle: complex, heel: complex, toe: complex) -> None:
    foot = segment((heel, 1.7), (toe, 1.6))
    foot.addPath(segment((ankle, 2.0), (between(heel, toe, 0.35), 1.8)))
    brush.fill(foot, look.skin, Part.SKIN)
    brush.shade(foot, ankle, heel + 2j, (0.1, 0.0, -0.25), 0.4)
    brush.stroke(polygon([heel + 1.6j, toe + 1.4j], closed=False), look.shoes, 1.2, Part.SHOES)
    for share in (0.55, 0.85):
        at = between(ankle + 1.5j, toe, share)
        across = normal(ankle, toe) * 1.9
        brush.stroke(polygon([at - across, at + across], closed=False), look.shoes, 1.1, Part.SHOES)
