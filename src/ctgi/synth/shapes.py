"""Outlines from points. Points are complex numbers: x to the right, y down."""

import math
from collections.abc import Sequence

import skia

Ring = tuple[complex, float]
"""A point of a limb's or trunk's axis and half its width there."""


def polygon(points: Sequence[complex], *, closed: bool = True) -> skia.Path:
    """Straight edges."""
    return skia.Path.Polygon([skia.Point(z.real, z.imag) for z in points], closed)


def smooth(points: Sequence[complex], *, closed: bool = True) -> skia.Path:
    """A soft curve near the points: their edges' middles are met, the points themselves are corners cut."""
    path = skia.Path()
    count = len(points)
    if closed:
        start = (points[-1] + points[0]) / 2
        path.moveTo(start.real, start.imag)
        for i in range(count):
            middle = (points[i] + points[(i + 1) % count]) / 2
            path.quadTo(points[i].real, points[i].imag, middle.real, middle.imag)
        path.close()
        return path
    path.moveTo(points[0].real, points[0].imag)
    for i in range(1, count - 1):
        end = points[-1] if i == count - 2 else (points[i] + points[i + 1]) / 2
        path.quadTo(points[i].real, points[i].imag, end.real, end.imag)
    if count == 2:
        path.lineTo(points[1].real, points[1].imag)
    return path


def ellipse(center: complex, half_width: float, half_height: float, turn: float = 0.0) -> skia.Path:
    """An ellipse, turned clockwise by degrees."""
    path = skia.Path()
    path.addOval(skia.Rect.MakeLTRB(-half_width, -half_height, half_width, half_height))
    return _placed(path, center, turn)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> skia.Path:
    """A rectangle with round corners."""
    path = skia.Path()
    path.addRoundRect(skia.Rect.MakeLTRB(left, top, right, bottom), radius, radius)
    return path


def turned_box(center: complex, half_width: float, half_height: float, turn: float, radius: float = 0.0) -> skia.Path:
    """A rectangle about its center, turned clockwise by degrees."""
    return _placed(box(-half_width, -half_height, half_width, half_height, radius), center, turn)


def _placed(path: skia.Path, center: complex, turn: float) -> skia.Path:
    matrix = skia.Matrix().setRotate(turn)
    matrix.postTranslate(center.real, center.imag)
    path.transform(matrix)
    return path


def normal(start: complex, end: complex) -> complex:
    """Unit normal to the left-hand side of a downward line: a quarter turn."""
    along = end - start
    return 1j * along / (abs(along) or 1.0)


def segment(start: Ring, end: Ring, *, round_start: bool = True, round_end: bool = True) -> skia.Path:
    """A tapered limb piece with round ends."""
    (p, a), (q, b) = start, end
    side = normal(p, q)
    path = polygon([p + side * a, p - side * a, q - side * b, q + side * b])
    for at, radius, wanted in ((p, a, round_start), (q, b, round_end)):
        if wanted:
            path.addCircle(at.real, at.imag, radius, skia.PathDirection.kCW)
    return path


def trunk(rings: Sequence[Ring]) -> skia.Path:
    """A smooth outline around rings from top to bottom; the widths lie across the picture."""
    left = [center - half for center, half in rings]
    right = [center + half for center, half in rings]
    path = skia.Path()
    path.moveTo(left[0].real, left[0].imag)
    path.lineTo(right[0].real, right[0].imag)
    _follow(path, right)
    path.lineTo(left[-1].real, left[-1].imag)
    _follow(path, left[::-1])
    path.close()
    return path


def _follow(path: skia.Path, points: Sequence[complex]) -> None:
    for i in range(1, len(points) - 1):
        end = points[-1] if i == len(points) - 2 else (points[i] + points[i + 1]) / 2
        path.quadTo(points[i].real, points[i].imag, end.real, end.imag)
    if len(points) == 2:
        path.lineTo(points[1].real, points[1].imag)


def between(start: complex, end: complex, share: float) -> complex:
    """The point at a share of the way."""
    return start + (end - start) * share


def degrees(z: complex) -> float:
    """Direction of a vector: clockwise from the picture's right, degrees."""
    return math.degrees(math.atan2(z.imag, z.real))
