"""From image files to a gallery: only what is new is encoded, and decoding runs beside encoding."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ctgi.errors import CtgiError, ImageError, UnreadError
from ctgi.files import WithoutLocks
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.finding import PassedOver, canonical, find_images
from ctgi.retrieval.gallery_files import disk_bytes, gallery_for, read_header
from ctgi.retrieval.gallery_header import Header, has_header, image_root
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_names import FOLDER, index_command
from ctgi.retrieval.gallery_writer import GalleryWriter, resume, writing
from ctgi.retrieval.images import digest, picture_at
from ctgi.retrieval.index_trial import check_index
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int | None], None]
_BATCHES_AHEAD = 2
_NOTED = 32
"""Inputs that the header names, for the command that brings the gallery up to date; a data set's images are more."""


@dataclass(frozen=True)
class GalleryReport:
    """What one run of indexing did, counted in paths unless it says otherwise."""

    folder: Path
    total: int
    """Images the gallery now holds."""
    added: int
    """New, or with new content."""
    reused: int
    """As they were."""
    removed: int
    """No longer there."""
    duplicates: int
    """Of the total, those whose content is there under another path, too."""
    encoded: int
    """Contents that went through the encoder."""
    failed: tuple[tuple[str, str], ...]
    """(path, reason)."""
    rebuilt: str
    """What was damaged, if the gallery had to be made anew; else empty."""
    seconds: float
    passed_over: dict[str, int] = field(default_factory=dict)
    """Files in the folders that are no images, by ending."""
    encoder: str = ""
    """The binding of the encoder that the gallery is of."""
    bytes: int = 0
    """What the gallery takes on disk, without those of other encoders."""


class _Found(NamedTuple):
    path: str
    entry: Entry
    """Its sha256 is not known yet."""


class _Prepared(NamedTuple):
    found: _Found
    sha256: str = ""
    pixels: "Tensor | None" = None
    failure: str = ""
    unread: bool = False
    """Nothing is known of what the file holds now."""


@dataclass
class _Run:
    """What one run knows so far."""

    rows: dict[str, int] = field(default_factory=dict)
    """Row of each image that the gallery will hold, by path relative to the root."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    passed: PassedOver = field(default_factory=PassedOver)
    added: int = 0
    encoded: int = 0


def gallery_folder(inputs: Sequence[str]) -> Path:
    """Where the gallery of these images goes by default: `.ctgi` in the folder that they are.

    Raises:
        CtgiError: they are not one folder.
    """
    if _is_one_folder(inputs):
        return Path(inputs[0]) / FOLDER
    if len(inputs) == 1 and not any(mark in inputs[0] for mark in "@*?[") and not os.path.lexists(inputs[0]):
        next(find_images(inputs), None)  # says what is missing
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
    """Make the gallery at `out` hold exactly these images; those that it holds unchanged are not read again.

    Killed at any moment, it leaves the gallery as it was committed last, and the next run goes on from there. Where
    no image can be indexed, a gallery that is not there yet is not made. An image that cannot be read just now keeps
    the row that it has.

    Args:
        inputs: as `find_images` takes them.
        out: the gallery's folder; where another encoder's gallery lies, this one's goes into a folder beside its files.
        encoder: what it is made with.
        settings: batch size, decoding threads, storage type, faiss factory string.
        rebuild: forget what is there.
        progress: called with (images done, images to do); unchanged ones are in neither.
        on_found: called before an image is read, with the files that were passed over.
        without_locks: see `ctgi.files.own`.

    Raises:
        CtgiError: nothing to index, another process at work, or a disk that is full or read-only.
    """
    started = time.monotonic()
    check_index(encoder.dim, settings.index, settings.storage)  # a wrong factory string should not cost an hour
    _refuse_gallery(inputs)
    next(find_images(inputs), None)  # says what is missing before anything is made
    out = gallery_for(out, encoder.fingerprint)
    with writing(out, without_locks):
        writer, rebuilt = resume(out, _wanted(inputs, out, encoder, settings), rebuild=rebuild)
        with closing(writer):
            run = _Run()
            todo = _survey(inputs, writer, run)
            if on_found:
                on_found(run.passed)
            _add(todo, writer, run, encoder, settings, progress or (lambda done, total: None))
            gone = set(writer.known) - set(run.rows) - {_relative(path, inputs) for path, _ in run.failed}
            total = _commit(writer, sorted(run.rows.values()), len(run.failed))
            size = disk_bytes(out)
    return GalleryReport(
        out,
        total,
        run.added,
        total - run.added,
        len(gone),
        total - _contents(writer, run),
        run.encoded,
        tuple(run.failed),
        rebuilt,
        time.monotonic() - started,
        dict(run.passed.endings),
        encoder.spec,
        size,
    )


def _refuse_gallery(inputs: Sequence[str]) -> None:
    """Raise CtgiError if what is to be indexed is a gallery, with the command that indexes its images."""
    for folder in map(Path, inputs):
        if not has_header(folder):
            continue
        header = read_header(folder)
        if Path(image_root(folder, header)).resolve() != folder.resolve():
            command = index_command(folder, header)
            raise CtgiError(f"{plain(str(folder))} is a gallery, not images: to bring it up to date, run {command}")


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
    """Absolute path that the manifest's paths start from: the one folder given, else where we are."""
    return str(Path(inputs[0]).resolve() if _is_one_folder(inputs) else Path.cwd())


