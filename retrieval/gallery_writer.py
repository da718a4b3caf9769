"""Growing a gallery's files: append, resume after a kill, compact, commit."""

import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.gallery_files import (
    HEADER,
    DamagedGalleryError,
    Entry,
    Header,
    Manifest,
    check_encoder,
    embeddings_path,
    format_line,
    index_path,
    manifest_path,
    open_embeddings,
    parse_line,
    read_header,
    write_header,
)
from ctgi.retrieval.images import display
from ctgi.retrieval.index import build_index, is_exact, open_index

_CHUNK_ROWS = 8192
_BLOCK = 2**20


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the gallery's folder and hold its lock; what the disk refuses becomes a message.

    Raises:
        CtgiError: another process writes there, the folder cannot be written to, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("ab") as lock:
            _take(lock.fileno(), folder)
            yield
    except OSError as error:
        raise CtgiError(
            f"{display(str(folder))}: cannot write the gallery ({error.strerror}): what was indexed before is "
            "kept. Free some space or choose another place with --out, and run the same command again"
        ) from None


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of by the kernel, also when we are killed
    except BlockingIOError:
        raise CtgiError(f"{display(str(folder))}: another ctgi index is at work on it: wait for it") from None


class GalleryWriter:
    """The files of one generation: what they hold, and room for more. Hold `writing` around it.

    entries: the rows in order. row_of: a row by its content's sha256. known: the row by path, where rows of an
    earlier run are of the same images folder.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        """Go on from what the files hold in common, committed or not.

        Raises:
            DamagedGalleryError: that is less than what was committed.
        """
        self.folder = folder
        self.header = header
        self.entries = _read_entries(folder, header)
        self.row_of = {entry.sha256: row for row, entry in enumerate(self.entries)}
        self.known: dict[str, int] = {}
        manifest, embeddings = manifest_path(folder, header), embeddings_path(folder, header)
        self._manifest = _open_at(manifest, sum(len(format_line(entry)) for entry in self.entries))
        self._embeddings = _open_at(embeddings, len(self.entries) * header.row_bytes)

    def append(self, entries: Sequence[Entry], vectors: NDArray[np.floating]) -> None:
        """Add rows: the embeddings first, so that the manifest never names a row that is not there."""
        _write(self._embeddings, np.ascontiguousarray(vectors, self.header.dtype).tobytes())
        _write(self._manifest, b"".join(map(format_line, entries)))
        for entry in entries:
            self.row_of[entry.sha256] = len(self.entries)
            self.entries.append(entry)

    def vector(self, row: int) -> NDArray[np.floating]:
        """A row's embedding, as stored: [D]."""
        size = self.header.row_bytes
        return np.frombuffer(os.pread(self._embeddings, size, row * size), self.header.dtype)

    def compact(self, rows: Sequence[int]) -> "GalleryWriter":
        """A writer of a new generation that holds only these rows."""
        header = replace(
            self.header, generation=self.header.generation + 1, count=0, manifest_bytes=0, manifest_crc32=0
        )
        _forget_rows(self.folder, header)
        writer = GalleryWriter(self.folder, header)
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = rows[start : start + _CHUNK_ROWS]
            writer.append([self.entries[row] for row in chunk], np.stack([self.vector(row) for row in chunk]))
        return writer

    def commit(self) -> Header:
        """Make what was appended the gallery: index it, then replace gallery.json; drop what it no longer names."""
        os.fsync(self._embeddings)
        os.fsync(self._manifest)
        size, crc = _checksum(manifest_path(self.folder, self.header))
        header = replace(self.header, count=len(self.entries), manifest_bytes=size, manifest_crc32=crc)
        if header.count and not is_exact(header):
            _ensure_index(self.folder, header)
        write_header(self.folder, header)
        remove_stale(self.folder, header)
        return header

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._manifest)
        os.close(self._embeddings)


def resume(folder: Path, wanted: Header, *, rebuild: bool) -> tuple[GalleryWriter, str]:
    """A writer that goes on with the gallery in `folder`, or starts one; and why it starts anew, if it must.

    Raises:
        CtgiError: the gallery there is of another kind than `wanted`, and `rebuild` was not asked for.
    """
    reason = ""
    if (folder / HEADER).exists() and not rebuild:
        try:
            return _go_on(folder, wanted), ""
        except DamagedGalleryError as damage:
            reason = damage.what
    _forget_rows(folder, wanted)
    write_header(folder, wanted)  # names the files from the start, so that a first run can be resumed too
    remove_stale(folder, wanted)
    return GalleryWriter(folder, wanted), reason


def _go_on(folder: Path, wanted: Header) -> GalleryWriter:
    header = read_header(folder)
    check_encoder(folder, header, wanted.spec, wanted.fingerprint)
    if header.dtype != wanted.dtype:
        raise CtgiError(
            f"{display(str(folder))}: stored as {header.dtype}, the configuration says {wanted.dtype}: "
            "run ctgi index --rebuild, or change [retriever] storage"
        )
    writer = GalleryWriter(folder, replace(header, root=wanted.root, index=wanted.index, spec=wanted.spec))
    if header.root == wanted.root:
        writer.known = {entry.path: row for row, entry in enumerate(writer.entries)}
    return writer


def remove_stale(folder: Path, header: Header) -> None:
    """Delete generations and indexes that gallery.json does not name, and what a kill left half written."""
    named = {path(folder, header) for path in (manifest_path, embeddings_path, index_path)}
    for pattern in ("manifest-*.jsonl", "embeddings-*.bin", "index-*.faiss", ".*.tmp"):
        for path in folder.glob(pattern):
            if path not in named:
                path.unlink(missing_ok=True)


def _forget_rows(folder: Path, header: Header) -> None:
    for path in (manifest_path(folder, header), embeddings_path(folder, header)):
        path.unlink(missing_ok=True)


def _read_entries(folder: Path, header: Header) -> list[Entry]:
    if header.count:  # raises where the committed part is not what it was
        open_embeddings(folder, header)
        Manifest(folder, header)
    path, embeddings = manifest_path(folder, header), embeddings_path(folder, header)
    rows = embeddings.stat().st_size // header.row_bytes if embeddings.exists() else 0
    entries: list[Entry] = []
    if rows and path.exists():
        with path.open("rb") as lines, suppress(ValueError, KeyError, TypeError):  # a torn last line
            entries.extend(parse_line(line) for line in islice(lines, rows) if line.endswith(b"\n"))
    return entries


def _ensure_index(folder: Path, header: Header) -> None:
    rows = open_embeddings(folder, header)
    try:
        open_index(folder, header, rows)
    except DamagedGalleryError:  # not there yet, or damaged: made anew either way
        build_index(folder, header, rows)


def _open_at(path: Path, size: int) -> int:
    """The file, cut to `size`, for appending without a buffer of our own: what was written is written."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.ftruncate(file, size)
    return file


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _checksum(path: Path) -> tuple[int, int]:
    size, crc = 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, crc
