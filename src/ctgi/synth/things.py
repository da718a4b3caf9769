"""Bags, held objects, hats, glasses, scarves."""

from collections.abc import Callable

from ctgi.synth.body import Head
from ctgi.synth.brush import Brush, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.person import Person
from ctgi.synth.shapes import between, box, degrees, ellipse, polygon, smooth, trunk, turned_box
from ctgi.synth.upper import sheen

_METAL = (0.45, 0.46, 0.48)
_Draw = Callable[[Brush, Figure, Look, complex, complex, RGB], None]


def draw_backpack(brush: Brush, figure: Figure, look: Look) -> None:
    """The pack on the back: drawn before the trunk from the front, after it from the back."""
    color = look.bag
    size = look.bag_size
    half = figure.half(8.2 * size**0.5, 5.0 * size)
    behind = figure.build.chest * figure.build.depth + 4.0 * size
    rings = []
    for level, share in ((0.98, 0.55), (0.9, 0.92), (0.6, 1.0), (0.3, 1.06), (0.16, 0.9)):
        center, _ = figure.trunk_ring(level if level > 0.5 else level + 0.3 * (1 - size))
        rings.append((center - behind * figure.heading, half * share))
    path = trunk(rings)
    brush.fill(path, color, Part.BAG)
    brush.texture(path, "creases", 0.4, 40, rings[0][0], sheen=sheen(color))
    brush.round(path, rings[0][0], rings[-1][0], half, sheen(color))
    if figure.facing < 0.3:
        middle, wide = rings[3][0], half * 0.72
        pocket = smooth([middle + complex(x * wide, y) for x, y in ((-1, -6), (1, -6), (1.05, 5), (-1.05, 5))])
        brush.shade(pocket, middle - 6j, middle + 5j, (0.12, 0.0, -0.15), sheen(color) + 0.1)
        brush.stroke(pocket, scaled(color, 0.55), 0.4, alpha=0.7)
        brush.stroke(
            smooth([rings[1][0] - wide, rings[1][0] + 1.5j, rings[1][0] + wide], closed=False),
            look.trim,
            0.35,
            alpha=0.5,
        )


def draw_straps(brush: Brush, figure: Figure, look: Look) -> None:
    """A backpack's shoulder straps on the chest."""
    color = scaled(look.bag, 0.85)
    for side in (1, -1):
        if figure.facing < 0.3 and figure.near(f"shoulder{side}") < 0:
            continue
        shoulder = figure.at(f"shoulder{side}")
        neck = figure.at("neck")
        top = between(neck, shoulder, 0.6) - 1.5j
        low, half = figure.trunk_ring(0.55)
        end = low + (half * 0.85 * side * figure.facing if abs(figure.facing) > 0.3 else -half * 0.6 * figure.heading)
        mid = between(top, end, 0.5) + side * figure.facing * 0.8 + figure.heading * 1.5
        brush.stroke(smooth([top, mid, end], closed=False), color, 1.9, Part.BAG)


def draw_shoulder_bag(brush: Brush, figure: Figure, look: Look) -> None:
    """The bag at the hip."""
    at = _hip_point(figure, look)
    color = look.bag
    wide = max(figure.half(3.2, 8.5), 8.5 * abs(look.bag_swing)) * look.bag_size
    high = (5.0 + 3.0 * look.bag_shape) * look.bag_size
    _draw_bag_body(brush, look, at + high * 0.6j, max(wide, 4.5), high, color)


def bag_is_near(figure: Figure, look: Look) -> bool:
    """Whether the bag hangs on the side toward the camera, or beside the body."""
    return figure.near(f"hip{look.bag_side}") + 8.0 * look.bag_swing * figure.facing > -2.5


def draw_shoulder_strap(brush: Brush, figure: Figure, look: Look, *, across: bool) -> None:
    """From the bag up to a shoulder: the far one when worn across."""
    side = -look.bag_side if across else look.bag_side
    shoulder = between(figure.at("neck"), figure.at(f"shoulder{side}"), 0.65) - 2j
    end = _hip_point(figure, look)
    middle = between(shoulder, end, 0.5) + figure.heading * 2.0 * (1 if figure.facing >= 0 else -1)
    brush.stroke(smooth([shoulder, middle, end], closed=False), scaled(look.bag, 0.8), 1.2, Part.BAG)


