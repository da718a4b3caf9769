"""Writes a gallery's files: append, resume after a kill, compact, commit."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, is_full, own
from ctgi.retrieval.checksums import BLOCK_BYTES, checksums, damaged_blocks, whole_blocks
from ctgi.retrieval.gallery_files import (
    check_encoder,
    embeddings_path,
    index_path,
    lines_path,
    manifest_path,
    read_header,
    write_header,
)
from ctgi.retrieval.gallery_header import HEADER, Header, UnreadableError
from ctgi.retrieval.gallery_lines import keep, survey
from ctgi.retrieval.gallery_manifest import Entry, GrowingManifest, Manifest, write_all
from ctgi.retrieval.gallery_names import DamagedGalleryError
from ctgi.retrieval.gallery_rows import is_whole, open_embeddings
from ctgi.retrieval.images import display
from ctgi.retrieval.index import build_index, is_exact, open_index

PENDING = "gallery.new.json"
"""The header of a generation in progress beside the committed one; a killed run resumes from it."""
_LOCK = "lock"
_CHUNK_ROWS = 8192


@contextmanager
def writing(folder: Path, without_locks: WithoutLocks = "warn") -> Iterator[None]:
    """Make the gallery's folder and hold its lock; disk errors become messages.

    If nothing was indexed, nothing is left behind.

    Raises:
        CtgiError: another process writes there, the folder cannot be written to, or the disk is full.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("ab") as lock:
            _take(lock.fileno(), folder, without_locks)
            try:
                yield
            finally:
                _leave_nothing_empty(folder, made)
    except OSError as error:
        cure = "free some space" if is_full(error) else "choose another place with --out"
        raise CtgiError(
            f"{display(str(folder))}: cannot write the gallery ({error.strerror}): {cure}, and run the same command "
            "again; what was indexed before is kept"
        ) from None


def _take(lock: int, folder: Path, without_locks: WithoutLocks) -> None:
    try:
        own(lock, folder, without_locks)  # released by the kernel, even after a kill
    except BlockingIOError:
        raise CtgiError(
            f"{display(str(folder))}: another ctgi index is writing this gallery: wait until it has finished"
        ) from None


def _leave_nothing_empty(folder: Path, made: bool) -> None:
    """Remove the files of a run without a single row, and the folder if the run made it."""
    pending = [*folder.glob("manifest-*.jsonl"), *folder.glob("embeddings-*.bin")]
    if (folder / HEADER).exists() or any(path.stat().st_size for path in pending):
        return
    for path in (*pending, folder / PENDING, folder / _LOCK):
        path.unlink(missing_ok=True)
    if made:
        with suppress(OSError):
            folder.rmdir()


