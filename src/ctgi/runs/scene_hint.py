"""A word about images that show a scene, where images of one person each are expected."""

import os
from collections.abc import Sequence

from ctgi.errors import ImageError
from ctgi.retrieval.image_kinds import HEAD_BYTES, image_format
from ctgi.retrieval.images import opened
from ctgi.retrieval.pixels import upright_size
from ctgi.runs.events import Events
from ctgi.text import plain

LOOKED_AT = 500
"""Of a large collection some are looked at, evenly spread."""
_WIDE = 1.2
"""Width to height from which on an image is a scene: people stand upright."""
_LEAST_PX = 200


def tell_scenes(paths: Sequence[str], events: Events) -> None:
    """Warn of images that look like scenes: they would pass for one person, made of everybody in them."""
    sample = paths[:: max(1, len(paths) // LOOKED_AT)]
    scenes = [(path, size) for path in sample if (size := _size(path)) and _is_scene(size)]
    if scenes:
        path, (width, height) = scenes[0]
        more = f" ({len(scenes)} of {len(sample)} images looked at are like it)" if len(scenes) > 1 else ""
        events.warn(
            f"{plain(path)} looks like a scene, {width} x {height} px, not like one person{more}: "
            "ctgi crop cuts the people out; or add --crop"
        )


def _is_scene(size: tuple[int, int]) -> bool:
    width, height = size
    return width >= _WIDE * height and height >= _LEAST_PX


def _size(path: str) -> tuple[int, int] | None:
    """By its header alone; None if that cannot be read: whoever reads the image says why."""
    try:
        with opened(path) as file:
            head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
            kind = image_format(head, size)
            return upright_size(file, kind) if kind else None
    except (ImageError, OSError, ValueError):
        return None
