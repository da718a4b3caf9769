"""Images for model servers: scaled into bounds, as data URLs, built once per dialogue."""

import asyncio
import base64
import math
from collections import OrderedDict
from io import BytesIO

from PIL import Image

from ctgi.errors import ImageError
from ctgi.retrieval.images import ImageRef, picture_at

JPEG_QUALITY = 95
_METADATA_BYTES = 65_536


def data_url(ref: ImageRef, min_pixels: int, max_pixels: int) -> str:
    """The image as a data URL whose area lies in [min_pixels, max_pixels], up to whole pixels.

    A plain upright RGB JPEG or PNG within the bounds is passed on byte for byte; everything else becomes a JPEG.

    Raises:
        ImageError: the file cannot be used, or no longer holds what `ref.sha256` names.
    """
    with picture_at(ref.path, ref.sha256) as picture:
        area = picture.image.width * picture.image.height
        if picture.format and min_pixels <= area <= max_pixels:
            picture.file.seek(0)
            data = picture.file.read(4 * area + _METADATA_BYTES + 1)
            if len(data) <= 4 * area + _METADATA_BYTES:
                return _url(picture.format, data)
        return encode(picture.image, min_pixels, max_pixels)


def encode(image: Image.Image, min_pixels: int, max_pixels: int) -> str:
    """An RGB image as the data URL of a JPEG, scaled into [min_pixels, max_pixels], keeping its aspect ratio."""
    return jpeg_url(_bounded(image, min_pixels, max_pixels), JPEG_QUALITY)


def jpeg_url(image: Image.Image, quality: int, *, optimize: bool = False) -> str:
    """An RGB image as the data URL of a JPEG; `optimize` makes it smaller and takes longer."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=optimize)
    return _url("jpeg", buffer.getvalue())


def _bounded(image: Image.Image, min_pixels: int, max_pixels: int) -> Image.Image:
    size = bounded_size(*image.size, min_pixels, max_pixels)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def bounded_size(width: int, height: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """(width, height) in px in which an image of this size is sent: its area lies in [min_pixels, max_pixels]."""
    area = width * height
    if min_pixels <= area <= max_pixels:
        return width, height
    scale = math.sqrt((min_pixels if area < min_pixels else max_pixels) / area)
    whole = math.ceil if scale > 1 else math.floor
    return max(1, whole(width * scale)), max(1, whole(height * scale))


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


class DataUrls:
    """The data URLs of images in current dialogues: each is decoded and encoded once, in a thread.

    Holds the `size` images used last; belongs to the running loop.
    """

    def __init__(self, min_pixels: int, max_pixels: int, size: int) -> None:
        self._bounds = (min_pixels, max_pixels)
        self._size = size
        self._urls: OrderedDict[str, asyncio.Task[str]] = OrderedDict()

    async def get(self, ref: ImageRef) -> str:
        """The image's data URL. Raises ImageError as `data_url` does; a failure is not remembered."""
        task = self._urls.get(ref.sha256) or self._start(ref)
        self._urls.move_to_end(ref.sha256)
        try:
            return await asyncio.shield(task)  # others may be waiting for the same image
        except ImageError:
            self._urls.pop(ref.sha256, None)
            raise

    def _start(self, ref: ImageRef) -> asyncio.Task[str]:
        if len(self._urls) >= self._size:
            self._urls.popitem(last=False)
        task = asyncio.ensure_future(asyncio.to_thread(data_url, ref, *self._bounds))
        self._urls[ref.sha256] = task
        return task
