"""A person in one picture: the crop, and what can be seen in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ctgi.footage.frames import Examined
from ctgi.footage.quality import Look, look
from ctgi.tools.types import Box, Detection, Detections

_MARGIN = 0.05
"""Crops have this share of the person's height around the box."""


@dataclass(frozen=True)
class Sighting:
    """A person in one frame."""

    frame: int | None
    """None for a photograph."""
    time_s: float
    person: Detection
    look: Look
    crop: Image.Image | None
    """None in a frame that shows the same as the one before."""
    size: tuple[int, int]
    """Of the frame, in px."""
    colors: tuple[float, ...] = (0.0,) * 6
    """Mean red, green and blue, from 0 to 255, of the upper and of the lower half."""


def sightings(found: Detections, one: Examined, before: Sequence[Sighting]) -> list[Sighting]:
    """The people of a frame; if it shows the same as the one before, `before` once more, without crops."""
    frame = one.frame
    if one.picture is None:
        return [replace(person, frame=frame.number, time_s=frame.time_s, crop=None) for person in before]
    return sightings_in(found, one.picture, frame.number, frame.time_s)


def sightings_in(found: Detections, picture: Image.Image, frame: int | None, time_s: float) -> list[Sighting]:
    """The people of a picture."""
    boxes = [one.box for one in found.people]
    return [
        _sighting(frame, time_s, one, picture, [*boxes[:place], *boxes[place + 1 :]])
        for place, one in enumerate(found.people)
    ]


def _sighting(
    frame: int | None, time_s: float, person: Detection, picture: Image.Image, others: Sequence[Box]
) -> Sighting:
    exact = picture.crop(_inside(person.box, 0, picture.size))
    crop = picture.crop(_inside(person.box, _MARGIN * (person.box[3] - person.box[1]), picture.size))
    seen = look(exact, person.box, others, picture.size)
    return Sighting(frame, time_s, person, seen, crop, picture.size, _colors(exact))


def _inside(box: Box, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole px within the picture, one at least."""
    width, height = size
    left = min(max(0, int(box[0] - margin)), width - 1)
    top = min(max(0, int(box[1] - margin)), height - 1)
    right = min(width, max(left + 1, round(box[2] + margin)))
    return left, top, right, min(height, max(top + 1, round(box[3] + margin)))


def _colors(crop: Image.Image) -> tuple[float, ...]:
    """The mean colors of the upper and the lower half of a crop's middle."""
    middle = crop.resize((3, 8), Image.Resampling.BOX)
    pixels = np.asarray(middle, dtype=np.float64)[:, 1]
    return tuple(float(value) for half in (pixels[1:4], pixels[4:7]) for value in half.mean(axis=0))
