"""Images embedded in a page; those of a trace are found again first."""

from functools import cache
from pathlib import Path

from ctgi.errors import ImageError
from ctgi.retrieval.images import read_image
from ctgi.tools.images import jpeg_url
from ctgi.tools.traces.found_images import FoundImages

_TRACE_PX = (160, 400)
_QUALITY = 82


def thumbnail_url(path: str, bounds_px: tuple[int, int]) -> str:
    """The image as a data URL, no larger than (width, height).

    Raises:
        ImageError: it cannot be read.
    """
    image = read_image(path)
    image.thumbnail(bounds_px)
    return jpeg_url(image, _QUALITY, optimize=True)


class Pictures:
    """A trace's images as data URLs by path and content, for the length of one page."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is where the images lie now, if they were moved."""
        self._found = FoundImages(folder)
        self.embed = cache(self._embed)

    def _embed(self, path: str, sha256: str) -> tuple[str | None, str]:
        """The image as a data URL, or None and the reason why there is none; any image where no content is known."""
        try:
            return thumbnail_url(self._found.find(path, sha256), _TRACE_PX), ""
        except ImageError as error:
            return None, error.reason