def _hip_point(figure: Figure, look: Look) -> complex:
    out = figure.build.hip + 3.0 - 5.0 * look.bag_swing**2
    return figure.joint("pelvis", left=look.bag_side * out, down=-1.5, ahead=1.0 + 8.0 * look.bag_swing)


def _draw_bag_body(brush: Brush, look: Look, center: complex, wide: float, high: float, color: RGB) -> None:
    taper = 0.8 + 0.25 * look.bag_shape
    points = [(-taper, -1), (taper, -1), (1.05, 0.2), (1.0, 1), (-1.0, 1), (-1.05, 0.2)]
    outline = [center + complex(x * wide, y * high) for x, y in points]
    path = smooth(outline) if look.bag_shape < 0.5 else polygon(outline)
    brush.fill(path, color, Part.BAG)
    brush.texture(path, "leather" if look.bag_shape > 0.3 else "creases", 0.35, 34, center, sheen=sheen(color))
    brush.round(path, center - high * 1j, center + high * 1j, wide, sheen(color) + 0.1)
    brush.shade(path, center - high * 1j, center + high * 1j, (0.08, 0.0, -0.2), sheen(color))
    flap = polygon(
        [
            center + complex(-taper * wide, -high),
            center + complex(0, -high * 0.1),
            center + complex(taper * wide, -high),
        ],
        closed=False,
    )
    brush.stroke(flap, scaled(color, 0.5), 0.4, alpha=0.6)
    brush.tint(ellipse(center + complex(0, -high * 0.1), 0.6, 0.6), (0.8, 0.7, 0.45), 0.8)


def draw_handbag(brush: Brush, figure: Figure, look: Look, hook: complex, drop: float) -> None:
    """A bag that hangs by two handles, `drop` units long, from a hand, an elbow or a shoulder."""
    color = look.bag
    wide = max(4.0, figure.half(5.0, 8.0)) * look.bag_size
    high = (4.5 + 2.5 * look.bag_shape) * look.bag_size
    center = hook + complex(0, high + drop)
    for shift in (-0.5, 0.5):
        arc = [center + complex(-wide * 0.6, -high), hook + shift, center + complex(wide * 0.6, -high)]
        brush.stroke(
            smooth([arc[0], arc[0] - 0.8j * drop, arc[1], arc[2] - 0.8j * drop, arc[2]], closed=False),
            scaled(color, 0.8),
            0.8,
            Part.BAG,
        )
    _draw_bag_body(brush, look, center, wide, high, color)


def draw_suitcase(brush: Brush, figure: Figure, look: Look, hand: complex, side: int) -> None:
    """A trolley case on the floor with its handle in the hand."""
    color = look.bag
    high, wide = 17.0 * look.bag_size**0.5, figure.half(11.0, 7.5) * look.bag_size**0.5
    foot = figure.joint("pelvis", left=side * (figure.build.hip + 8 + 12 * abs(look.bag_swing)), ahead=-11)
    floor = figure.project((0.0, 0.0, 0.0)).imag
    center = complex(foot.real * 0.6 + hand.real * 0.4 + 1.0, floor - high - 1.5)
    for shift in (-0.35, 0.35):
        top = hand + shift * wide
        brush.stroke(polygon([top, center + complex(shift * wide, -high)], closed=False), _METAL, 0.7, Part.BAG)
    brush.stroke(polygon([hand - 0.35 * wide, hand + 0.35 * wide], closed=False), (0.1, 0.1, 0.1), 1.2, Part.BAG)
    for shift in (-0.75, 0.75):
        brush.fill(ellipse(complex(center.real + shift * wide, floor - 1.2), 1.3, 1.3), (0.08, 0.08, 0.08), Part.BAG)
    path = box(center.real - wide, center.imag - high, center.real + wide, center.imag + high, 1.8)
    brush.fill(path, color, Part.BAG)
    if look.bag_shape > 0.5:
        for i in range(-3, 4):
            x = center.real + i * wide / 4
            brush.stroke(
                polygon([complex(x, center.imag - high), complex(x, center.imag + high)], closed=False),
                scaled(color, 0.6),
                0.5,
                alpha=0.6,
            )
    else:
        pocket = box(
            center.real - wide * 0.75, center.imag - high * 0.1, center.real + wide * 0.75, center.imag + high * 0.8, 1
        )
        brush.stroke(pocket, scaled(color, 0.5), 0.5, alpha=0.7)
    brush.round(path, center - high * 1j, center + high * 1j, wide, sheen(color) + 0.2)
    brush.shade(path, center - high * 1j, center + high * 1j, (0.12, 0.0, -0.15), sheen(color))


