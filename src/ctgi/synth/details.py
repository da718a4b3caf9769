"""By what one tells garments apart: plackets, hems, ribs, pockets, seams."""

import skia

from ctgi.synth.brush import Brush, luminance, mixed, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.person import NONE, OUTER, Person
from ctgi.synth.shapes import Ring, between, box, ellipse, normal, polygon, segment, smooth

_ZIP = (0.55, 0.56, 0.58)
_STITCH = (0.78, 0.6, 0.34)
RIBBED = ("sweater", "hoodie")


def line_of(color: RGB) -> RGB:
    """A seam's color: lighter on black cloth, else darker."""
    return mixed(color, (0.6, 0.6, 0.62), 0.25) if luminance(color) < 0.12 else scaled(color, 0.6)


def middle(figure: Figure, level: float, across: float = 0.0) -> complex:
    """A point on the front of the trunk; across is -1 to 1, person's right to left."""
    center, _ = figure.trunk_ring(level)
    depth = figure.build.chest * figure.build.depth
    return center + across * figure.build.chest * figure.facing + depth * figure.heading


def is_ribbed(person: Person, look: Look) -> bool:
    """Whether hem and cuffs are knitted bands."""
    return person.upper_type in RIBBED or (person.upper_type == "jacket" and look.cut.cuff)


def draw_placket(brush: Brush, person: Person, look: Look, top: complex, bottom: complex) -> None:
    """Buttons or a zip down the front."""
    color, kind = look.upper, person.upper_type
    if look.cut.front == "zip":
        brush.stroke(polygon([top, bottom], closed=False), line_of(color), 1.1, alpha=0.8)
        brush.stroke(polygon([top, bottom], closed=False), _ZIP, 0.4, alpha=0.9)
        return
    outer = kind in OUTER
    if not outer:
        band = polygon([top - 0.9, top + 0.9, bottom + 0.9, bottom - 0.9])
        brush.tint(band, scaled(color, 1.08 if luminance(color) < 0.6 else 0.93), 0.7)
    for shift in (0.0,) if outer else (-0.9, 0.9):
        brush.stroke(polygon([top + shift, bottom + shift], closed=False), line_of(color), 0.3, alpha=0.8)
    double = kind == "coat" and look.pattern_seed % 3 == 0
    count = 4 if outer else 7
    size = 0.75 if outer else 0.45
    for i in range(count):
        at = between(top, bottom, (i + 0.8) / (count + 0.5))
        for shift in (-2.2, 2.2) if double else (0.6 if outer else 0.0,):
            brush.tint(ellipse(at + shift, size, size), look.trim, 0.85)


def draw_polo_placket(brush: Brush, figure: Figure, look: Look) -> None:
    """A short row of buttons under the collar."""
    top, bottom = middle(figure, 0.98), middle(figure, 0.76)
    brush.stroke(polygon([top, bottom], closed=False), line_of(look.upper), 1.3, alpha=0.5)
    for share in (0.35, 0.7):
        brush.tint(ellipse(between(top, bottom, share), 0.45, 0.45), look.trim, 0.85)


