"""What a photograph's EXIF data say about where and when it was taken."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ctgi.retrieval.image_kinds import HEAD_BYTES, image_format
from ctgi.retrieval.pixels import DECODER_ERRORS

_DATE, _OFFSET = ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal
_CHANGED = ExifTags.Base.DateTime


@dataclass(frozen=True)
class PhotoFacts:
    """What a photograph says of itself; None where it says nothing."""

    time: str | None
    """In ISO 8601; with an offset only if the camera wrote one."""
    place: tuple[float, float] | None
    """Latitude and longitude in degrees."""


def photo_facts(path: str) -> PhotoFacts:
    """The facts of a file; empty ones where it has no EXIF data or they are damaged."""
    try:
        with Path(path).open("rb") as file:
            kind = image_format(file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size)
        if kind is None:
            return PhotoFacts(None, None)
        with Image.open(path, formats=(kind,)) as image:
            exif = image.getexif()
            return PhotoFacts(_time(exif), _place(exif.get_ifd(ExifTags.IFD.GPSInfo)))
    except DECODER_ERRORS:
        return PhotoFacts(None, None)


def _time(exif: Image.Exif) -> str | None:
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    written = str(detail.get(_DATE) or exif.get(_CHANGED) or "").strip("\0 ")
    date, _, clock = written.partition(" ")
    parts = date.split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts) or int(parts[0]) == 0 or not clock:
        return None
    offset = str(detail.get(_OFFSET) or "").strip("\0 ")
    return f"{'-'.join(parts)}T{clock}{offset}"


def _place(gps: dict[int, Any]) -> tuple[float, float] | None:
    try:
        latitude = _degrees(gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef], "S")
        longitude = _degrees(gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef], "W")
    except (LookupError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def _degrees(parts: Any, hemisphere: Any, negative: str) -> float:
    degrees, minutes, seconds = map(float, parts)
    value = degrees + minutes / 60 + seconds / 3600
    return round(-value if str(hemisphere).strip("\0 ").upper() == negative else value, 6)
