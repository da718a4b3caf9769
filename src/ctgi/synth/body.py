"""Skin: legs, arms, hands, neck and head with hair."""

import math
from itertools import pairwise
from random import Random

import skia

from ctgi.synth.brush import Brush, luminance, mixed, scaled
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.person import Person
from ctgi.synth.shapes import Ring, degrees, ellipse, segment, smooth, trunk


def draw_limb(brush: Brush, rings: list[Ring], color: tuple[float, float, float], part: Part) -> None:
    """A chain of round pieces in one color."""
    sheen = 0.25 + 0.5 * luminance(color)
    for start, end in pairwise(rings):
        path = segment(start, end)
        brush.fill(path, color, part)
        brush.round(path, start[0], end[0], max(start[1], end[1]), sheen)


def leg_rings(figure: Figure, side: int) -> list[Ring]:
    """Hip, knee, calf and ankle."""
    hip, knee, ankle = (figure.at(f"{name}{side}") for name in ("hip", "knee", "ankle"))
    size = figure.build.limb
    calf = knee + (ankle - knee) * 0.3
    return [(hip, 6.0 * size), (knee, 3.9 * size), (calf, 4.0 * size), (ankle, 2.2 * size)]


def arm_rings(figure: Figure, side: int) -> list[Ring]:
    """Shoulder, elbow and wrist."""
    shoulder, elbow, hand = (figure.at(f"{name}{side}") for name in ("shoulder", "elbow", "hand"))
    size = figure.build.limb
    return [(shoulder, 3.2 * size), (elbow, 2.5 * size), (hand, 1.7 * size)]


def draw_leg(brush: Brush, figure: Figure, look: Look, side: int) -> None:
    """A bare leg."""
    draw_limb(brush, leg_rings(figure, side), look.skin, Part.SKIN)


def draw_arm(brush: Brush, figure: Figure, look: Look, side: int, bare_from: float) -> None:
    """An arm, bare from a share of the upper arm on."""
    (shoulder, wide), elbow, wrist = arm_rings(figure, side)
    top = shoulder + (elbow[0] - shoulder) * bare_from, wide + (elbow[1] - wide) * bare_from
    draw_limb(brush, [top, elbow, wrist], look.skin, Part.SKIN)


def draw_hand(brush: Brush, figure: Figure, look: Look, side: int) -> None:
    """A loosely closed hand that goes on from the forearm."""
    elbow, wrist = figure.at(f"elbow{side}"), figure.at(f"hand{side}")
    along = (wrist - elbow) / (abs(wrist - elbow) or 1.0)
    size = figure.build.limb
    path = ellipse(wrist + along * 2.6, 3.3 * size, 1.9 * size, degrees(along))
    brush.fill(path, look.skin, Part.SKIN)
    brush.round(path, wrist, wrist + along * 4, 2.2 * size, 0.4)
    brush.stroke(
        smooth([wrist + along * 3, wrist + along * 5.5], closed=False), scaled(look.skin, 0.65), 0.4, alpha=0.7
    )


def draw_neck(brush: Brush, figure: Figure, look: Look) -> None:
    """The neck, down to the collarbones, shaded under the chin."""
    head, neck = figure.at("head"), figure.at("neck")
    width = figure.half(3.0, 3.3) * math.sqrt(figure.build.limb)
    path = trunk([(head + 3j, width), ((head + neck) / 2 + 3j, width * 0.97), (neck + 2.5j, width * 1.5)])
    brush.fill(path, look.skin, Part.SKIN)
    brush.round(path, head, neck + 2j, width, 0.4)
    brush.shade(path, head + 4j, head + 10j, (-0.35, -0.05), 1)


