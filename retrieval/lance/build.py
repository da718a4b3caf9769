"""Fills a gallery on LanceDB from image files; several processes may fill the same one."""

import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError, ImageError, UnreadError
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.finding import canonical, find_sources
from ctgi.retrieval.gallery_build import GalleryReport, Progress, ahead, check_finite, entry_of
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.images import digest, picture_at
from ctgi.retrieval.lance.gallery import root_of
from ctgi.retrieval.lance.place import LancePlace
from ctgi.retrieval.lance.tables import COMMIT_ROWS, PATH, LanceTable, TableHeader
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.reading import open_bytes, read_ahead
from ctgi.retrieval.sources.references import is_remote, is_shard
from ctgi.settings_tables import RetrieverSettings

if TYPE_CHECKING:
    from torch import Tensor

_COMMIT_SECONDS = 120
"""A slow encoder commits fewer rows than COMMIT_ROWS, so that a kill costs no more than this."""
_LISTED = 500
_DIGESTED = 1000
"""Names and contents that are looked up together."""
_BATCHES_AHEAD = 2


class _Image(NamedTuple):
    path: str
    entry: Entry
    """Its sha256 is not known yet, nor its size where that is 0."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.entry.size


class _Read(NamedTuple):
    image: _Image
    sha256: str = ""
    pixels: "Tensor | None" = None
    failure: str = ""
    unread: bool = False
    """The current content of the file is unknown."""


@dataclass
class _Run:
    """The state of one run. Names are as the table has them."""

    kept: "array[int]" = field(default_factory=lambda: array("q"))
    """Hashes of the names whose rows stay."""
    before: dict[str, str] = field(default_factory=dict)
    """Contents that the table has of images that are being read."""
    shut: list[str] = field(default_factory=list)
    """Names of archives that could not be read to their end; the rows of what is in them stay."""
    lost: list[str] = field(default_factory=list)
    """Names whose rows go, because there is no image any more."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    passed: PassedOver = field(default_factory=PassedOver)
    added: int = 0
    reused: int = 0
    encoded: int = 0

    def keep(self, name: str) -> None:
        self.kept.append(hash(name))


