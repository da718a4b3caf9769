"""Draws every shape twice: its color on the picture, its part on a map of labels."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np
import skia
from numpy.typing import NDArray

from ctgi.synth.colors import RGB
from ctgi.synth.parts import Part
from ctgi.synth.textures import SIZE, texture

Fill: TypeAlias = RGB | skia.Shader
_STOPS = (-1.0, -0.6, 0.0, 0.6, 1.0)
_POSITIONS = [0.0, 0.2, 0.5, 0.8, 1.0]


@dataclass(frozen=True)
class Light:
    """Where light comes from: x to the right, y down, z toward the camera; unit length."""

    x: float
    y: float
    z: float
    strength: float
    """How dark the shadow sides are, 0 to 1."""

    def across(self, normal: complex) -> list[float]:
        """Signed shade from one edge of a round limb to the other; the normal points to the second edge."""
        side = self.x * normal.real + self.y * normal.imag
        return [self.strength * (t * side + math.sqrt(1 - t * t) * self.z - 0.64) for t in _STOPS]


@dataclass(frozen=True)
class Brush:
    """Two canvases of the same size and scale. Points are complex numbers: x to the right, y down."""

    color: skia.Canvas
    labels: skia.Canvas
    light: Light
    relabel: Part | None = None
    """Every part is marked as this one instead."""

    def marking(self, part: Part) -> "Brush":
        """The same brush, which marks all it draws as `part`."""
        return replace(self, relabel=part)

    def fill(self, path: skia.Path, fill: Fill, part: Part) -> None:
        """A shape in one color or shader."""
        self.color.drawPath(path, _paint(fill))
        self.labels.drawPath(path, _label_paint(part if self.relabel is None else self.relabel))

    def stroke(self, path: skia.Path, fill: Fill, width: float, part: Part | None = None, alpha: float = 1.0) -> None:
        """A line of some width; without a part it only colors what lies below."""
        paint = _paint(fill)
        _make_stroke(paint, width)
        paint.setAlphaf(alpha)
        self.color.drawPath(path, paint)
        if part is not None:
            label = _label_paint(part if self.relabel is None else self.relabel)
            _make_stroke(label, width)
            self.labels.drawPath(path, label)

    def tint(self, path: skia.Path, fill: Fill, alpha: float, blur: float = 0.0) -> None:
        """Colors a shape without marking it; blur in the units of the canvas."""
        paint = _paint(fill)
        paint.setAlphaf(alpha)
        if blur:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        self.color.drawPath(path, paint)

    def shade(self, path: skia.Path, start: complex, end: complex, amounts: Sequence[float], sheen: float) -> None:
        """Light and shade from `start` to `end`: negative darkens, positive lightens times `sheen`."""
        colors = [_signed(amount if amount < 0 else amount * sheen) for amount in amounts]
        positions = _POSITIONS if len(colors) == 5 else [i / (len(colors) - 1) for i in range(len(colors))]
        ends = [skia.Point(start.real, start.imag), skia.Point(end.real, end.imag)]
        shader = skia.GradientShader.MakeLinear(ends, colors, positions)
        self.color.drawPath(path, skia.Paint(Shader=shader, AntiAlias=True))

    def round(self, path: skia.Path, start: complex, end: complex, half_width: float, sheen: float) -> None:
        """Makes a limb from `start` to `end` look round."""
        along = end - start
        normal = 1j * along / (abs(along) or 1.0)
        middle = (start + end) / 2
        self.shade(path, middle - normal * half_width, middle + normal * half_width, self.light.across(normal), sheen)

    def texture(
        self,
        path: skia.Path,
        name: str,
        strength: float,
        size: float,
        at: complex = 0j,
        turn: float = 0.0,
        sheen: float = 1,
    ) -> None:
        """Lays a tile of light and shade, `size` wide, over a shape; `turn` in degrees."""
        if strength < 0.02:  # not to be seen, and slow
            return
        matrix = skia.Matrix().setRotate(turn)
        matrix.postScale(size / SIZE, size / SIZE)
        matrix.postTranslate(at.real, at.imag)
        tile = texture(name, round(sheen * 8) / 8)
        shader = tile.makeShader(skia.TileMode.kRepeat, skia.TileMode.kRepeat, _LINEAR, matrix)
        self.color.drawPath(path, skia.Paint(Shader=shader, AntiAlias=True, Alphaf=min(1.0, strength)))

    @contextmanager
    def clip(self, path: skia.Path, *, out: bool = False) -> Iterator[None]:
        """Draws inside the shape only, or outside of it."""
        how = skia.ClipOp.kDifference if out else skia.ClipOp.kIntersect
        for canvas, smooth in ((self.color, True), (self.labels, False)):
            canvas.save()
            canvas.clipPath(path, how, smooth)
        yield
        self.color.restore()
        self.labels.restore()


_LINEAR = skia.SamplingOptions(skia.FilterMode.kLinear)


def luminance(color: RGB) -> float:
    """How bright a color is, 0 to 1."""
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def scaled(color: RGB, factor: float) -> RGB:
    """The color darker or brighter."""
    return (min(1.0, color[0] * factor), min(1.0, color[1] * factor), min(1.0, color[2] * factor))


def mixed(first: RGB, second: RGB, share: float) -> RGB:
    """Between two colors; share 1 is the second."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def canvases(
    width: int, height: int
) -> tuple[skia.Canvas, skia.Canvas, NDArray[np.uint8], NDArray[np.uint8], list[skia.Surface]]:
    """Canvases for color and labels with the arrays they draw on, [H, W, 4] and [H, W]; keep the surfaces alive."""
    pixels = np.zeros((height, width, 4), np.uint8)
    labels = np.zeros((height, width), np.uint8)
    surfaces = [
        skia.Surface.MakeRasterDirect(
            skia.ImageInfo.Make(width, height, kind, skia.kPremul_AlphaType), array, array.strides[0]
        )
        for array, kind in ((pixels, skia.kRGBA_8888_ColorType), (labels, skia.kAlpha_8_ColorType))
    ]
    return surfaces[0].getCanvas(), surfaces[1].getCanvas(), pixels, labels, surfaces


def _paint(fill: Fill) -> skia.Paint:
    if isinstance(fill, tuple):
        paint = skia.Paint(skia.Color4f(*fill, 1.0))
        paint.setAntiAlias(True)
        return paint
    return skia.Paint(Shader=fill, AntiAlias=True)


def _label_paint(part: Part) -> skia.Paint:
    return skia.Paint(Color=skia.ColorSetARGB(int(part), 0, 0, 0), AntiAlias=False, BlendMode=skia.BlendMode.kSrc)


def _make_stroke(paint: skia.Paint, width: float) -> None:
    paint.setStyle(skia.Paint.kStroke_Style)
    paint.setStrokeWidth(width)
    paint.setStrokeCap(skia.Paint.kRound_Cap)
    paint.setStrokeJoin(skia.Paint.kRound_Join)


@cache
def _signed_level(level: int) -> int:
    return int(skia.ColorSetARGB(-level, 0, 0, 0) if level < 0 else skia.ColorSetARGB(level, 255, 255, 255))


def _signed(amount: float) -> int:
    return _signed_level(round(max(-1.0, min(1.0, amount)) * 255))