class Head:
    """Where the parts of a head lie in the picture."""

    def __init__(self, figure: Figure) -> None:
        turn = figure.yaw + figure.pose.head_turn * (1 if figure.facing >= -0.3 else 0.4)
        self.size = figure.build.head
        self.center = figure.at("head")
        self.front = math.cos(turn)
        self.right = math.sin(turn)
        self.half_width = math.hypot(4.7 * self.front, 5.7 * self.right) * self.size
        self.half_height = 6.7 * self.size
        self.nod = figure.pose.head_nod

    def skull(self, grow: float = 0.0) -> skia.Path:
        """Crown to cheeks, and the chin on the side where the face is."""
        w, h, c = self.half_width + grow, self.half_height + grow, self.center
        lean = self.right * 1.4 * self.size
        jaw = 0.62 if self.front > -0.2 else 0.75
        points = [
            c + complex(0, -h * 1.06), c + complex(w * 0.8, -h * 0.95), c + complex(w * 1.05, -h * 0.25),
            c + complex(w * 0.98 + lean * 0.2, h * 0.35), c + complex(w * jaw + lean, h * 0.93),
            c + complex(lean * 1.2, h * 1.06), c + complex(-w * jaw + lean, h * 0.93),
            c + complex(-w * 0.98 + lean * 0.2, h * 0.35), c + complex(-w * 1.05, -h * 0.25),
            c + complex(-w * 0.8, -h * 0.95),
        ]  # fmt: skip
        return smooth(points)

    def on_face(self, across: float, down: float) -> complex:
        """A point of the face: across -1 to 1 ear to ear, down 0 at the eyes, 1 at the chin."""
        angle = across * 1.2
        x = 4.7 * math.sin(angle) * self.front + 5.2 * math.cos(angle) * self.right
        return self.center + complex(x * self.size, (0.3 + self.nod * 4 + down * 6.0) * self.size)


def draw_head(brush: Brush, figure: Figure, person: Person, look: Look, rng: Random) -> None:
    """Face, ears and the hair on top."""
    head = Head(figure)
    skull = head.skull()
    brush.fill(skull, look.skin, Part.SKIN)
    if abs(head.right) > 0.5 and head.front > -0.3:
        nose = head.center + complex(head.right * 5.6, 1.8 + 4 * head.nod) * head.size
        brush.fill(ellipse(nose, 1.5, 1.1, 25 * head.right), look.skin, Part.SKIN)
    for side in (-1, 1):
        _draw_ear(brush, head, look, side)
    if head.front > -0.35:
        with brush.clip(skull):
            _draw_face(brush, head, person, look, rng)
    brush.round(skull, head.center - head.half_height * 1j, head.center + head.half_height * 1j, head.half_width, 0.35)
    if person.hair_length != "bald":
        _draw_cap(brush, head, person, look)


def _draw_ear(brush: Brush, head: Head, look: Look, side: int) -> None:
    if head.front * 0.9 + side * -head.right * 0.8 < -0.25 and head.front > -0.2:
        return
    at = head.center + complex(head.front * side * 4.7 * head.size, (1.0 + 4 * head.nod) * head.size)
    path = ellipse(at, 0.9 + 0.6 * abs(head.right), 1.7)
    brush.fill(path, scaled(look.skin, 0.93), Part.SKIN)


def _draw_face(brush: Brush, head: Head, person: Person, look: Look, rng: Random) -> None:
    fine = person.gender == "woman"
    dark = mixed(look.hair, (0.12, 0.08, 0.06), 0.5)
    for side in (-1, 1):
        if head.front + side * -head.right * 0.55 < 0.15:
            continue
        eye = head.on_face(side * 0.4, 0.0)
        brush.tint(ellipse(eye + 0.1j, 1.25, 0.75), scaled(look.skin, 0.6), 0.55)
        brush.tint(ellipse(eye, 0.75, 0.42), (0.1, 0.08, 0.07), 0.85)
        brow = [eye + complex(-1.2, -1.3), eye + complex(0, -1.7), eye + complex(1.2, -1.3)]
        brush.stroke(smooth(brow, closed=False), dark, 0.4 if fine else 0.7, alpha=0.8)
    nose = head.on_face(0, 0.4)
    brush.tint(ellipse(nose + complex(head.right * 0.6, 0), 0.95, 0.8), scaled(look.skin, 0.72), 0.7)
    mouth = head.on_face(0, 0.66)
    lips = mixed(look.skin, (0.62, 0.14, 0.18), rng.uniform(0.4, 0.8) if fine else rng.uniform(0.2, 0.4))
    brush.tint(ellipse(mouth, 1.5 * max(0.45, head.front), 0.5), lips, 0.9)
    if look.beard:
        jaw = ellipse(head.on_face(0, 0.85), head.half_width, 3.2 * head.size)
        with brush.clip(ellipse(mouth, 1.5, 0.6), out=True):
            brush.tint(jaw, scaled(look.hair, 0.9), 0.75 * look.beard)
    if rng.random() < 0.3:
        brush.tint(ellipse(head.on_face(0.5, 0.4), 1.5, 1.2), (0.9, 0.4, 0.35), 0.15)


