"""Images as files: finding them, naming them by content, and reading them upright in RGB."""

import glob
import hashlib
import os
import stat
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from ctgi.errors import CtgiError, ImageError
from ctgi.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = frozenset({".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MIN_SIDE_PX = 8
MAX_PIXELS = 100_000_000
_TOO_LARGE = f"more than {MAX_PIXELS // 1_000_000} megapixels"
_WARNINGS = Lock()
_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap the sides


@dataclass(frozen=True)
class ImageRef:
    """An image by where it lies and what it holds; the bytes stay on disk."""

    path: str
    sha256: str


def ref(path: str) -> ImageRef:
    """The image at `path`, named by its content.

    Raises:
        ImageError: the file cannot be read.
    """
    return ImageRef(path, digest(path))


def digest(path: str) -> str:
    """sha256 of a file's content, in hexadecimal.

    Raises:
        ImageError: the file cannot be read.
    """
    with _reading(path):
        _check_file(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def display(path: str) -> str:
    """A path that is safe to print: control characters and bytes that are no UTF-8 become escapes."""
    return plain(path)


# --- finding


def find_images(inputs: Sequence[str]) -> Iterator[str]:
    """Paths of the images meant by `inputs`, each real file once, in the order given.

    Folders are searched through (sorted; image extensions only; names with a leading dot are skipped), globs
    expanded, `@list.txt` read as one path a line relative to the list, and a file named outright is taken
    whatever its extension.

    Raises:
        CtgiError: a path is missing, a folder unreadable or without images, a glob without a match.
    """
    files: set[tuple[int, int]] = set()
    for text in inputs:
        for path in _expand(text):
            if _first_time(path, files):
                yield path


def _expand(text: str) -> Iterator[str]:
    if os.path.isdir(text):
        return _not_empty(
            _walk(text, set()),
            f"{display(text)}: no images in this folder: expected files ending in {' '.join(sorted(EXTENSIONS))}",
        )
    if os.path.lexists(text):
        return iter([text])
    if text.startswith("@") and len(text) > 1:
        return _listed(text[1:])
    if glob.has_magic(text):
        return _globbed(text)
    raise CtgiError(f"{display(text)}: no such file or folder: give a folder, a file, a quoted glob or @list.txt")


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Image files under `folder`; `seen` holds the folders visited, so a loop of links ends."""
    try:
        here = os.stat(folder)
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise CtgiError(
            f"{display(folder)}: cannot read this folder ({error.strerror}): make it readable or leave it out"
        ) from None
    if (here.st_dev, here.st_ino) in seen:
        return
    seen.add((here.st_dev, here.st_ino))
    for entry in found:
        if _is_folder(entry):
            yield from _walk(entry.path, seen)
        elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
            yield entry.path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points at itself
        return False


def _globbed(pattern: str) -> Iterator[str]:
    matches = sorted(glob.iglob(pattern, recursive=True))
    if not matches:
        raise CtgiError(f"{display(pattern)}: nothing matches this pattern: check it from {os.getcwd()}")
    for path in matches:
        yield from _walk(path, set()) if os.path.isdir(path) else [path]


def _listed(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file]
    except OSError as error:
        raise CtgiError(f"@{display(path)}: cannot read this list of images: {error.strerror}") from None
    folder = os.path.dirname(path)
    named = (os.path.join(folder, line) for line in lines if line and not line.startswith("#"))
    return _not_empty(named, f"@{display(path)}: this list names no image")


def _not_empty(paths: Iterable[str], otherwise: str) -> Iterator[str]:
    empty = True
    for path in paths:
        empty = False
        yield path
    if empty:
        raise CtgiError(otherwise)


def _first_time(path: str, seen: set[tuple[int, int]]) -> bool:
    """Whether this file was not given before, also by link; one that is gone is reported when it is read."""
    try:
        status = os.stat(path)
    except OSError:
        return True
    known = len(seen)
    seen.add((status.st_dev, status.st_ino))
    return len(seen) > known


# --- reading


def read_image(path: str) -> "Image":
    """The image at `path` in RGB and upright: alpha over white, 16 bits scaled to 8, the first frame.

    Raises:
        ImageError: no usable image; `reason` says why.
    """
    from PIL import ImageOps

    with _reading(path):
        _check_file(path)
        with _open(path) as image:
            _check_size(path, *image.size)
            return _to_rgb(ImageOps.exif_transpose(image))


def image_size(path: str) -> tuple[int, int]:
    """(width, height) in px of the upright image, decoding no more than its format asks for.

    Raises:
        ImageError: as `read_image`, as far as was looked.
    """
    with _reading(path):
        _check_file(path)
        with _open(path) as image:
            _check_size(path, *image.size)
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return image.size[::-1] if turned else image.size


def _open(path: str) -> "Image":
    """The image with its header read, without PIL's warnings about its size: sizes are judged by the caller.

    The filters of `warnings` belong to the whole process, so one thread at a time may change them.
    """
    from PIL import Image

    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(path)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn what PIL and the file system raise into an ImageError with a reason a person can act on."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except FileNotFoundError:
        raise ImageError(path, "the file is gone") from None
    except PermissionError:
        raise ImageError(path, "no permission to read the file") from None
    except UnidentifiedImageError:
        raise ImageError(path, "not an image that can be read") from None
    except Image.DecompressionBombError:
        raise ImageError(path, _TOO_LARGE) from None
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error, Warning) as error:
        # All of these come out of PIL's decoders for damaged files; a Warning only under `python -W error`.
        raise ImageError(path, f"damaged image: {display(str(error)) or type(error).__name__}") from None


def _check_file(path: str) -> None:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "not a file")
    if status.st_size == 0:
        raise ImageError(path, "the file is empty (0 bytes)")


def _check_size(path: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(path, f"{width} x {height} px: {_TOO_LARGE}")
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(path, f"{width} x {height} px: too small to show a person")


def _to_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _to_eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _to_eight_bit(image: "Image") -> "Image":
    """Scale a deep grey image to 8 bits; PIL's own convert clips at 255."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    brightest = values.max(initial=0)
    whites = (1.0, 255.0, 65_535.0) if image.mode == "F" else (65_535.0,)
    white = next((level for level in whites if brightest <= level), brightest)
    return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))
