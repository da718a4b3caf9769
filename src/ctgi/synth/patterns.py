"""Stripes, checks, dots, flowers: what a garment's cloth looks like when it is not plain."""

import numpy as np
import skia

from ctgi.synth.brush import Fill, mixed
from ctgi.synth.colors import RGB
from ctgi.synth.look import Look
from ctgi.synth.shapes import degrees

_TILE = 64
_TILED = {"striped": 5.0, "checked": 5.5, "dotted": 4.0, "floral": 9.0, "printed": 14.0}
"""Width of a pattern's tile in units, before the person's own size."""


def cloth(color: RGB, second: RGB, kind: str, look: Look, axis: complex = 1j, at: complex = 0j) -> Fill:
    """The color, or a pattern that runs along the limb's axis."""
    if kind not in _TILED:
        return color
    image = _tile(color, second, kind, look)
    size = _TILED[kind] * look.pattern_size
    matrix = skia.Matrix().setRotate(degrees(axis) - 90 + (look.pattern_turn if kind == "striped" else 0))
    matrix.postScale(size / _TILE, size / _TILE)
    matrix.postTranslate(at.real, at.imag)
    sampling = skia.SamplingOptions(skia.FilterMode.kLinear)
    return image.makeShader(skia.TileMode.kRepeat, skia.TileMode.kRepeat, sampling, matrix)


def _tile(color: RGB, second: RGB, kind: str, look: Look) -> skia.Image:
    surface = skia.Surface(_TILE, _TILE)
    canvas = surface.getCanvas()
    canvas.clear(skia.Color4f(*color, 1.0))
    paint = skia.Paint(skia.Color4f(*second, 1.0))
    paint.setAntiAlias(True)
    _DRAW[kind](canvas, paint, mixed(color, second, 0.5), look)
    return surface.makeImageSnapshot()


def _stripes(canvas: skia.Canvas, paint: skia.Paint, between: RGB, look: Look) -> None:
    canvas.drawRect(skia.Rect.MakeXYWH(0, 0, _TILE, _TILE * look.pattern_share), paint)


def _checks(canvas: skia.Canvas, paint: skia.Paint, between: RGB, look: Look) -> None:
    band = _TILE * look.pattern_share
    half = skia.Paint(skia.Color4f(*between, 1.0))
    canvas.drawRect(skia.Rect.MakeXYWH(0, 0, _TILE, band), half)
    canvas.drawRect(skia.Rect.MakeXYWH(0, 0, band, _TILE), half)
    canvas.drawRect(skia.Rect.MakeXYWH(0, 0, band, band), paint)
    if look.pattern_seed % 2:
        canvas.drawRect(skia.Rect.MakeXYWH(_TILE * 0.7, 0, 4, _TILE), paint)
        canvas.drawRect(skia.Rect.MakeXYWH(0, _TILE * 0.7, _TILE, 4), paint)


def _dots(canvas: skia.Canvas, paint: skia.Paint, between: RGB, look: Look) -> None:
    radius = _TILE * (0.1 + 0.2 * look.pattern_share)
    for x, y in ((0.25, 0.25), (0.75, 0.75)):
        canvas.drawCircle(_TILE * x, _TILE * y, radius, paint)


def _flowers(canvas: skia.Canvas, paint: skia.Paint, between: RGB, look: Look) -> None:
    rng = np.random.default_rng(look.pattern_seed)
    leaf = skia.Paint(skia.Color4f(*mixed(between, (0.15, 0.45, 0.2), 0.5), 1.0))
    for x, y, size in rng.uniform((0, 0, 5), (_TILE, _TILE, 9), (5, 3)).tolist():
        for dx in (-_TILE, 0, _TILE):
            for dy in (-_TILE, 0, _TILE):
                canvas.drawOval(skia.Rect.MakeXYWH(x + dx + size, y + dy, size * 1.5, size * 0.7), leaf)
                for px, py in ((0.7, 0), (-0.7, 0), (0, 0.7), (0, -0.7)):
                    canvas.drawCircle(x + dx + px * size, y + dy + py * size, size * 0.62, paint)


def _blots(canvas: skia.Canvas, paint: skia.Paint, between: RGB, look: Look) -> None:
    rng = np.random.default_rng(look.pattern_seed)
    for x, y, size, flat in rng.uniform((0, 0, 4, 0.4), (_TILE, _TILE, 12, 1.6), (7, 4)).tolist():
        for dx in (-_TILE, 0, _TILE):
            for dy in (-_TILE, 0, _TILE):
                canvas.drawOval(
                    skia.Rect.MakeXYWH(x + dx - size, y + dy - size * flat, 2 * size, 2 * size * flat), paint
                )


_DRAW = {"striped": _stripes, "checked": _checks, "dotted": _dots, "floral": _flowers, "printed": _blots}