class Filling:
    """Rows on their way into a table, committed together."""

    def __init__(self, place: LancePlace, wanted: TableHeader, *, rebuild: bool = False) -> None:
        """Fill the gallery at `place`, which is made with the first commit.

        Args:
            place: where.
            wanted: the encoder and the folder of the images, for a new gallery.
            rebuild: begin anew with an empty table.

        Raises:
            CtgiError: another encoder's gallery is there, or it cannot be read.
        """
        self._place, self._wanted, self._rebuild = place, wanted, rebuild
        self.table = None if rebuild else LanceTable.found(place)
        if self.table:
            self.table = LanceTable.to_write(place, wanted)
        self._rows: dict[str, tuple[Entry, NDArray[np.floating]]] = {}
        self._committed = time.monotonic()

    def add(self, entry: Entry, vector: NDArray[np.floating]) -> None:
        """Take in a row; it is safe after the next commit."""
        self._rows[entry.path] = entry, vector
        if len(self._rows) >= COMMIT_ROWS or time.monotonic() - self._committed > _COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write what was taken in.

        Raises:
            CtgiError: it cannot be written.
        """
        if self._rows:
            if self.table is None:
                self.table = LanceTable.to_write(self._place, self._wanted, rebuild=self._rebuild)
            entries, vectors = zip(*self._rows.values(), strict=True)
            self.table.upsert(entries, np.stack(vectors))
            self._rows.clear()
        self._committed = time.monotonic()

    def vectors_of(self, contents: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """The embeddings of these contents, as far as there are any."""
        waiting = {entry.sha256: vector for entry, vector in self._rows.values()}
        found = {one: waiting[one] for one in contents if one in waiting}
        missing = [one for one in contents if one not in found]
        return found | dict(self.table.vectors_of(missing) if self.table and missing else {})


def fill(
    inputs: Sequence[str],
    place: LancePlace,
    encoder: Encoder,
    settings: RetrieverSettings,
    *,
    rebuild: bool = False,
    progress: Progress | None = None,
    on_found: Callable[[PassedOver], None] | None = None,
) -> GalleryReport:
    """`ctgi.retrieval.gallery.build_gallery` for LanceDB.

    Raises:
        CtgiError: nothing to index, another encoder's gallery, or the place cannot be written.
    """
    started = time.monotonic()
    if settings.index != "Flat":
        raise CtgiError(
            f"[retriever] index = {settings.index!r} is for faiss: a gallery on LanceDB is indexed by "
            f"ctgi index --optimize {place}: leave it out"
        )
    next(find_sources(inputs), None)  # says what is missing before anything is made
    run, root = _Run(), _root(inputs)
    filling = Filling(place, _wanted(root, place, encoder, settings), rebuild=rebuild)
    if filling.table:
        root = root_of(place, filling.table.header.root)
    images = find_sources(inputs, run.passed, reading=True)
    _fill(images, root, filling, run, encoder, settings, progress)
    if on_found:
        on_found(run.passed)
    removed = _remove(inputs, root, filling.table, run) if filling.table else 0
    return _report(place, filling.table, run, removed, encoder, time.monotonic() - started)


def prepare(
    inputs: Sequence[str], place: LancePlace, encoder: Encoder, settings: RetrieverSettings, *, rebuild: bool = False
) -> None:
    """Make the gallery of these images that `fill_part` then fills: paths count from their folder.

    Raises:
        CtgiError: another encoder's gallery is there, or the place cannot be written.
    """
    next(find_sources(inputs), None)
    LanceTable.to_write(place, _wanted(_root(inputs), place, encoder, settings), rebuild=rebuild)


@dataclass(frozen=True)
class PartReport:
    """What one part added; names as in GalleryReport."""

    added: int
    reused: int
    encoded: int


def fill_part(images: Iterator[Found], place: LancePlace, encoder: Encoder, settings: RetrieverSettings) -> PartReport:
    """Add some of the images of a gallery that is there; other processes may add others meanwhile.

    Images that cannot be read are left to `fill`, which says so.

    Raises:
        CtgiError: there is no gallery, it is another encoder's, or it cannot be written.
    """
    root = root_of(place, LanceTable.opened(place).header.root)
    run, filling = _Run(), Filling(place, _wanted(root, place, encoder, settings))
    _fill(images, root, filling, run, encoder, settings, None)
    return PartReport(run.added, run.reused, run.encoded)


def _fill(
    images: Iterator[Found],
    root: str,
    filling: Filling,
    run: _Run,
    encoder: Encoder,
    settings: RetrieverSettings,
    progress: Progress | None,
) -> None:
    todo = _survey(images, root, filling, run)
    try:
        _add(todo, filling, run, encoder, settings, progress or (lambda done, total: None))
    except BaseException:
        with suppress(CtgiError):
            filling.commit()  # Ctrl-C loses nothing
        raise
    filling.commit()


def _wanted(root: str, place: LancePlace, encoder: Encoder, settings: RetrieverSettings) -> TableHeader:
    folder = Path(place.address).resolve()
    inside = not place.is_remote and folder.is_relative_to(root)
    kept = os.path.relpath(root, folder) if inside else root
    return TableHeader(encoder.spec, encoder.fingerprint, encoder.dim, settings.storage, kept)


def _root(inputs: Sequence[str]) -> str:
    """The absolute folder that names are relative to in a new gallery."""
    is_folder = len(inputs) == 1 and Path(inputs[0]).is_dir()
    return str(Path(inputs[0]).resolve() if is_folder else Path.cwd())


def name_below(path: str, root: str, real: Callable[[str], str] = canonical) -> str:
    """A path as the table has it: from the root if it is below, else absolute.

    real: finds the canonical path.
    """
    if is_remote(path):
        return path
    full = real(path)
    return os.path.relpath(full, root) if Path(full).is_relative_to(root) else full


def _survey(images: Iterator[Found], root: str, filling: Filling, run: _Run) -> Iterator[_Image]:
    """The images that must be read; unchanged ones are entered into the run directly."""
    while some := list(islice(images, _LISTED)):
        found = [image for one in some if (image := _found(one, root, run))]
        known = filling.table.known([image.entry.path for image in found]) if filling.table else {}
        for image in found:
            row = known.get(image.entry.path)
            if row and image.size and row._replace(sha256="") == image.entry:
                run.keep(row.path)
                run.reused += 1
            else:
                run.before |= {row.path: row.sha256} if row else {}
                yield image


def _found(found: Found, root: str, run: _Run) -> _Image | None:
    name = name_below(found.path, root)
    try:
        name.encode()
        return _Image(found.path, entry_of(found, name))
    except UnicodeEncodeError:
        run.failed.append((found.path, "its name is not UTF-8, which LanceDB cannot keep: rename it"))
    except UnreadError as error:
        run.failed.append((found.path, error.reason))
        run.shut.append(name) if found.fault else run.keep(name)
    except ImageError as error:
        run.failed.append((found.path, error.reason))
        run.lost.append(name)
    return None


def _add(
    todo: Iterator[_Image],
    filling: Filling,
    run: _Run,
    encoder: Encoder,
    settings: RetrieverSettings,
    progress: Progress,
) -> None:
    done = 0
    progress(done, None)
    with ThreadPoolExecutor(max(1, settings.workers)) as pool:
        hashed = ahead(pool, _hashed, read_ahead(todo), _DIGESTED)
        while some := list(islice(hashed, _DIGESTED)):
            known = filling.vectors_of([one.sha256 for one in some if one.sha256])
            decode = partial(_decoded, encoder, known)
            read = ahead(pool, decode, some, settings.batch_size * _BATCHES_AHEAD)
            while batch := list(islice(read, settings.batch_size)):
                _take(batch, known, filling, run, encoder)
                done += len(batch)
                progress(done, None)


def _hashed(image: _Image) -> _Read:
    try:
        sha256 = digest(image.path)
        if not image.size:
            image = image._replace(entry=image.entry._replace(size=len(open_bytes(image.path))))
        return _Read(image, sha256)
    except ImageError as error:
        return _Read(image, failure=error.reason, unread=isinstance(error, UnreadError))


def _decoded(encoder: Encoder, known: dict[str, NDArray[np.floating]], read: _Read) -> _Read:
    if read.failure or read.sha256 in known:
        return read
    try:
        with picture_at(read.image.path) as picture:
            return read._replace(pixels=encoder.preprocess(picture.image))
    except ImageError as error:
        return read._replace(failure=error.reason, unread=isinstance(error, UnreadError))


def _take(
    batch: list[_Read], known: dict[str, NDArray[np.floating]], filling: Filling, run: _Run, encoder: Encoder
) -> None:
    """Encode each content once, and take in a row for each path."""
    import torch

    for read in batch:
        if read.failure:
            run.failed.append((read.image.path, read.failure))
            run.keep(read.image.entry.path) if read.unread else run.lost.append(read.image.entry.path)
    good = [read for read in batch if not read.failure]
    fresh = {read.sha256: read.pixels for read in good if read.pixels is not None and read.sha256 not in known}
    if fresh:
        vectors = encoder.encode_images(torch.stack(list(fresh.values())))
        check_finite(vectors, encoder)
        known.update(zip(fresh, vectors, strict=True))
        run.encoded += len(fresh)
    for read in good:
        entry = read.image.entry._replace(sha256=read.sha256)
        same = run.before.pop(entry.path, None) == entry.sha256
        run.added += not same
        run.reused += same
        run.keep(entry.path)
        filling.add(entry, known[entry.sha256])


def _remove(inputs: Sequence[str], root: str, table: LanceTable, run: _Run) -> int:
    """Remove the rows of images that are gone from the given folders, archives and addresses, or are no images now."""
    kept = np.unique(np.array(run.kept, np.int64))
    folders = [name_below(path, root) for path in inputs if Path(path).is_dir() or is_shard(path) or is_remote(path)]
    gone = set(table.known(run.lost))
    if folders:
        for batch in table.batches([PATH]):
            names: list[str] = batch[PATH].to_pylist()
            hashes = np.fromiter(map(hash, names), np.int64, len(names))
            for place in np.flatnonzero(~np.isin(hashes, kept)):
                name = names[place]
                is_shut = any(name.startswith(f"{one}#") for one in run.shut)
                if _is_below(name, folders) and not is_shut and not os.path.lexists(Path(root) / name):
                    gone.add(name)
    table.delete(sorted(gone))
    return len(gone)


def _is_below(name: str, folders: Sequence[str]) -> bool:
    within = tuple(f"{folder}{mark}" for folder in folders for mark in "/#")
    return name.startswith(within) or ("." in folders and not name.startswith("/") and not is_remote(name))


def _report(
    place: LancePlace, table: LanceTable | None, run: _Run, removed: int, encoder: Encoder, seconds: float
) -> GalleryReport:
    total, contents = (table.count(), table.contents()) if table else (0, 0)
    return GalleryReport(
        folder=str(place),
        total=total,
        added=run.added,
        reused=run.reused,
        removed=removed,
        duplicates=total - contents,
        encoded=run.encoded,
        failed=tuple(run.failed),
        rebuilt="",
        seconds=seconds,
        passed_over=dict(run.passed.endings),
        encoder=encoder.spec,
        bytes=table.bytes() if table else 0,
    )
