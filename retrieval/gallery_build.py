"""Builds a gallery from image files: encodes only new images, and decodes while it encodes."""

import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError, ImageError, UnreadError
from ctgi.files import WithoutLocks
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.finding import canonical, find_sources, is_streamed
from ctgi.retrieval.gallery_files import disk_bytes, gallery_for, read_header, refuse_lance
from ctgi.retrieval.gallery_header import Header, has_header, image_root
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_names import FOLDER, index_command
from ctgi.retrieval.gallery_writer import GalleryWriter, resume, writing
from ctgi.retrieval.images import digest, picture_at
from ctgi.retrieval.index_trial import check_index
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.reading import open_bytes, read_ahead
from ctgi.retrieval.sources.references import Member, file_of, is_remote, parted
from ctgi.settings_tables import RetrieverSettings
from ctgi.spool import Spool
from ctgi.text import plain

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int | None], None]
_BATCHES_AHEAD = 2
_NOTED = 32
"""At most so many inputs are kept in the header, for the command that updates the gallery."""


@dataclass(frozen=True)
class GalleryReport:
    """What one run of indexing did. Counts are paths unless stated otherwise."""

    folder: str | Path
    """Where the gallery is: a folder, or `lance:` and an address."""
    total: int
    """Images in the gallery now."""
    added: int
    """New paths, or paths with new content."""
    reused: int
    """Unchanged."""
    removed: int
    """Paths that are gone."""
    duplicates: int
    """Paths in `total` whose content is also there under another path."""
    encoded: int
    """Distinct image contents that were encoded."""
    failed: tuple[tuple[str, str], ...]
    """(path, reason) of each image that could not be indexed."""
    rebuilt: str
    """What was damaged, if the gallery had to be rebuilt; else empty."""
    seconds: float
    passed_over: dict[str, int] = field(default_factory=dict)
    """Files in the folders that are not images, by extension."""
    encoder: str = ""
    """The binding of the gallery's encoder."""
    bytes: int = 0
    """Bytes on disk, without the galleries of other encoders."""
    columns: tuple[str, ...] = ()
    """What is known of the images beside their pixels."""
    unmatched: int = 0
    """Rows of tables whose image is not in the gallery."""


class _Todo(NamedTuple):
    path: str
    entry: Entry
    """Its sha256 is not known yet, nor its size where that is 0."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.entry.size


class _Prepared(NamedTuple):
    found: _Todo
    sha256: str = ""
    pixels: "Tensor | None" = None
    failure: str = ""
    unread: bool = False
    """The current content of the file is unknown."""


@dataclass
class _Run:
    """The state of one run."""

    rows: "array[int]" = field(default_factory=lambda: array("q"))
    """Rows of the images of the new gallery."""
    known: int = 0
    """Images that the gallery held."""
    met: int = 0
    """Those of them that are still among the images."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    passed: PassedOver = field(default_factory=PassedOver)
    added: int = 0
    encoded: int = 0


def gallery_folder(inputs: Sequence[str]) -> Path:
    """The default place for a gallery of these images: `.ctgi` in their folder.

    Raises:
        CtgiError: `inputs` is not one folder.
    """
    if _is_one_folder(inputs):
        return Path(inputs[0]) / FOLDER
    is_a_path = len(inputs) == 1 and not any(mark in inputs[0] for mark in "@*?[") and not is_remote(inputs[0])
    if is_a_path and not os.path.lexists(inputs[0]):
        next(find_sources(inputs), None)  # says what is missing
    raise CtgiError("these images are not one folder: say where the gallery should go with --out FOLDER")


