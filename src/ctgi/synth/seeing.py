"""A finished picture, and what of its person can be seen: counted from the label of each pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.person import NONE, Person, View

Labels = NDArray[np.uint8]
"""[H, W] Part of each pixel."""


@dataclass(frozen=True)
class Picture:
    """A crop as a person detector would give it."""

    image: Image.Image
    parts: Labels
    """[H, W] Part of each pixel of the image, before blur and noise."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of the person inside the crop."""
    visible: frozenset[str]
    """What can be seen, of: upper, pattern, inner, lower, shoes, socks, bag, hat, glasses, held, scarf, belt, hair and
    face.
    """


def seen(image: Image.Image, labels: Labels, person: Person, look: Look, view: View) -> Picture:
    """The picture of an image and its labels, which may be of another size."""
    parts = _shrink(labels, image.size)
    return Picture(image, parts, _box(parts), _visible(parts, person, look, view))


def _shrink(labels: Labels, size: tuple[int, int]) -> Labels:
    """Nearest neighbor, to (width, height)."""
    rows = ((np.arange(size[1]) + 0.5) * labels.shape[0] / size[1]).astype(np.intp)
    columns = ((np.arange(size[0]) + 0.5) * labels.shape[1] / size[0]).astype(np.intp)
    return np.ascontiguousarray(labels[rows[:, None], columns])


NOT_BODY = (Part.BACKGROUND, Part.OTHERS, Part.VEHICLE, Part.BAG, Part.HELD)
"""What a person's box does not count."""


def _box(parts: Labels) -> tuple[int, int, int, int]:
    body = ~np.isin(parts, NOT_BODY)
    columns, rows = np.flatnonzero(body.any(0)), np.flatnonzero(body.any(1))
    if not len(columns):
        return 0, 0, parts.shape[1], parts.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


_SHARES = {
    Part.UPPER: 0.03, Part.INNER: 0.008, Part.LOWER: 0.03, Part.SHOES: 0.006, Part.SOCKS: 0.005, Part.BAG: 0.01,
    Part.HAT: 0.008, Part.GLASSES: 0.0008, Part.HELD: 0.004, Part.SCARF: 0.008, Part.BELT: 0.003, Part.HAIR: 0.006,
}  # fmt: skip
"""Least share of the person's pixels at which a part counts as seen."""


def _visible(parts: Labels, person: Person, look: Look, view: View) -> frozenset[str]:
    counts = np.bincount(parts.ravel(), minlength=len(Part))
    total = int(counts.sum() - counts[Part.BACKGROUND] - counts[Part.OTHERS] - counts[Part.VEHICLE]) or 1
    seen = {part.name.lower() for part, share in _SHARES.items() if counts[part] >= max(3, share * total)}
    if person.hair_length == "bald" and person.hat == NONE and _head_skin(parts) > 0.3:
        seen.add("hair")
    if "upper" in seen and _pattern_shows(person, look, view):
        seen.add("pattern")
    if view.side != "back" and _head_skin(parts) > 0.1:
        seen.add("face")
    return frozenset(seen)


def _pattern_shows(person: Person, look: Look, view: View) -> bool:
    return person.upper_pattern != "printed" or look.printed_all_over or view.side == "front"


def _head_skin(parts: Labels) -> float:
    """Share of skin in the uppermost sixth of the person."""
    _, top, _, bottom = _box(parts)
    head = parts[top : top + max(1, (bottom - top) // 6)]
    body = int(np.count_nonzero(~np.isin(head, NOT_BODY)))
    return int(np.count_nonzero(head == Part.SKIN)) / max(1, body)