def draw_held(brush: Brush, figure: Figure, person: Person, look: Look, side: int) -> None:
    """What the hand holds, over the hand."""
    hand, elbow = figure.at(f"hand{side}"), figure.at(f"elbow{side}")
    along = (hand - elbow) / (abs(hand - elbow) or 1.0)
    at = hand + along * 3
    thing, color = person.held, look.held
    if figure.pose.tasks[side] == "ear" and thing != "phone":
        thing, color = "phone", (0.06, 0.06, 0.07)
        brush = brush if brush.relabel is not None else brush.marking(Part.BACKGROUND)  # not what the person holds
    _HELD[thing](brush, figure, look, at, along, color)


def _umbrella(brush: Brush, figure: Figure, look: Look, at: complex, along: complex, color: RGB) -> None:
    if not look.umbrella_open:
        path = smooth([at - 1, at + 1, at + complex(1.2, 9), at + 20j, at + complex(-1.2, 9)])
        brush.fill(path, color, Part.HELD)
        brush.round(path, at, at + 18j, 1.2, sheen(color))
        return
    top = figure.at("head") + complex(at.real - figure.at("head").real, -22) * 0.9
    brush.stroke(polygon([at, top], closed=False), _METAL, 0.7, Part.HELD)
    wide = 25.0
    points = [(-1, 10), (-0.8, 2), (-0.35, -3.5), (0.35, -3.5), (0.8, 2), (1, 10), (0.5, 8), (0, 10), (-0.5, 8)]
    path = smooth([top + complex(x * wide, y) for x, y in points])
    brush.fill(path, color, Part.HELD)
    brush.round(path, top - 4j, top + 9j, wide, sheen(color))
    for x in (-0.45, 0, 0.45):
        brush.stroke(
            smooth([top - 2j, top + complex(x * wide * 0.8, 1), top + complex(x * wide, 9)], closed=False),
            scaled(color, 0.6),
            0.4,
            alpha=0.6,
        )


def _bag_of_plastic(brush: Brush, figure: Figure, look: Look, at: complex, along: complex, color: RGB) -> None:
    points = [(-1, 0), (1, 0), (3.5, 6), (5, 13), (3, 17), (-3, 17), (-5, 13), (-3.5, 6)]
    path = smooth([at + complex(x, y) for x, y in points])
    brush.fill(path, color, Part.HELD)
    brush.texture(path, "creases", 0.6, 24, at, sheen=sheen(color) + 0.1)
    brush.round(path, at, at + 16j, 5, sheen(color) + 0.2)


def _upright(wide: float, high: float) -> _Draw:
    def draw(brush: Brush, figure: Figure, look: Look, at: complex, along: complex, color: RGB) -> None:
        path = box(at.real - wide, at.imag - high * 1.3, at.real + wide, at.imag + high * 0.7, 0.8)
        brush.fill(path, color, Part.HELD)
        brush.round(path, at - high * 1j, at + high * 1j, wide, sheen(color) + 0.2)
        brush.stroke(
            polygon([at + complex(-wide, -high), at + complex(wide, -high)], closed=False), look.trim, 0.6, alpha=0.8
        )

    return draw


def _flat(wide: float, high: float) -> _Draw:
    def draw(brush: Brush, figure: Figure, look: Look, at: complex, along: complex, color: RGB) -> None:
        turn = degrees(along) - 90
        path = turned_box(at, wide, high, turn, 0.4)
        brush.fill(path, color, Part.HELD)
        brush.stroke(path, scaled(color, 0.6), 0.3, alpha=0.7)
        brush.shade(path, at - high, at + high, (0.1, 0, -0.15), sheen(color))

    return draw


_HELD: dict[str, _Draw] = {
    "phone": _flat(1.5, 3.0),
    "umbrella": _umbrella,
    "book": _flat(4.2, 5.6),
    "bottle": _upright(1.5, 4.2),
    "cup": _upright(1.9, 2.9),
    "plastic bag": _bag_of_plastic,
}