def build_gallery(
    inputs: Sequence[str],
    out: Path,
    encoder: Encoder,
    settings: RetrieverSettings,
    *,
    rebuild: bool = False,
    progress: Progress | None = None,
    on_found: Callable[[PassedOver], None] | None = None,
    without_locks: WithoutLocks = "warn",
) -> GalleryReport:
    """Make the gallery at `out` hold exactly these images. Unchanged images are not read again.

    A kill at any moment leaves the last committed gallery, and the next run resumes from there. If no image can be
    indexed, no new gallery is made. An image that cannot be read just now keeps its row.

    Args:
        inputs: as `find_sources` takes them.
        out: the gallery's folder. If another encoder's gallery is there, this one goes into a subfolder.
        encoder: encodes the images.
        settings: batch size, decoding threads, storage type, faiss factory string.
        rebuild: discard what is there.
        progress: called with (images done, images to do), not counting unchanged ones.
        on_found: called with the files that were passed over, before any image is read; after that, where images are
            read while they are listed.
        without_locks: see `ctgi.files.own`.

    Raises:
        CtgiError: nothing to index, another process at work, or a disk that is full or read-only.
    """
    started = time.monotonic()
    check_index(encoder.dim, settings.index, settings.storage)  # a wrong factory string should not cost an hour
    _refuse_gallery(inputs)
    refuse_lance(out)
    next(find_sources(inputs), None)  # says what is missing before anything is made
    out = gallery_for(out, encoder.fingerprint)
    with writing(out, without_locks):
        writer, rebuilt = resume(out, _wanted(inputs, out, encoder, settings), rebuild=rebuild)
        with closing(writer):
            run = _Run(known=writer.known())
            todo: Iterable[_Todo] = _survey(inputs, writer, run)
            streamed, told = any(map(is_streamed, inputs)), on_found or (lambda passed: None)
            if not streamed:
                todo = Spool(todo)
                told(run.passed)
            _add(todo, writer, run, encoder, settings, progress or (lambda done, total: None))
            if streamed:
                told(run.passed)
            total, contents = _commit(writer, np.unique(np.array(run.rows, np.int64)), len(run.failed))
            size = disk_bytes(out)
    return GalleryReport(
        out,
        total,
        run.added,
        total - run.added,
        run.known - run.met,
        total - contents,
        run.encoded,
        tuple(run.failed),
        rebuilt,
        time.monotonic() - started,
        dict(run.passed.endings),
        encoder.spec,
        size,
    )


def _refuse_gallery(inputs: Sequence[str]) -> None:
    """Raise CtgiError if an input is a gallery; the message has the command that indexes its images."""
    for folder in map(Path, inputs):
        if not has_header(folder):
            continue
        header = read_header(folder)
        if Path(image_root(folder, header)).resolve() != folder.resolve():
            command = index_command(folder, header)
            raise CtgiError(f"{plain(str(folder))} is a gallery, not images: to update it, run {command}")


def _wanted(inputs: Sequence[str], out: Path, encoder: Encoder, settings: RetrieverSettings) -> Header:
    root, folder = Path(_root(inputs)), out.resolve()
    return Header(
        spec=encoder.spec,
        fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        dtype=settings.storage,
        root=os.path.relpath(root, folder) if folder.is_relative_to(root) else str(root),
        index=settings.index,
        inputs=None if _is_one_folder(inputs) else tuple(inputs) if len(inputs) <= _NOTED else (),
    )


def _is_one_folder(inputs: Sequence[str]) -> bool:
    return len(inputs) == 1 and Path(inputs[0]).is_dir()


def _root(inputs: Sequence[str]) -> str:
    """The absolute folder that manifest paths are relative to: the one folder given, else the working directory."""
    return str(Path(inputs[0]).resolve() if _is_one_folder(inputs) else Path.cwd())


def _relative(path: str, inputs: Sequence[str]) -> str:
    if is_remote(path):
        return path
    return os.path.relpath(path, inputs[0]) if _is_one_folder(inputs) else os.path.relpath(canonical(path))


def _survey(inputs: Sequence[str], writer: GalleryWriter, run: _Run) -> Iterator[_Todo]:
    """The images that must be read; unchanged ones are entered into the run directly."""
    last = ""
    for found in find_sources(inputs, run.passed, reading=any(map(is_streamed, inputs))):
        name = _relative(found.path, inputs)
        try:
            entry = entry_of(found, name)
        except ImageError as error:
            run.failed.append((found.path, error.reason))
            kept = _rows_behind(found, name, last, writer) if isinstance(error, UnreadError) else []
            run.met += len(kept) if found.fault else writer.row_at(name) is not None
            run.rows.extend(kept)
            continue
        last, row = found.path, writer.row_at(name)
        run.met += row is not None
        if row is not None and entry.size and writer.entries[row]._replace(sha256="") == entry:
            run.rows.append(row)
        else:
            yield _Todo(found.path, entry)


