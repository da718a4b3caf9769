"""Videos and photographs with people in them, whose places are known: drawn by the real generator, or plain blocks.

`find_blocks` is a detector that finds the blocks: tests of all that comes after detection need no network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from ctgi.synth.brush import Brush, Light, canvases
from ctgi.synth.dressed import draw_dressed, pose_figure
from ctgi.synth.look import draw_look
from ctgi.synth.person import View, draw_person
from ctgi.synth.scene import draw_scene
from ctgi.tools.types import Box

SIZE = (640, 360)


@dataclass(frozen=True)
class Walker:
    """A person who walks through the picture."""

    sprite: Image.Image
    """RGBA, cut to the person."""
    height: int
    """In px."""
    left: float
    """Where the person is at the time 0, in px."""
    feet: float
    speed: float = 0.0
    """In px per second to the right."""
    begin: float = 0.0
    """When the person comes, in s."""
    end: float = 1e9

    def box(self, time: float) -> Box:
        """Where the person is."""
        width = self.sprite.width * self.height / self.sprite.height
        left = self.left + self.speed * (time - self.begin)
        return left, self.feet - self.height, left + width, self.feet


def draw_sprite(seed: int, height: int = 384, **changes: str) -> Image.Image:
    """A drawn person on nothing; `changes` are fields of the person."""
    rng = Random(seed)
    person = replace(draw_person(rng), **changes)
    view = View("front", "walking", "street", others=False)
    look = draw_look(person, rng)
    figure = pose_figure(person, look, view, rng)
    joints = [figure.at(name) for name in figure.pose.joints]
    top, bottom = min(z.imag for z in joints) - 16, max(z.imag for z in joints) + 6
    left, right = min(z.real for z in joints) - 30, max(z.real for z in joints) + 30
    scale = height / (bottom - top)
    color, marks, pixels, labels, surfaces = canvases(round((right - left) * scale), height)
    for canvas in (color, marks):
        canvas.scale(scale, scale)
        canvas.translate(-left, -top)
    draw_dressed(Brush(color, marks, Light(0.3, -0.5, 0.8, 0.3)), figure, person, look, view, rng)
    sprite = Image.fromarray(np.dstack([pixels[..., :3], np.where(labels > 0, 255, 0).astype(np.uint8)]), "RGBA")
    del surfaces
    return sprite.crop(sprite.getbbox())


def draw_place(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """A street without people."""
    tall = 180
    scale = size[1] / tall
    color, marks, pixels, _, surfaces = canvases(round(size[0] / scale), tall)
    for canvas in (color, marks):
        canvas.translate(0, 100)
    rng = Random(seed)
    draw_scene(Brush(color, marks, Light(0.3, -0.5, 0.8, 0.3)), "wall", (0, -100, size[0] / scale, 80), -5, rng)
    place = Image.fromarray(pixels[..., :3].copy()).resize(size, Image.Resampling.BILINEAR)
    del surfaces
    return place


def draw_moment(place: Image.Image, walkers: Sequence[Walker], time: float = 0.0) -> Image.Image:
    """What the camera sees at a time; who stands lower in the picture stands in front."""
    picture = place.copy()
    for one in sorted(walkers, key=lambda walker: walker.feet):
        if one.begin <= time <= one.end:
            left, top, right, _ = one.box(time)
            small = one.sprite.resize((round(right - left), one.height), Image.Resampling.BILINEAR)
            picture.paste(small, (round(left), round(top)), small)
    return picture.filter(ImageFilter.GaussianBlur(0.4))


def write_video(
    path: Path,
    frames: Iterator[Image.Image],
    *,
    rate: int = 10,
    codec: str = "libx264",
    rotation: int = 0,
    times: Callable[[int], int] = lambda number: number,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of these pictures; `times` maps a frame's number to its time in frames of `rate`."""
    import av

    with av.open(str(path), "w", options={} if options is None else options) as container:
        container.metadata.update(metadata or {})
        stream: Any = None
        for number, picture in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.width, stream.height = picture.size
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                if codec == "libx264":
                    stream.options = {"crf": "18", "preset": "ultrafast"}
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_image(picture)
            frame.pts = times(number)
            frame.time_base = Fraction(1, rate)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def film(
    walkers: Sequence[Walker], seconds: float, *, rate: int = 10, size: tuple[int, int] = SIZE
) -> Iterator[Image.Image]:
    """The pictures of a video."""
    place = draw_place(size)
    for number in range(round(seconds * rate)):
        yield draw_moment(place, walkers, number / rate)


# --- blocks in the place of people

GRAY = (128, 128, 128)


@dataclass(frozen=True)
class Block:
    """A block of stripes in a color, on gray."""

    color: tuple[int, int, int]
    box: tuple[int, int, int, int]
    step: tuple[float, float] = (0.0, 0.0)
    """How far it goes from one frame to the next, in px."""
    frames: range = range(1_000_000)

    def at(self, number: int) -> tuple[int, int, int, int]:
        """Where it is."""
        x, y = (round(step * (number - self.frames.start)) for step in self.step)
        return self.box[0] + x, self.box[1] + y, self.box[2] + x, self.box[3] + y


def draw_blocks(blocks: Sequence[Block], number: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A frame."""
    picture = Image.new("RGB", size, GRAY)
    for block in blocks:
        if number in block.frames:
            left, top, right, bottom = block.at(number)
            for y in range(top, bottom, 8):  # an edge now and then, so that it is sharp
                picture.paste(block.color, (left, y, right, min(bottom, y + 5)))
                picture.paste(tuple(value // 2 for value in block.color), (left, y + 5, right, min(bottom, y + 8)))
    return picture


def blocks_film(blocks: Sequence[Block], frames: int, size: tuple[int, int] = (320, 240)) -> Iterator[Image.Image]:
    """The pictures of a video."""
    return (draw_blocks(blocks, number, size) for number in range(frames))


def find_blocks(picture: Image.Image) -> list[tuple[float, ...]]:
    """The boxes of what is red, green or blue; as `python:tests.support.footage:find_blocks`."""
    from scipy import ndimage

    pixels = np.asarray(picture, dtype=np.int16)
    colorful = pixels.max(-1) - pixels.min(-1) > 60
    found = []
    for channel in range(3):
        labels, _ = ndimage.label(ndimage.binary_closing(colorful & (pixels.argmax(-1) == channel), iterations=2))
        for rows, columns in ndimage.find_objects(labels):
            if rows.stop - rows.start > 12:
                found.append((float(columns.start), float(rows.start), float(columns.stop), float(rows.stop), 0.9))
    return found
