"""Parquet files as sources: a column of pictures, each row's as a reference."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ctgi.errors import CtgiError, ImageError, UnreadError
from ctgi.retrieval.sources import remote
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.references import Row, is_remote, row_reference
from ctgi.text import plain

_USUAL = ("image", "img", "picture", "jpg", "jpeg", "png", "webp", "bytes", "content", "data")
"""Names by which one of several columns of bytes is taken, the first ones before others."""
_SECONDS = 120.0
"""After so long a row group is read anew."""


def rows(path: str, column: str, size: int | None, stamp: int | None) -> Iterator[Found]:
    """The pictures in a Parquet file, in order: only its metadata are read. A damaged one yields itself with the fault.

    Args:
        path: the file, or its address.
        column: of the pictures: bytes, or a struct with `bytes`, as Hugging Face data sets have; "" finds it.
        size: of the file in bytes.
        stamp: when it was changed.

    Raises:
        CtgiError: what reads it is not installed, or there is no such column.
    """
    try:
        with _opened(path) as file:
            name = _column(path, file.schema_arrow, column)
            counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    except remote.RemoteError as error:
        yield Found(path, fault=str(error))
    except _errors() as error:
        yield Found(path, fault=_reason(error))
    else:
        for group, count in enumerate(counts):
            for row in range(count):
                yield Found(row_reference(path, group, row, name), size, stamp)


def picture_in(path: str, place: Row) -> bytes:
    """One picture, empty where the row has none; `path` is its reference, for messages.

    Its row group is read whole and kept for the next picture, so pictures in order are cheap.

    Raises:
        ImageError: there is no such row, or the file cannot be read.
        CtgiError: what reads it is not installed.
    """
    try:
        values = _groups.get(place)
    except remote.GoneError as error:
        raise ImageError(path, str(error)) from None
    except remote.RemoteError as error:
        raise UnreadError(path, str(error)) from None
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except _errors() as error:
        raise UnreadError(path, _reason(error)) from None
    if values is None or place.row >= len(values):
        raise ImageError(path, "there is no such row or column any more")
    value = values[place.row].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else b""


class _Groups:
    """The column of the row group that was read last; threads that want the same one wait for it."""

    def __init__(self) -> None:
        self._key: tuple[str, int, str, object] | None = None
        self._values: Any = None
        self._until = 0.0
        self._lock = threading.Lock()

    def get(self, place: Row) -> Any:
        """The values of a row's group and column; None if there is none."""
        status = None if is_remote(place.table) else os.stat(place.table)
        key = (place.table, place.group, place.column, status and (status.st_size, status.st_mtime_ns))
        with self._lock:
            if self._key != key or time.monotonic() > self._until:
                self._key, self._values = None, None  # never two at once in memory
                self._values = _read(place)
                self._key, self._until = key, time.monotonic() + _SECONDS
            return self._values


def _read(place: Row) -> Any:
    with _opened(place.table) as file:
        if place.group >= file.num_row_groups or place.column not in file.schema_arrow.names:
            return None
        return file.read_row_group(place.group, columns=[place.column])[place.column]


_groups = _Groups()


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise CtgiError(f"{plain(path)}: reading Parquet needs more packages: {remote.EXTRA}") from None
    if is_remote(path):
        with remote.opened(path) as file, remote.explained(path):
            yield pq.ParquetFile(file)
    else:
        with pq.ParquetFile(path) as table:
            yield table


def _errors() -> tuple[type[BaseException], ...]:
    """What reading raises; where pyarrow is missing, the error on its way says so."""
    try:
        from pyarrow import ArrowException
    except ImportError:
        return (OSError,)
    return OSError, ArrowException


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return "not a Parquet file, or damaged or cut off: copy it again"


def _column(path: str, schema: Any, wanted: str) -> str:
    """The column of pictures.

    Raises:
        CtgiError: there is none, or none of this name, or several may be it.
    """
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    if wanted:
        if wanted in fitting:
            return wanted
        what = "holds no bytes" if wanted in schema.names else "is not there"
        raise CtgiError(f"{plain(path)}: column {plain(wanted)} {what}: {_choice(fitting, schema)}")
    named = [name for usual in _USUAL for name in fitting if name.lower() == usual]
    if len(fitting) == 1 or named:
        return str((named or fitting)[0])
    what = "several columns may hold the pictures" if fitting else "no column holds pictures"
    raise CtgiError(f"{plain(path)}: {what}: {_choice(fitting, schema)}")


def _choice(fitting: list[str], schema: Any) -> str:
    if fitting:
        return f"choose one with --column: {plain(', '.join(fitting))}"
    return f"expected bytes, or a struct with bytes, among its columns {plain(', '.join(schema.names))[:200]}"


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
