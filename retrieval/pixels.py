"""Decodes an open file to upright RGB pixels. No other module decodes files; each format has one decoder."""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from io import BytesIO
from threading import Lock
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from ctgi.errors import ImageError
from ctgi.retrieval.decoding_budget import MAX_PIXELS, PixelBudget
from ctgi.retrieval.mending import mended
from ctgi.text import plain

MIN_SIDE_PX = 8
_TOO_LARGE = f"more than {MAX_PIXELS // 1_000_000} megapixels"
_BUDGET = PixelBudget(MAX_PIXELS)
_BAND_PIXELS = 2_000_000
_LAST_BLOCK_PX = 17  # the largest block of a JPEG and the neighboring pixel that its color is blended into
_WARNINGS = Lock()
_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)
_TURNS: dict[float | None, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DECODER_ERRORS = (  # decoders raise all of these for damaged files; Warning only under `python -W error`
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, Warning, struct.error, zlib.error,
)  # fmt: skip


@contextmanager
def decoded(path: str, file: BinaryIO, kind: str) -> Iterator[tuple[Image.Image, bool]]:
    """The image in a file of format `kind` (Pillow's name), and whether every decoder reads the same from the file.

    Its pixels count against the budget of all threads until the block ends.

    Raises:
        ImageError: damaged, too large or too small; `path` is for the message.
        MemoryError: too little memory.
    """
    with ExitStack() as held:
        try:
            image, exact = _upright(_loaded(path, file, kind, held))
        except DECODER_ERRORS as error:
            reason = _reason(error)
        else:
            yield image, exact
            return
        held.close()
        rescued = _rescued(path, file, kind, held)
        if rescued is None:
            raise ImageError(path, reason)
        yield _upright(rescued)[0], False


def is_whole_jpeg(content: bytes) -> bool:
    """Whether a JPEG decodes without a fault, told at an eighth of its size, which takes half the time.

    False says nothing: decode it as a whole then.
    """
    try:
        image = _open(BytesIO(content), "JPEG")
        width, height = image.size
        if min(width, height) < MIN_SIDE_PX or width * height > MAX_PIXELS:
            return False
        image.draft("L", (width // 8, height // 8))
        image.load()
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return False
    return True


def upright_size(file: BinaryIO, kind: str) -> tuple[int, int] | None:
    """(width, height) in px by the header of a file of format `kind`; None where that cannot be read."""
    try:
        image = _open(file, kind)
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return None
    width, height = image.size
    return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def _loaded(path: str, file: BinaryIO, kind: str, held: ExitStack) -> ImageFile:
    try:
        image = _open(file, kind)
    except Image.DecompressionBombError:
        raise ImageError(path, _TOO_LARGE) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(path, f"{width} x {height} px: {_TOO_LARGE}")
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(path, f"{width} x {height} px: too small to show a person")
    held.enter_context(_BUDGET.share(width * height))
    image.load()
    return image


def _open(file: BinaryIO, kind: str) -> ImageFile:
    """The image with its header read, by this format's decoder only."""
    if kind == "HEIF":
        _register_heif()
    with _quiet():
        return Image.open(file, formats=(kind,))


@cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings about sizes and metadata, which are checked here.

    The filters of `warnings` are shared by the process, so one thread at a time may change them.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _rescued(path: str, file: BinaryIO, kind: str, held: ExitStack) -> ImageFile | None:
    """The image of a file whose fault lies outside the pixels; None if pixels are missing."""
    file.seek(0)
    mend = mended(file.read(), kind)
    if mend is None:
        return None
    with suppress(*DECODER_ERRORS):
        image = _loaded(path, BytesIO(mend.data), kind, held)
        if not mend.twin or _alike(image, _open(BytesIO(mend.twin), kind)):
            return image
    return None


def _alike(image: Image.Image, twin: Image.Image) -> bool:
    """Whether two decodings of a JPEG agree in all but the last block, which missing bytes leave incomplete."""
    box = ImageChops.difference(image, twin).getbbox(alpha_only=False)
    return box is None or (box[0] >= image.width - _LAST_BLOCK_PX and box[1] >= image.height - _LAST_BLOCK_PX)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "damaged image: its header cannot be read"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {error.strerror}"
    words = plain(str(error)) or type(error).__name__
    if "out of memory" in words.lower():
        raise MemoryError
    return f"damaged image: {words}"


def _upright(image: ImageFile) -> tuple[Image.Image, bool]:
    """The image in RGB, turned upright by its metadata, and whether every decoder reads the same from the file."""
    orientation = _orientation(image)
    exact = (
        image.format in ("JPEG", "PNG")
        and image.mode == "RGB"
        and not image.has_transparency_data
        and not getattr(image, "is_animated", False)
        and orientation == 1
    )
    rgb = _to_rgb(image)
    rgb.info = {}
    turn = _TURNS.get(orientation)
    return (rgb if turn is None else rgb.transpose(turn)), exact


def _orientation(image: ImageFile) -> float | None:
    """The orientation as a value of the EXIF tag; None if it cannot be read."""
    try:
        with _quiet():
            if "exif" in image.info:
                Image.Exif().load(image.info["exif"])  # `getexif` fails only at its first call, which was Pillow's own
            value = image.getexif().get(_ORIENTATION, 1)
    except DECODER_ERRORS:
        return None
    return value if isinstance(value, int | float) else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        white = _white(image)
        return _in_bands(image, lambda band: _to_eight_bit(band, white))
    return _in_bands(image, _over_white) if image.has_transparency_data else image.convert("RGB")


def _in_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The converted image, made in bands, because a conversion takes several times the memory of an image."""
    result = Image.new("RGB", image.size)
    for band, top in _bands(image):
        result.paste(convert(band), (0, top))
    return result


def _bands(image: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))), top


def _over_white(band: Image.Image) -> Image.Image:
    layer = band.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _to_eight_bit(band: Image.Image, white: float) -> Image.Image:
    """Scale 16-bit gray to 8 bits; Pillow's own conversion clips at 255."""
    values = np.nan_to_num(np.asarray(band, dtype=np.float64))
    return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _white(image: Image.Image) -> float:
    """The value of white in a 16-bit gray image."""
    brightest = max(float(np.nan_to_num(np.asarray(band, dtype=np.float64)).max()) for band, _ in _bands(image))
    whites = (1.0, 255.0, 65_535.0) if image.mode == "F" else (65_535.0,)
    return next((level for level in whites if brightest <= level), brightest)