class GalleryWriter:
    """The files of one generation, open for appending. Use inside `writing`.

    entries: the rows in order.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        """Continue from the rows that all files have, committed or not.

        Raises:
            DamagedGalleryError: these are fewer than were committed.
        """
        self.folder = folder
        self.header = header
        self.entries = _open_entries(folder, header)
        self._knows_paths = False
        self._embeddings = _open_at(embeddings_path(folder, header), len(self.entries) * header.row_bytes)

    def append(self, entries: list[Entry], vectors: NDArray[np.floating]) -> None:
        """Add rows, embeddings first, so that the manifest never names a missing row."""
        write_all(self._embeddings, np.ascontiguousarray(vectors, self.header.dtype).tobytes())
        self.entries.append(entries)

    def know_paths(self) -> None:
        """Take the rows so far for images of the folder that is indexed now."""
        self._knows_paths = True

    def known(self) -> int:
        """How many images of the folder have a row."""
        return self.entries.places.paths() if self._knows_paths else 0

    def row_at(self, path: str) -> int | None:
        """The row of the image of the folder at this path."""
        found = self.entries.places.of_path(path) if self._knows_paths else None
        return found[0] if found else None

    def row_of(self, sha256: str) -> int | None:
        """The row of an image with this content."""
        return self.entries.places.with_content(sha256)

    def vector_of(self, sha256: str) -> NDArray[np.floating]:
        """The embedding of a content that has a row, as stored: [D]."""
        row = self.row_of(sha256)
        if row is None:
            raise LookupError(sha256)
        return self._vector(row)

    def _vector(self, row: int) -> NDArray[np.floating]:
        """A row's embedding, as stored: [D]."""
        size = self.header.row_bytes
        return np.frombuffer(os.pread(self._embeddings, size, row * size), self.header.dtype)

    def compact(self, rows: NDArray[np.int64]) -> "GalleryWriter":
        """A writer of a new generation that holds only these rows."""
        writer = GalleryWriter(self.folder, _next_generation(self.folder, self.header))
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = rows[start : start + _CHUNK_ROWS].tolist()
            writer.append([self.entries[row] for row in chunk], np.stack([self._vector(row) for row in chunk]))
        return writer

    def commit(self, failed: int = 0) -> Header:
        """Commit the appended rows: index them, replace gallery.json, and delete files that it no longer names.

        failed: number of images that could not be read, for the header.
        """
        os.fsync(self._embeddings)
        os.fsync(self.entries.file)
        manifest = manifest_path(self.folder, self.header)
        lines = survey(manifest, manifest.stat().st_size)
        header = self.header.model_copy(
            update={
                "count": len(self.entries), "manifest_bytes": lines.size, "manifest_crc32": lines.crc32,
                "embeddings_crc32": self._checksums(), "failed": failed,
            }
        )  # fmt: skip
        if header.count and not is_exact(header):
            header = _indexed(self.folder, header)
        else:
            header = header.model_copy(update={"index_bytes": 0, "index_crc32": None})
        if lines.are_many:
            keep(lines_path(self.folder, header), lines)
        write_header(self.folder, header)
        (self.folder / PENDING).unlink(missing_ok=True)
        remove_stale(self.folder, header)
        return header

    def _checksums(self) -> tuple[int, ...]:
        """Checksums of all rows; complete blocks that were committed are not read again."""
        known = (self.header.embeddings_crc32 or ())[: whole_blocks(self.header.embeddings_bytes)]
        size = len(self.entries) * self.header.row_bytes
        return checksums(embeddings_path(self.folder, self.header), size, known)

    def close(self) -> None:
        """Close the files."""
        os.close(self.entries.file)
        os.close(self._embeddings)


def resume(folder: Path, wanted: Header, *, rebuild: bool) -> tuple[GalleryWriter, str]:
    """A writer that continues the gallery in `folder` or starts a new generation, and the damage that made it start.

    Nothing is deleted before its replacement is committed. The intact rows of a damaged gallery are kept.

    Raises:
        CtgiError: the gallery there differs in kind from `wanted`, and `rebuild` is False.
        UnreadableError: it cannot be read.
    """
    reason = ""
    if (folder / HEADER).exists() and not rebuild:
        try:
            return _go_on(folder, read_header(folder), wanted), ""
        except DamagedGalleryError as damage:
            reason = damage.what
    if not rebuild and (pending := _pending(folder, wanted)):
        return pending, reason
    header = _next_generation(folder, wanted)
    write_header(folder, header, PENDING)  # so that this run can be resumed too
    writer = GalleryWriter(folder, header)
    if reason:
        _salvage(folder, writer)
    return writer, reason


def _go_on(folder: Path, header: Header, wanted: Header) -> GalleryWriter:
    check_encoder(folder, header, wanted.spec, wanted.fingerprint)
    if header.dtype != wanted.dtype:
        if header.count:
            open_embeddings(folder, header)  # raises if only the header says so
        raise CtgiError(
            f"{display(str(folder))}: stored as {header.dtype}, but the configuration says {wanted.dtype}: "
            "run ctgi index --rebuild, or change [retriever] storage"
        )
    if header.dim != wanted.dim:
        raise DamagedGalleryError(folder, f"{HEADER}: {header.dim} dimensions, but the encoder has {wanted.dim}")
    taken = {"root": wanted.root, "index": wanted.index, "spec": wanted.spec, "inputs": wanted.inputs}
    writer = GalleryWriter(folder, header.model_copy(update=taken))
    if header.root == wanted.root:
        writer.know_paths()
    return writer