def draw_pockets(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """A hoodie's pouch, slanted pockets of jackets and coats, a chest pocket of shirts."""
    kind, line = person.upper_type, line_of(look.upper)
    if kind == "hoodie" and look.cut.front == "closed":
        low, high = middle(figure, 0.08), middle(figure, 0.34)
        wide = 5.5 * max(0.3, figure.facing)
        pouch = polygon([low - 1.2 * wide, low + 1.2 * wide, high + 0.75 * wide, high - 0.75 * wide])
        brush.shade(pouch, high, low, (0.05, -0.1), 0.5)
        brush.stroke(pouch, line, 0.45, alpha=0.8)
    elif kind in OUTER:
        for across in (-0.62, 0.62):
            at = middle(figure, 0.16, across)
            if kind == "jacket":
                slit = polygon([at + complex(-across * 1.5, -3.0), at + complex(across * 2, 2.0)], closed=False)
                brush.stroke(slit, line, 0.6, alpha=0.8)
            else:
                brush.stroke(box(at.real - 2.6, at.imag - 0.9, at.real + 2.6, at.imag + 0.9), line, 0.35, alpha=0.7)
    if look.cut.pocket and kind in ("shirt", "jacket", "coat", "blazer"):
        at = middle(figure, 0.68, 0.5)
        brush.stroke(box(at.real - 2, at.imag - 1.5, at.real + 2, at.imag + 3), line, 0.3, alpha=0.5)


def draw_hem(brush: Brush, person: Person, look: Look, end: Ring) -> None:
    """The lower edge of the garment: a knitted band, or a sewn line."""
    at, half = end
    if look.cut.tucked:
        return
    if is_ribbed(person, look):
        band = box(at.real - half * 1.2, at.imag - 2.8, at.real + half * 1.2, at.imag + 2)
        brush.tint(band, scaled(look.upper, 0.82), 0.75)
        brush.texture(band, "ribs", 0.5, 14, at)
        return
    edge = [at + complex(-half * 1.1, -1.0), at - 0.7j, at + complex(half * 1.1, -1.0)]
    brush.stroke(smooth(edge, closed=False), line_of(look.upper), 0.3, alpha=0.7)


def draw_cuff(brush: Brush, rings: list[Ring], person: Person, look: Look) -> None:
    """The end of a sleeve: a knitted band, a shirt's cuff, or a sewn line."""
    end, width = rings[-1]
    start = rings[-2][0]
    if person.sleeves == "long" and (is_ribbed(person, look) or person.upper_type == "shirt" or look.cut.cuff):
        top = between(end, start, 0.13)
        path = segment((top, width + 0.1), (end, width + 0.15), round_start=False, round_end=False)
        fur = look.cut.collar == "fur"
        color = look.trim if fur else scaled(look.upper, 0.82 if is_ribbed(person, look) else 0.94)
        brush.fill(path, color, Part.UPPER)
        if is_ribbed(person, look):
            brush.texture(path, "ribs", 0.4, 14, end)
        brush.stroke(path, line_of(look.upper), 0.3, alpha=0.6)
        return
    at = between(end, start, 0.07)
    across = normal(start, end) * width
    brush.stroke(polygon([at - across, at + across], closed=False), line_of(look.upper), 0.35, alpha=0.7)


def draw_yoke(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """What tells a garment from behind: a yoke, a seam down the middle."""
    at = figure.trunk_ring(0.82)[0]
    line = line_of(look.upper)
    if person.upper_type in ("shirt", "jacket"):
        brush.stroke(smooth([at - 9, at + 0.6j, at + 9], closed=False), line, 0.35, alpha=0.6)
    if person.upper_type in ("blazer", "coat"):
        low = figure.trunk_ring(0.0)[0]
        brush.stroke(polygon([figure.trunk_ring(0.92)[0], low + 8j], closed=False), line, 0.35, alpha=0.6)


def draw_belted_waist(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """Some coats are tied at the waist with a band of their own cloth."""
    if person.upper_type != "coat" or look.pattern_seed % 4:
        return
    at, half = figure.trunk_ring(0.36, look.cut.loose)
    band = polygon([at - half - 1.0j, at + half - 1.0j, at + half + 1.0j, at - half + 1.0j])
    brush.tint(band, scaled(look.upper, 0.85), 0.8)
    brush.stroke(band, line_of(look.upper), 0.3, alpha=0.7)


def draw_leg_seams(brush: Brush, figure: Figure, person: Person, look: Look, rings: list[Ring], side: int) -> None:
    """Stitches and worn thighs of jeans, the crease of trousers, and folds over the shoe."""
    color, jeans = look.lower, person.lower_type == "jeans"
    hip, knee, end = rings[0], rings[1], rings[-1]
    if jeans:
        worn = ellipse(between(hip[0], knee[0], 0.6), knee[1] * 0.55, abs(knee[0] - hip[0]) * 0.32)
        brush.tint(worn, mixed(color, (0.85, 0.88, 0.92), 0.5), 0.35 * look.pattern_share * 2, 1.0)
        across = 0.78 * side * figure.facing
        points = [ring[0] + normal(hip[0], knee[0]) * ring[1] * -across for ring in (hip, knee, end)]
        stitch = _STITCH if look.pattern_seed % 2 else line_of(color)
        brush.stroke(polygon(points, closed=False), stitch, 0.3, alpha=0.7)
        if look.pattern_seed % 5 == 0 and person.lower_length == "long":
            cuff = segment((between(end[0], knee[0], 0.1), end[1] + 0.4), (end[0], end[1] + 0.4), round_end=False)
            brush.fill(cuff, mixed(color, (0.85, 0.88, 0.92), 0.45), Part.LOWER)
    elif person.lower_type == "trousers" and look.pattern_seed % 2 and figure.facing > -0.3:
        points = [ring[0] for ring in (hip, knee, end)]
        brush.stroke(polygon(points, closed=False), line_of(color), 0.35, alpha=0.6)
    if person.lower_type in ("trousers", "jeans") and look.cut.flare > 0.8:
        for share in (0.06, 0.13, 0.2)[: 1 + look.pattern_seed % 3]:
            at, width = between(end[0], knee[0], share), end[1] * 0.9
            fold = [at - width, at + complex(0, 0.9), at + width * 0.7]
            brush.stroke(smooth(fold, closed=False), (0.0, 0.0, 0.0), 0.6, alpha=0.22)


def draw_seat_details(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """Fly and pockets."""
    color, line = look.lower, line_of(look.lower)
    stitch = _STITCH if person.lower_type == "jeans" and look.pattern_seed % 2 else line
    at, half = figure.trunk_ring(0.02)
    if person.lower_type == "leggings":
        return
    if figure.facing > 0.3:
        fly = [at + complex(figure.heading * 4, -3), at + complex(figure.heading * 4, 4)]
        brush.stroke(polygon(fly, closed=False), line, 0.35, alpha=0.7)
        for side in (-1, 1):
            corner = at + complex(side * half * 0.5, -5)
            brush.stroke(smooth([corner, corner + complex(side * half * 0.25, 3), at + complex(side * half, -1)],
                                closed=False), stitch, 0.35, alpha=0.7)  # fmt: skip
    elif figure.facing < -0.3 and (person.lower_type == "jeans" or look.cut.pocket):
        for side in (-1, 1):
            x = at.real + side * half * 0.48
            pocket = polygon([complex(x + dx, at.imag + dy) for dx, dy in
                              ((-2, -2.5), (2, -2.5), (2, 1.5), (0, 2.6), (-2, 1.5))])  # fmt: skip
            brush.tint(pocket, scaled(color, 0.9), 0.5)
            brush.stroke(pocket, stitch, 0.35, alpha=0.8)


def shirt_v(top: complex, bottom: complex, width: float) -> skia.Path:
    """The opening between lapels down to the first button."""
    tip = between(top, bottom, 0.46)
    return polygon([top - 1.6 - 0.6j, top + 1.6 - 0.6j, between(top, bottom, 0.2) + width * 0.7, tip,
                    between(top, bottom, 0.2) - width * 0.7])  # fmt: skip


def has_tie(person: Person, look: Look) -> bool:
    """Whether a tie hangs between the lapels."""
    return person.gender == "man" and person.upper_type == "blazer" and look.pattern_seed % 3 == 0


def is_buttoned_over(person: Person, look: Look) -> bool:
    """Whether a layer shows between lapels only, not all the way down."""
    return person.inner_color != NONE and look.cut.collar == "lapels" and look.pattern_seed % 2 == 0