def entry_of(found: Found, name: str) -> Entry:
    """The entry of an image without its sha256, and with a size of 0 where that is not known before it is read.

    Raises:
        ImageError: it cannot be read; UnreadError if that says nothing about its content.
    """
    if found.fault:
        raise UnreadError(found.path, found.fault)
    if is_remote(found.path) or found.stamp is not None:
        return Entry(name, "", found.size or 0, found.stamp or 0)
    try:
        status = Path(found.path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(found.path, "no such file") from None
    except OSError as error:
        raise UnreadError(found.path, f"cannot be read: {error.strerror}") from None
    return Entry(name, "", status.st_size, status.st_mtime_ns)


def _rows_behind(found: Found, name: str, last: str, writer: GalleryWriter) -> list[int]:
    """The rows that stay, of an image that cannot be read, or of those in an archive behind the last that can be."""
    if not found.fault:
        return [row] if (row := writer.row_at(name)) is not None else []
    inside = parted(last) if file_of(last) == found.path else None
    end = inside.offset if isinstance(inside, Member) else -1
    kept = []
    for row in range(len(writer.entries)):
        path = writer.entries[row].path
        if path.startswith(f"{name}#") and _offset(path) > end and writer.row_at(path) == row:
            kept.append(row)
    return kept


def _offset(path: str) -> int:
    inside = parted(path)
    return inside.offset if isinstance(inside, Member) else 0


def _add(
    todo: Iterable[_Todo],
    writer: GalleryWriter,
    run: _Run,
    encoder: Encoder,
    settings: RetrieverSettings,
    progress: Progress,
) -> None:
    def prepare(found: _Todo) -> _Prepared:
        try:
            sha256 = digest(found.path)
            if not found.size:
                found = found._replace(entry=found.entry._replace(size=len(open_bytes(found.path))))
            if writer.row_of(sha256) is not None:
                return _Prepared(found, sha256)
            with picture_at(found.path) as picture:
                return _Prepared(found, sha256, encoder.preprocess(picture.image))
        except ImageError as error:
            return _Prepared(found, failure=error.reason, unread=isinstance(error, UnreadError))

    done, total = 0, len(todo) if isinstance(todo, Spool) else None
    progress(done, total)
    with ThreadPoolExecutor(max(1, settings.workers)) as pool:
        prepared = ahead(pool, prepare, read_ahead(todo), settings.batch_size * _BATCHES_AHEAD)
        while batch := list(islice(prepared, settings.batch_size)):
            _append(batch, writer, run, encoder)
            done += len(batch)
            progress(done, total)


def ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], window: int) -> Iterator[R]:
    """Results in order; at most `window` of them are started and not yet consumed."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:  # after Ctrl-C or an error: stop reading
            future.cancel()


def _append(batch: list[_Prepared], writer: GalleryWriter, run: _Run, encoder: Encoder) -> None:
    """Encode each content once and add a row for each path."""
    import torch

    run.failed.extend((item.found.path, item.failure) for item in batch if item.failure)
    before = (writer.row_at(item.found.entry.path) for item in batch if item.unread)
    run.rows.extend(row for row in before if row is not None)
    good = [item for item in batch if not item.failure]
    fresh = {
        item.sha256: item.pixels for item in good if item.pixels is not None and writer.row_of(item.sha256) is None
    }
    vectors = encoder.encode_images(torch.stack(list(fresh.values()))) if fresh else np.empty((0, encoder.dim))
    check_finite(vectors, encoder)
    encoded = dict(zip(fresh, vectors, strict=True))
    entries = [item.found.entry._replace(sha256=item.sha256) for item in good]
    rows = [encoded[e.sha256] if e.sha256 in encoded else writer.vector_of(e.sha256) for e in entries]
    if not entries:
        return
    first = len(writer.entries)
    run.added += sum(not _same_content(writer, entry) for entry in entries)
    run.encoded += len(fresh)
    writer.append(entries, np.stack(rows))
    run.rows.extend(range(first, len(writer.entries)))


def check_finite(vectors: NDArray[np.floating], encoder: Encoder) -> None:
    """Raise CtgiError if there is anything but numbers among what an encoder returned."""
    if not np.isfinite(vectors).all():
        raise CtgiError(
            f"{encoder.spec}: the model returned vectors that are not finite, so its weights are damaged: "
            "download or export them again"
        )


def _same_content(writer: GalleryWriter, entry: Entry) -> bool:
    row = writer.row_at(entry.path)
    return row is not None and writer.entries[row].sha256 == entry.sha256


def _commit(writer: GalleryWriter, rows: NDArray[np.int64], failed: int) -> tuple[int, int]:
    """Drop superseded and vanished rows, and commit. Returns the rows kept and the different contents of them."""
    if not len(rows) and not writer.header.count:
        return 0, 0
    if len(rows) == len(writer.entries):
        return writer.commit(failed).count, writer.entries.places.contents()
    with closing(writer.compact(rows)) as compacted:
        return compacted.commit(failed).count, compacted.entries.places.contents()