def _pending(folder: Path, wanted: Header) -> GalleryWriter | None:
    """The unfinished generation of a killed run, if it matches `wanted`; else None."""
    try:
        return _go_on(folder, read_header(folder, PENDING), wanted)
    except UnreadableError:
        raise
    except CtgiError:  # none, damaged, or something else: start again
        return None


def _next_generation(folder: Path, header: Header) -> Header:
    """The header of an empty generation whose files do not exist yet."""
    names = (
        path.stem.rpartition("-")[2] for path in (*folder.glob("manifest-*.jsonl"), *folder.glob("embeddings-*.bin"))
    )
    last = max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)
    empty = Header.model_fields
    fresh = {name: empty[name].default for name in ("count", "manifest_bytes", "manifest_crc32", "embeddings_crc32")}
    return header.model_copy(update={**fresh, "generation": last + 1, "index_bytes": 0, "index_crc32": None})


def _salvage(folder: Path, writer: GalleryWriter) -> None:
    """Take over the rows of a damaged gallery whose blocks match their checksums, if it has checksums."""
    try:
        header = read_header(folder)
        if header.embeddings_crc32 is None or header.row_bytes != writer.header.row_bytes:
            return
        entries = Manifest(folder, header, whole=True)
        path, size = embeddings_path(folder, header), header.embeddings_bytes
        if not path.is_file():  # gone, or a pipe
            return
        bad = set(damaged_blocks(path, size, header.embeddings_crc32))
        with path.open("rb") as file:
            for row, entry in enumerate(entries):
                start, end = row * header.row_bytes, (row + 1) * header.row_bytes
                if bad.isdisjoint(range(start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES + 1)):
                    vector = np.frombuffer(os.pread(file.fileno(), end - start, start), header.dtype)
                    writer.append([entry], vector[None])
    except (DamagedGalleryError, FileNotFoundError, IndexError):
        return  # the rest cannot be told from the damage
    if header.root == writer.header.root:
        writer.know_paths()


def remove_stale(folder: Path, header: Header) -> None:
    """Delete generations and indexes that gallery.json does not name, and half-written files of a kill."""
    named = {path(folder, header) for path in (manifest_path, lines_path, embeddings_path, index_path)}
    for pattern in ("manifest-*.jsonl", "lines-*.bin", "embeddings-*.bin", "index-*.faiss", ".*.tmp"):
        for path in folder.glob(pattern):
            if path not in named:
                path.unlink(missing_ok=True)


def _open_entries(folder: Path, header: Header) -> GrowingManifest:
    path, embeddings = manifest_path(folder, header), embeddings_path(folder, header)
    if header.count:  # raises if the committed part has changed
        open_embeddings(folder, header)
        Manifest(folder, header, whole=True)
        if not is_whole(folder, header, embeddings, header.embeddings_bytes, header.embeddings_crc32):
            raise DamagedGalleryError(folder, f"{embeddings.name} has changed since it was written")
    rows = embeddings.stat().st_size // header.row_bytes if embeddings.exists() else 0
    entries = GrowingManifest(path, rows)
    if len(entries) < header.count:
        raise DamagedGalleryError(folder, f"{path.name}, line {len(entries) + 1} names no image")
    return entries


def _indexed(folder: Path, header: Header) -> Header:
    """The header with its index file, which is built unless it exists and is intact."""
    rows, path = open_embeddings(folder, header), index_path(folder, header)
    try:
        open_index(folder, header, rows)
        whole = is_whole(folder, header, path, header.index_bytes, header.index_crc32)
    except DamagedGalleryError:
        whole = False
    if not whole:
        build_index(folder, header, rows)
    size = path.stat().st_size
    return header.model_copy(update={"index_bytes": size, "index_crc32": checksums(path, size)})


def _open_at(path: Path, size: int) -> int:
    """The file, truncated to `size`, opened for unbuffered appending."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.ftruncate(file, size)
    return file
