"""Draws surfaces with OpenGL, on a graphics card or in software, without a window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.synth.people3d.meshes import Array, Piece
from ctgi.synth.people3d.shaders import sources

CROP = (320, 416)
"""Width and height of the largest film of one person."""
_SHADOW = 512
Uniforms = Mapping[str, Any]


@dataclass(frozen=True)
class Actor:
    """What is drawn with one set of colors."""

    pieces: Sequence[Piece]
    uniforms: Uniforms
    """Arrays and numbers for the picture's program."""


@dataclass(frozen=True)
class Exposure:
    """What falls on the film, before the camera's tone curve; arrays are [H, W]."""

    color: Array
    """[H, W, 3] linear light."""
    depth: Array
    """Meters from the camera; 0 where nothing is."""
    materials: NDArray[np.int16]
    """Material of each pixel; -1 where nothing is."""
    owners: NDArray[np.int16]
    """The `owner` of each pixel's actor."""
    light: Array
    """How bright white paper would be there."""


class Studio:
    """An OpenGL context with its programs and films; one per process and size."""

    def __init__(self, gl: Any, size: tuple[int, int]) -> None:
        self.gl = gl
        vertex, shadow, fragment = sources()
        self.picture, self.caster = gl.program(vertex, fragment), gl.program(vertex, shadow)
        self.films = [gl.texture(size, 4, dtype="f4") for _ in range(2)]
        self.film = gl.framebuffer(self.films, gl.depth_renderbuffer(size))
        self.shadow = gl.depth_texture((_SHADOW, _SHADOW))
        self.shadow.compare_func = ""
        self.shadow.filter = (gl.NEAREST, gl.NEAREST)
        self.shadow_film = gl.framebuffer(depth_attachment=self.shadow)
        self.points = gl.buffer(reserve=16 << 20, dynamic=True)
        self.faces = gl.buffer(reserve=8 << 20, dynamic=True)

    def expose(
        self, actors: Sequence[Actor], size: tuple[int, int], view: Array, light: Array, uniforms: Uniforms
    ) -> Exposure:
        """The actors as a camera of matrix `view` sees them; `light` is the sun's matrix. size: width, height."""
        with self.gl:  # calls go to whichever context was entered or made last
            ranges = self._load(actors)
            self.gl.enable(self.gl.DEPTH_TEST)
            self._cast_shadows(ranges, light)
            self.film.use()
            self.film.viewport = (0, 0, *size)
            self.film.clear(0, 0, 0, 0)
            self.shadow.use(0)
            self._set(self.picture, {"view": view.T, "light": light.T, "depth": 0, **uniforms})
            for actor, (first, count) in zip(actors, ranges, strict=True):
                self._set(self.picture, actor.uniforms)
                self._draw(self.picture, "3f 3f 3f 2f", ("place", "normal", "rest", "surface"), first, count)
            return self._develop(size)

    def _cast_shadows(self, ranges: Sequence[tuple[int, int]], light: Array) -> None:
        self.shadow_film.use()
        self.shadow_film.clear()
        self._set(self.caster, {"view": light.T})
        for first, count in ranges:
            self._draw(self.caster, "3f 24x 2f", ("place", "surface"), first, count)

    def _load(self, actors: Sequence[Actor]) -> list[tuple[int, int]]:
        """Fills the buffers; where each actor's corners begin and how many they are."""
        rows, faces, ranges, points, corners = [], [], [], 0, 0
        for actor in actors:
            start = corners
            for piece in actor.pieces:
                mark = np.full(len(piece.points), float(piece.material), np.float32)
                rows.append(np.column_stack((piece.points, piece.normals, piece.rest, piece.keep, mark)).astype("f4"))
                faces.append(piece.faces.astype("i4") + points)
                points, corners = points + len(mark), corners + piece.faces.size
            ranges.append((start, corners - start))
        for buffer, arrays in ((self.points, rows), (self.faces, faces)):
            content = np.concatenate(arrays).tobytes()
            buffer.orphan(max(len(content), buffer.size))
            buffer.write(content)
        return ranges

    def _set(self, program: Any, uniforms: Uniforms) -> None:
        for name, value in uniforms.items():
            if name not in program:
                continue
            if isinstance(value, int):
                program[name].value = value
            else:
                program[name].write(np.asarray(value, "f4").tobytes())

    def _draw(self, program: Any, layout: str, names: tuple[str, ...], first: int, count: int) -> None:
        here = [name for name in names if name in program]
        array = self.gl.vertex_array(program, [(self.points, layout, *here)], self.faces, index_element_size=4)
        array.render(self.gl.TRIANGLES, vertices=count, first=first)
        array.release()

    def _develop(self, size: tuple[int, int]) -> Exposure:
        width, height = size
        read = [self.film.read(viewport=(0, 0, width, height), components=4, attachment=i, dtype="f4") for i in (0, 1)]
        color, extra = (np.frombuffer(part, "f4").reshape(height, width, 4)[::-1] for part in read)
        empty = extra[..., 3] == 0
        marks = np.where(empty, -1, np.floor(extra[..., 1])).astype(np.int16)
        return Exposure(
            np.ascontiguousarray(color[..., :3]), np.ascontiguousarray(extra[..., 0]),
            np.where(empty, -1, marks % 100).astype(np.int16), marks // 100, np.ascontiguousarray(extra[..., 2]),
        )  # fmt: skip


@cache
def studio(width: int = CROP[0], height: int = CROP[1]) -> Studio:
    """This process's studio for films up to a size in px.

    Raises:
        CtgiError: moderngl or EGL is missing; says what to install.
    """
    try:
        import moderngl
    except ImportError as error:
        raise CtgiError(f"people in 3D need moderngl ({error}): pip install 'ctgi[synth3d]'") from None
    create: Any = moderngl.create_context
    try:
        gl = create(standalone=True, backend="egl", device_index=0)
    except Exception as error:
        if type(error) not in (Exception, ValueError):  # EGL that fails raises bare ones, an old OpenGL a ValueError
            raise
        raise CtgiError(
            f"people in 3D need OpenGL through EGL ({error}): on Debian or Ubuntu, apt-get install libegl1 "
            "libgl1-mesa-dri"
        ) from None
    return Studio(gl, (width, height))