def _relative(path: str, inputs: Sequence[str]) -> str:
    return os.path.relpath(path, inputs[0]) if _is_one_folder(inputs) else os.path.relpath(canonical(path))


def _survey(inputs: Sequence[str], writer: GalleryWriter, run: _Run) -> list[_Found]:
    """What must be read; what is as the gallery has it goes straight to the run."""
    todo = []
    for path in find_images(inputs, run.passed):
        name = _relative(path, inputs)
        row = writer.known.get(name)
        try:
            status = Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            run.failed.append((path, "the file is gone"))
            continue
        except OSError as error:
            run.failed.append((path, f"cannot be read: {error.strerror}"))
            if row is not None:
                run.rows[name] = row
            continue
        entry = Entry(name, "", status.st_size, status.st_mtime_ns)
        if row is not None and writer.entries[row]._replace(sha256="") == entry:
            run.rows[name] = row
        else:
            todo.append(_Found(path, entry))
    return todo


def _add(
    todo: list[_Found],
    writer: GalleryWriter,
    run: _Run,
    encoder: Encoder,
    settings: RetrieverSettings,
    progress: Progress,
) -> None:
    def prepare(found: _Found) -> _Prepared:
        try:
            sha256 = digest(found.path)
            if sha256 in writer.row_of:
                return _Prepared(found, sha256)
            with picture_at(found.path) as picture:
                return _Prepared(found, sha256, encoder.preprocess(picture.image))
        except ImageError as error:
            return _Prepared(found, failure=error.reason, unread=isinstance(error, UnreadError))

    done = 0
    progress(done, len(todo))
    with ThreadPoolExecutor(max(1, settings.workers)) as pool:
        prepared = _ahead(pool, prepare, todo, settings.batch_size * _BATCHES_AHEAD)
        while batch := list(islice(prepared, settings.batch_size)):
            _append(batch, writer, run, encoder)
            done += len(batch)
            progress(done, len(todo))


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[_Found], _Prepared], items: Iterable[_Found], window: int
) -> Iterator[_Prepared]:
    """Results in order, with never more than `window` of them started and not taken."""
    waiting: deque[Future[_Prepared]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:  # after Ctrl-C or an error: do not read on
            future.cancel()


def _append(batch: list[_Prepared], writer: GalleryWriter, run: _Run, encoder: Encoder) -> None:
    """Encode each content once and add a row for each path."""
    import torch

    run.failed.extend((item.found.path, item.failure) for item in batch if item.failure)
    kept = {item.found.entry.path for item in batch if item.unread} & writer.known.keys()
    run.rows |= {name: writer.known[name] for name in kept}
    good = [item for item in batch if not item.failure]
    fresh = {item.sha256: item.pixels for item in good if item.pixels is not None and item.sha256 not in writer.row_of}
    vectors = encoder.encode_images(torch.stack(list(fresh.values()))) if fresh else np.empty((0, encoder.dim))
    if not np.isfinite(vectors).all():
        raise CtgiError(f"{encoder.spec}: the model gives vectors that are not finite: its weights are damaged")
    encoded = dict(zip(fresh, vectors, strict=True))
    entries = [item.found.entry._replace(sha256=item.sha256) for item in good]
    rows = [encoded[e.sha256] if e.sha256 in encoded else writer.vector(writer.row_of[e.sha256]) for e in entries]
    if not entries:
        return
    first = len(writer.entries)
    run.added += sum(not _same_content(writer, entry) for entry in entries)
    run.encoded += len(fresh)
    writer.append(entries, np.stack(rows))
    run.rows |= {entry.path: first + place for place, entry in enumerate(entries)}


def _same_content(writer: GalleryWriter, entry: Entry) -> bool:
    row = writer.known.get(entry.path)
    return row is not None and writer.entries[row].sha256 == entry.sha256


def _commit(writer: GalleryWriter, rows: list[int], failed: int) -> int:
    """Leave out superseded and vanished rows, and commit. Returns the rows kept."""
    if not rows and not writer.header.count:
        return 0
    if len(rows) == len(writer.entries):
        return writer.commit(failed).count
    with closing(writer.compact(rows)) as compacted:
        return compacted.commit(failed).count


def _contents(writer: GalleryWriter, run: _Run) -> int:
    return len({writer.entries[row].sha256 for row in run.rows.values()})
