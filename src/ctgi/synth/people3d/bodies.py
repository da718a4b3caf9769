"""The bodies of all people in 3D, baked once per user and kept in a small file."""

import os
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ctgi.errors import CtgiError
from ctgi.files import user_folder, write_whole
from ctgi.synth.people3d.bake import GROUPS, bake
from ctgi.synth.people3d.meshes import Array, Faces

VARIABLE = "CTGI_BODIES"
"""Environment variable: another file to keep the bodies in."""
_FILE = "bodies-1.npz"
_STEP = 5e-5
"""Meters: what points are rounded to in the file."""


@dataclass(frozen=True)
class Bodies:
    """Arrays shared by all bodies; lengths in meters, z up, facing -y."""

    points: Array
    """[bodies, points, 3]"""
    heads: Array
    """[bodies, bones, 3]: where each bone begins."""
    tails: Array
    sexes: tuple[str, ...]
    """male or female."""
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    """Bone that each hangs on; -1 for the first."""
    weights: Array
    """[points, bones]: how much each bone moves a point."""
    faces: dict[str, Faces]
    """Triangles of body, tights, skirt, hair and eyes."""


@cache
def load_bodies() -> Bodies:
    """The bodies, from the file of an earlier call or baked now.

    Raises:
        CtgiError: there is no such file and anny is missing, or the file cannot be read or written.
    """
    path = _path()
    if path is not None and path.exists():
        return _read(path)
    if path is not None:
        _make_folder(path)
    packed = _pack(bake())
    if path is not None:
        write_whole(path, packed)
    return _unpack(packed)


def _path() -> Path | None:
    if named := os.environ.get(VARIABLE):
        return Path(named)
    folder = user_folder("XDG_CACHE_HOME", ".cache")
    return folder and folder / _FILE


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CtgiError(
            f"{path}: the bodies cannot be kept here ({error.strerror}): set {VARIABLE} to a file in a writable folder"
        ) from None


def _read(path: Path) -> Bodies:
    try:
        return _unpack(path.read_bytes())
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise CtgiError(f"{path}: holds no bodies ({error}): delete it, and it is made anew") from None


def _pack(arrays: dict[str, Any]) -> bytes:
    """A file of a third of the size: rounded differences from the mean body, and weights in 1/255."""
    mean = arrays["bodies"].mean(0)
    packed = arrays | {
        "mean": mean,
        "bodies": np.round((arrays["bodies"] - mean) / _STEP).astype(np.int16),
        "weights": np.round(arrays["weights"] * 255).astype(np.uint8),
    }
    buffer = BytesIO()
    np.savez_compressed(buffer, **packed)
    return buffer.getvalue()


def _unpack(content: bytes) -> Bodies:
    with np.load(BytesIO(content)) as file:
        weights = file["weights"].astype(np.float32)
        return Bodies(
            points=file["mean"] + file["bodies"].astype(np.float32) * np.float32(_STEP),
            heads=file["heads"].astype(np.float32),
            tails=file["tails"].astype(np.float32),
            sexes=tuple(map(str, file["sexes"])),
            bones=tuple(map(str, file["names"])),
            parents=tuple(map(int, file["parents"])),
            weights=weights / weights.sum(1, keepdims=True),
            faces={name: file[name] for name in GROUPS},
        )