def draw_scarf(brush: Brush, figure: Figure, look: Look) -> None:
    """Wound around the neck, one end hanging."""
    color = look.scarf
    neck, half = figure.trunk_ring(1.0)
    half += 1.6
    if figure.facing > -0.3:
        end = neck + complex(figure.heading * 3 + 1.5 * look.bag_side, 1)
        tail = smooth([end - 1.6, end + 1.6, end + complex(2.2, 12), end + complex(-2.0, 13)])
        brush.fill(tail, color, Part.SCARF)
        brush.texture(tail, "folds", 0.4, 16, end, sheen=sheen(color))
    path = smooth(
        [
            neck + complex(x * half, y)
            for x, y in ((-0.8, -4), (0.8, -4), (1.25, -1), (1.0, 2.2), (0, 3.4), (-1.0, 2.2), (-1.25, -1))
        ]
    )
    brush.fill(path, color, Part.SCARF)
    brush.texture(path, "folds", 0.5, 18, neck, 80, sheen(color))
    brush.round(path, neck - 3j, neck + 3j, half, sheen(color))


def draw_glasses(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """Frames or dark lenses before the eyes."""
    head = Head(figure)
    if head.front < -0.2:
        return
    dark = person.glasses == "sunglasses"
    frame = (0.06, 0.06, 0.07)
    lenses = [head.on_face(side * 0.42, 0.02) for side in (-1, 1) if head.front + side * -head.right * 0.55 > 0.1]
    for eye in lenses:
        path = ellipse(eye, 1.75, 1.3)
        if dark:
            brush.fill(path, frame, Part.GLASSES)
            brush.tint(ellipse(eye + complex(-0.5, -0.4), 0.5, 0.3), (1.0, 1.0, 1.0), 0.3)
        else:
            brush.stroke(path, frame, 0.5, Part.GLASSES)
    if len(lenses) == 2:
        brush.stroke(polygon(lenses, closed=False), frame, 0.4)
    if abs(head.right) > 0.3 and lenses:
        eye = lenses[0] if head.right < 0 or len(lenses) == 1 else lenses[-1]
        ear = head.center + complex(-head.right * 0.8, 0.5)
        brush.stroke(polygon([eye, ear], closed=False), frame, 0.5, Part.GLASSES)


def draw_hat(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    """A cap, a brimmed hat or a beanie, over the hair."""
    head = Head(figure)
    color = look.hat
    w, h = head.half_width + 0.9, head.half_height
    brow = head.center + complex(0, -h * (0.18 if head.front > -0.2 else 0.0) + 4 * head.nod)
    tall = {"cap": 1.0, "hat": 1.15, "beanie": 1.2}[person.hat]
    half = [(-1, 0), (-1, 0), (-0.95, -0.6 * tall), (-0.5, -1.02 * tall)]
    outline = [*half, *((-x, y) for x, y in reversed(half))]
    crown = smooth([brow + complex(x * w, y * h) for x, y in outline])
    brush.fill(crown, color, Part.HAT)
    brush.texture(crown, "ribs" if person.hat == "beanie" else "creases", 0.3, 20, brow, sheen=sheen(color))
    brush.round(crown, brow - h * 1j, brow, w, sheen(color))
    if person.hat == "cap" and head.front > -0.2:
        edge, tip, half_tip = w * max(0.2, head.front), head.right * w * 1.9, w * 0.6 * head.front
        peak = smooth([brow - edge, brow + tip - half_tip + 1.6j, brow + tip + half_tip + 1.8j, brow + edge - 1j])
        brush.fill(peak, scaled(color, 0.85), Part.HAT)
    elif person.hat == "hat":
        brush.fill(ellipse(brow, w * 1.75, 1.9 + 1.0 * abs(look.fringe)), scaled(color, 0.92), Part.HAT)
        brush.stroke(smooth([brow - w - 0.8j, brow + 0.4j, brow + w - 0.8j], closed=False), look.trim, 1.2, alpha=0.8)
    elif person.hat == "beanie":
        brush.fill(turned_box(brow - 0.6j, w * 1.02, 1.8, 0, 1.2), scaled(color, 0.9), Part.HAT)
