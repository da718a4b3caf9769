"""Back to the source of a crop: in words, and as the full picture with the person marked."""

from pathlib import PurePath

from PIL import Image, ImageDraw

from ctgi.errors import CtgiError, ImageError
from ctgi.records import Origin
from ctgi.retrieval.images import read_image
from ctgi.retrieval.video import Video

_MARK = "#ffb020"


def clock(seconds: float | None) -> str:
    """A time since the beginning, as 1:02:03.4."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def source_name(origin: Origin) -> str:
    """The name of the photograph or video."""
    return PurePath(origin.source).name


def moment(origin: Origin) -> str:
    """Time and frame in a video; empty for a photograph."""
    return "" if origin.frame is None else f"{clock(origin.time_s)}, frame {origin.frame}"


def box_in_words(origin: Origin) -> str:
    """The box in whole px: left, top, right, bottom."""
    return "box " + ", ".join(str(round(edge)) for edge in origin.box)


def in_words(origin: Origin) -> str:
    """All of it in one line."""
    parts = (source_name(origin), moment(origin), box_in_words(origin), origin.time, origin.camera, origin.site)
    return ", ".join(part for part in parts if part)


def full_picture(origin: Origin, bounds_px: tuple[int, int]) -> Image.Image:
    """The photograph or frame, no larger than (width, height), with the person's box drawn.

    Raises:
        ImageError: the source is gone, changed its size, or cannot be read.
    """
    try:
        picture = _read(origin)
    except CtgiError as error:  # PyAV is not installed here
        raise ImageError(origin.source, str(error)) from None
    if picture.size != origin.size:
        raise ImageError(origin.source, "is another picture by now")
    small = picture.copy()
    small.thumbnail(bounds_px)
    scale = small.width / picture.width
    left, top, right, bottom = (edge * scale for edge in origin.box)
    ImageDraw.Draw(small).rectangle((left, top, max(left + 1, right), max(top + 1, bottom)), outline=_MARK, width=2)
    return small


def _read(origin: Origin) -> Image.Image:
    if origin.time_s is None:
        return read_image(origin.source)
    return Video(origin.source).at(origin.time_s).picture()