def _draw_cap(brush: Brush, head: Head, person: Person, look: Look) -> None:
    """The hair on the skull: all of it but the face's opening."""
    volume = look.hair_volume * (0.9 if person.hair_length == "short" else 1.1)
    cap = head.skull(volume)
    short = person.hair_length == "short"
    nape = (3.6 if short else 6.0) if head.front < 0.3 else (2.4 if short else 5.5)
    nape += 2.6 * look.hairline if short and person.gender == "woman" else 0.0  # over the ears
    nape_at = head.center + complex(-head.right * 1.5, nape - 9.0) * head.size
    with (
        brush.clip(_face_opening(head, person, look), out=True),
        brush.clip(ellipse(nape_at, head.half_width * 1.5, 9.5)),
    ):
        brush.fill(cap, look.hair, Part.HAIR)
        _shine(brush, cap, head, look)
    if person.hair_style == "bun":
        _draw_bun(brush, head, look)


def _shine(brush: Brush, path: skia.Path, head: Head, look: Look) -> None:
    brush.texture(path, "streaks", 0.4, 26, head.center, 10 * look.fringe, 0.15 + 0.6 * luminance(look.hair))
    light = brush.light
    start = head.center + complex(light.x, light.y) * 7
    brush.shade(path, start, 2 * head.center - start, (0.35, 0.0, -0.25), 0.2 + luminance(look.hair))


def _face_opening(head: Head, person: Person, look: Look) -> skia.Path:
    if head.front < -0.35:
        return skia.Path()
    width = max(0.5, 0.45 + 0.55 * head.front) * 4.6 * head.size
    center = head.center + complex(head.right * 3.6 * head.size, (3.4 - 1.2 * look.hairline + 4 * head.nod) * head.size)
    narrow = 1.0 if person.hair_length == "short" else 0.88
    return ellipse(center, width * narrow, 6.6 * head.size, 6 * look.fringe)


def _draw_bun(brush: Brush, head: Head, look: Look) -> None:
    at = head.center + complex(-head.right * 5.5, -6.6 + 2.5 * look.hairline) * head.size
    path = ellipse(at, 2.7, 2.4)
    brush.fill(path, look.hair, Part.HAIR)
    _shine(brush, path, head, look)


def draw_hanging_hair(brush: Brush, figure: Figure, person: Person, look: Look, *, behind: bool) -> None:
    """Loose or tied hair; `behind` marks the call before the trunk is drawn, the other one follows the head."""
    head = Head(figure)
    loose = person.hair_style == "loose" and person.hair_length in ("shoulder-length", "long")
    if behind != (head.front > -0.25) or not (loose or person.hair_style == "ponytail"):
        return
    length = {"shoulder-length": 9.5, "long": 17.0 + 7 * look.hairline}.get(person.hair_length, 9.0)
    path = _mane(head, length, look) if loose else _tail(head, length)
    brush.fill(path, look.hair, Part.HAIR)
    _shine(brush, path, head, look)
    brush.shade(path, head.center, head.center + 1j * length, (0.0, -0.3), 1)


def _mane(head: Head, length: float, look: Look) -> skia.Path:
    """From the crown down over the shoulders; in profile only behind the ear."""
    profile = abs(head.right)
    back = -head.right * 3.2 * head.size
    width = head.half_width * (1.06 - 0.36 * profile) + 0.7 * look.hair_volume
    c = head.center + back
    end = c + complex(back * 0.3, length)
    spread = 1.12 - 0.1 * profile
    points = [
        c + complex(-width * 0.8, -5), c + complex(width * 0.8, -5), c + width + 1j,
        c + complex(width * spread, length * 0.5), end + width * 0.9, end + 1.6j, end - width * 0.9,
        c + complex(-width * spread, length * 0.5), c - width + 1j,
    ]  # fmt: skip
    return smooth(points)


def _tail(head: Head, length: float) -> skia.Path:
    root = head.center + complex(-head.right * 5.5, -3.0) * head.size
    end = root + complex(-head.right * 2.5, length * 0.85)
    return smooth([root - 1.2, root + 1.2 - 1j, root + complex(2.2, 5), end + 1.0, end - 1.0, root + complex(-2.2, 5)])
