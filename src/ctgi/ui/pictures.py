"""Images of the gallery as the page shows them: found by content, made smaller once, kept as JPEG files."""

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ctgi.errors import CtgiError, ImageError
from ctgi.files import write_whole
from ctgi.footage.scenes import full_picture
from ctgi.footage.sources import origin_of
from ctgi.retrieval.images import picture_at
from ctgi.retrieval.sources.references import file_of, is_remote

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_PX = (240, 600)
"""Bounds (width, height): twice the largest size on the page."""
FULL_PX = (1600, 1600)
_QUALITY = 82


class UnknownImageError(CtgiError):
    """No image of the gallery has this id."""


class Pictures:
    """JPEG pictures of a gallery's images by their sha256; no path ever comes from outside."""

    def __init__(self, paths_of: Callable[[str], Sequence[str]], folder: Path) -> None:
        """`paths_of`: where the images with a sha256 lie; `folder`: where thumbnails are kept."""
        self._paths_of, self._folder = paths_of, folder

    def __contains__(self, sha256: str) -> bool:
        return bool(self._paths_of(sha256))

    def path(self, sha256: str) -> str:
        """Where the image lies; of several copies the first that is there.

        Raises:
            UnknownImageError: it is not of this gallery.
        """
        paths = self._paths_of(sha256)
        if not paths:
            raise UnknownImageError("no image of this gallery has this id")
        return next((path for path in paths if is_remote(path) or Path(file_of(path)).exists()), paths[0])

    def thumbnail(self, sha256: str) -> bytes:
        """A small picture, made at its first showing.

        Raises:
            UnknownImageError: it is not of this gallery.
            ImageError: the file is gone, changed or cannot be read.
        """
        path, kept = self.path(sha256), self._folder / sha256[:2] / f"{sha256}.jpg"
        try:
            return kept.read_bytes()
        except OSError:
            small = _jpeg(path, sha256, THUMBNAIL_PX)
            _keep(kept, small)
            return small

    def scene(self, sha256: str) -> bytes:
        """The photograph or frame that the image was cut out of, with the person marked.

        Raises:
            UnknownImageError: it is not of this gallery.
            ImageError: ctgi crop did not make the image, or its source is gone or cannot be read.
        """
        path = self.path(sha256)
        origin = origin_of(path)
        if origin is None:
            raise ImageError(path, "not cut out of a photograph or video")
        return _encoded(full_picture(origin, FULL_PX))

    def full(self, sha256: str) -> bytes:
        """The picture as large as a screen.

        Raises:
            UnknownImageError: it is not of this gallery.
            ImageError: the file is gone, changed or cannot be read.
        """
        return _jpeg(self.path(sha256), sha256, FULL_PX)


def _jpeg(path: str, sha256: str, bounds: tuple[int, int]) -> bytes:
    with picture_at(path, sha256) as picture:
        image = picture.image.copy()
    image.thumbnail(bounds)
    return _encoded(image)


def _encoded(image: "Image") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _keep(path: Path, content: bytes) -> None:
    """A thumbnail that cannot be kept is made again the next time."""
    with suppress(OSError, CtgiError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
