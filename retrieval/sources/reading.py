"""Reads the bytes of one image by its reference, and those of the next ones ahead."""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from ctgi.errors import ImageError, UnreadError
from ctgi.retrieval.image_kinds import HEAD_BYTES, image_format
from ctgi.retrieval.sources.recent import recent
from ctgi.retrieval.sources.references import Member, Row, file_of, is_reference, is_remote, is_shard, parted
from ctgi.retrieval.sources.remote import GoneError, RemoteError, read_part

MAX_BYTES = 400_000_000
"""Size limit of an image's file: the largest image that is read, uncompressed at 4 bytes per pixel."""
AT_ONCE = 64
"""Objects read ahead."""
_AHEAD_BYTES = 64 << 20


def open_bytes(path: str) -> bytes:
    """The content of an image that is no file of its own: an object, a member of a tar archive, a row of Parquet.

    Of an archive, only these bytes are read; nothing is unpacked.

    Raises:
        ImageError: it cannot be read or is too large.
        CtgiError: what reads it is not installed, or the address holds a credential.
    """
    kept = recent.get(path)
    return _read(path) if kept is None else kept


def holds_image(uri: str) -> bool:
    """Whether an object begins as an image does; one that cannot be read may be one, and whoever reads it says why."""
    try:
        head = read_part(uri, 0, HEAD_BYTES)
    except GoneError:
        return False
    except RemoteError:
        return True
    return image_format(head, HEAD_BYTES) is not None


class Listed(Protocol):
    """An image that is about to be read."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int | None: ...  # noqa: D102


T = TypeVar("T", bound=Listed)


def is_unchanged(path: str, size: int, mtime_ns: int) -> bool:
    """Whether an image is there with this size and time; what lies in the network is taken to be, until it is read."""
    file = file_of(path)
    if is_remote(file):
        return True
    try:
        status = os.stat(file)
    except OSError:
        return False
    return status.st_mtime_ns == mtime_ns and (file != path or status.st_size == size)


def read_ahead(images: Iterable[T]) -> Iterator[T]:
    """The same images in the same order; objects are fetched while those before them are worked on, 64 at once.

    `open_bytes` has them when they are yielded. At most 64 MB wait, where sizes are known.
    """
    waiting: deque[tuple[T, Future[None] | None]] = deque()
    ahead = 0
    with ThreadPoolExecutor(AT_ONCE, "read-ahead") as pool:
        try:
            for found in images:
                waiting.append((found, pool.submit(_fetch, found.path) if _is_fetched(found.path) else None))
                ahead += found.size or 0
                while len(waiting) >= AT_ONCE or ahead > _AHEAD_BYTES or (waiting and waiting[0][1] is None):
                    ahead -= waiting[0][0].size or 0
                    yield _arrived(*waiting.popleft())
            while waiting:
                yield _arrived(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _is_fetched(path: str) -> bool:
    """Whether it pays to read ahead: rows of Parquet come many at once, and so do members while an archive is read."""
    if not is_remote(path) or is_shard(path):
        return False
    inside = parted(path)
    return inside is None or (isinstance(inside, Member) and path not in recent)


def _arrived(found: T, fetched: "Future[None] | None") -> T:
    if fetched is not None:
        fetched.result()
    return found


def _fetch(path: str) -> None:
    try:
        recent.put(path, _read(path))
    except ImageError as error:
        recent.put(path, error)


def _read(path: str) -> bytes:
    inside = parted(path)
    if isinstance(inside, Row) and is_reference(path):
        from ctgi.retrieval.sources.parquet import picture_in

        return _whole(path, picture_in(path, inside), "no picture in this row")
    start, size = (inside.offset, inside.size) if isinstance(inside, Member) else (0, None)
    if size is not None and size > MAX_BYTES:
        raise ImageError(path, f"a file of more than {MAX_BYTES // 1_000_000} MB")
    wanted = MAX_BYTES + 1 if size is None else size
    file = inside[0] if inside else path
    content = (_remote_part if is_remote(file) else _local_part)(path, file, start, wanted) if wanted else b""
    if size is not None and len(content) < size:
        raise ImageError(path, "the archive ends before it: it was replaced or cut off since it was listed")
    return _whole(path, content)


def _whole(path: str, content: bytes, empty: str = "the file is empty (0 bytes)") -> bytes:
    if not content:
        raise ImageError(path, empty)
    if len(content) > MAX_BYTES:
        raise ImageError(path, f"a file of more than {MAX_BYTES // 1_000_000} MB")
    return content


def _remote_part(path: str, file: str, start: int, size: int) -> bytes:
    try:
        return read_part(file, start, start + size)
    except GoneError as error:
        raise ImageError(path, f"{error}, perhaps deleted since it was listed") from None
    except RemoteError as error:
        raise UnreadError(path, str(error)) from None


def _local_part(path: str, file: str, start: int, size: int) -> bytes:
    try:
        archive = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # else opening a pipe would block
        try:
            if not stat.S_ISREG(os.fstat(archive).st_mode):
                raise ImageError(path, "its archive is not a file")
            return os.pread(archive, size, start)
        finally:
            os.close(archive)
    except FileNotFoundError:
        raise ImageError(path, "no such archive") from None
    except PermissionError:
        raise UnreadError(path, "no permission to read its archive") from None
    except OSError as error:
        raise UnreadError(path, f"its archive cannot be read: {error.strerror}") from None
