"""Held objects, hats, glasses, scarves."""

from collections.abc import Callable

from ctgi.synth.body import Head
from ctgi.synth.brush import Brush, scaled
from ctgi.synth.colors import RGB
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.person import Person
from ctgi.synth.shapes import box, degrees, ellipse, polygon, smooth, turned_box
from ctgi.synth.upper import sheen

_METAL = (0.45, 0.46, 0.48)
_Draw = Callable[[Brush, Figure, Look, complex, complex, RGB], None]


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


def draw_glasses(brush: Brush, figure: Figure, person: Person) -> None:
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
