"""Image files: identified by content, checked by the same rules in all commands, read upright in RGB."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, BinaryIO

from ctgi.errors import ImageError, UnreadError
from ctgi.retrieval.image_kinds import HEAD_BYTES, UNREAD, image_format, kind_of
from ctgi.retrieval.sources.reading import MAX_BYTES, open_bytes
from ctgi.retrieval.sources.recent import recent
from ctgi.retrieval.sources.references import is_reference, reads_as_reference
from ctgi.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ImageRef:
    """An image by path and content hash; the bytes stay where they are."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Picture:
    """A decoded image and its file."""

    image: "Image"
    """RGB and upright; alpha over white, 16 bits scaled to 8, first frame."""
    format: str
    """"jpeg" or "png" if every decoder reads `image` from the file, else empty."""
    file: BinaryIO
    """The file, open; empty for a frame of a video."""


def ref(path: str) -> ImageRef:
    """A reference to the image at `path`, with the hash of its content.

    Raises:
        ImageError: as `digest`.
    """
    return ImageRef(path, digest(path))


def digest(path: str) -> str:
    """The sha256 of an image file's content, in hexadecimal.

    Raises:
        ImageError: the file cannot be read or is too large.
    """
    if address := _address(path):
        from ctgi.retrieval.video import content_of, frame_name

        return frame_name(content_of(address[0]), address[1])
    with opened(path) as file:
        return _digest(path, file)


def examine(path: str) -> tuple[str, str]:
    """The content hash of an image file, and why it cannot be read as an image, or "". The file is read once.

    Raises:
        ImageError: the file cannot be read or is too large.
    """
    from ctgi.retrieval.pixels import decoded, is_whole_jpeg

    with opened(path) as file, _explained(path):
        content = file.read()
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        kind = _kind(path, content[:HEAD_BYTES], len(content))
        if not (kind == "JPEG" and is_whole_jpeg(content)):
            with decoded(path, BytesIO(content), kind):
                pass
    except ImageError as error:
        return sha256, error.reason
    except MemoryError:
        return sha256, "too little memory for an image of this size"
    return sha256, ""


def display(path: str) -> str:
    """A path that is safe to print: control characters and bytes that are not UTF-8 are escaped."""
    return plain(path)


def read_image(path: str) -> "Image":
    """The image at `path` in RGB and upright; alpha over white, 16 bits scaled to 8, first frame.

    Raises:
        ImageError: no usable image; `reason` says why.
    """
    with picture_at(path) as picture:
        return picture.image


def image_size(path: str) -> tuple[int, int]:
    """(width, height) in px of the upright image. The image is decoded, so success means that it can be read.

    Raises:
        ImageError: as `read_image`.
    """
    return read_image(path).size


_HELD: dict[str, tuple[str, "Image"]] = {}
"""Pictures that are no files, by path: their content and themselves."""


@contextmanager
def held(image: ImageRef, picture: "Image") -> Iterator[None]:
    """Inside the block, `image` is read as this picture: a frame of a video, whose path only says where it is from."""
    _HELD[image.path] = image.sha256, picture
    try:
        yield
    finally:
        del _HELD[image.path]


@contextmanager
def picture_at(path: str, sha256: str = "") -> Iterator[Picture]:
    """The image at `path` for the length of a `with` block, after which nothing may refer to it. Else as `read_image`.

    Inside the block, threads share a budget of pixels, so a large image waits for its turn. Do not nest.

    Args:
        path: the file.
        sha256: the content that is expected; empty accepts any.

    Raises:
        ImageError: no usable image, other content, or too little memory for the image or the work.
    """
    if path in _HELD:
        content, image = _HELD[path]
        if sha256 not in ("", content):
            raise ImageError(path, "changed since it was listed")
        yield Picture(image, "", BytesIO())
        return
    if address := _address(path):
        from ctgi.retrieval.video import Video

        if sha256 not in ("", digest(path)):
            raise ImageError(path, "changed since it was listed")
        yield Picture(Video(address[0]).at(address[1]).picture(), "", BytesIO())
        return
    from ctgi.retrieval.pixels import decoded

    with opened(path) as file:
        kind = _format(path, file)
        if sha256 and _digest(path, file) != sha256:
            raise ImageError(path, "changed since it was listed")
        try:
            with decoded(path, file, kind) as (image, exact):
                yield Picture(image, kind.lower() if exact else "", file)
        except MemoryError:
            raise ImageError(path, "too little memory for an image of this size") from None


def _address(path: str) -> tuple[str, float] | None:
    """The video and the time that `video.mp4#t=1.500` means; None for the path of a file."""
    if "#t=" not in path or os.path.lexists(path):
        return None
    from ctgi.retrieval.video import parted

    return parted(path)


@contextmanager
def opened(path: str) -> Iterator[BufferedReader | BytesIO]:
    """The open file at `path`, or the bytes that a reference names, of a size that an image may have.

    Raises:
        ImageError: it cannot be read, is empty or too large.
    """
    if reads_as_reference(path) and ((content := recent.get(path)) is not None or is_reference(path)):
        yield BytesIO(open_bytes(path) if content is None else content)
        return
    with _explained(path):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
            raise ImageError(path, "not a file")
        if status.st_size == 0:
            raise ImageError(path, "the file is empty (0 bytes)")
        if status.st_size > MAX_BYTES:
            too_large = f"a file of more than {MAX_BYTES // 1_000_000} MB"
            raise ImageError(path, UNREAD.get(kind_of(path), too_large))
        file = open(path, "rb")  # noqa: SIM115  # closed by the next line, where errors are no longer the file's
    with file:
        yield file


def _format(path: str, file: BufferedReader | BytesIO) -> str:
    """Pillow's name of the file's format."""
    with _explained(path):
        head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
        return _kind(path, head, size)


def _kind(path: str, head: bytes, size: int) -> str:
    kind = image_format(head, size)
    if kind is None:
        raise ImageError(path, UNREAD.get(kind_of(path), "not an image that can be read"))
    return kind


def _digest(path: str, file: BufferedReader | BytesIO) -> str:
    with _explained(path):
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn errors of the file system into an ImageError."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except PermissionError:
        raise UnreadError(path, "no permission to read the file") from None
    except OSError as error:
        raise UnreadError(path, f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in it
        raise ImageError(path, "not a file name") from None
