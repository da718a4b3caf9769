"""The images of a trace, found again and embedded in a page."""

import base64
import io
from functools import cache
from pathlib import Path, PurePath

from ctgi.errors import ImageError
from ctgi.retrieval.images import digest, read_image

_BOUNDS_PX = (160, 400)


class Pictures:
    """Data URLs by path and content, for the length of one page."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is where the images lie now, if they were moved."""
        self._folder = folder
        self.embed = cache(self._embed)

    def _embed(self, path: str, sha256: str) -> tuple[str | None, str]:
        """The image as a data URL, or None and the reason why there is none."""
        reason = "the file is gone"
        for place in self._places(path):
            try:
                if digest(place) != sha256:
                    reason = "another image lies there now"
                    continue
                return _data_url(place), ""
            except ImageError as error:
                reason = error.reason
        return None, reason

    def _places(self, path: str) -> list[str]:
        if self._folder is None:
            return [path]
        inside = PurePath(path).parts[1:] if PurePath(path).is_absolute() else PurePath(path).parts
        return [str(self._folder.joinpath(*inside[start:])) for start in range(len(inside))]


def _data_url(path: str) -> str:
    image = read_image(path)
    image.thumbnail(_BOUNDS_PX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
