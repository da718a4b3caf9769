"""Galleries on LanceDB: what `ctgi.retrieval.gallery.Kind` asks of them."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks
from ctgi.retrieval.columns import ColumnsReport
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.gallery import ToMake
from ctgi.retrieval.gallery_build import GalleryReport, Progress
from ctgi.retrieval.images import display
from ctgi.retrieval.lance.build import fill
from ctgi.retrieval.lance.columns import update_table
from ctgi.retrieval.lance.faults import faults
from ctgi.retrieval.lance.gallery import LanceGallery, open_lance, root_of
from ctgi.retrieval.lance.place import LancePlace
from ctgi.retrieval.lance.tables import INDEX_ROWS, VECTOR, LanceTable, TableHeader
from ctgi.retrieval.parts import Part, Space, below
from ctgi.retrieval.passed_over import PassedOver
from ctgi.settings_tables import RetrieverSettings


def is_gallery(place: Path, encoder: Encoder | None = None) -> bool:
    """Whether there is a gallery; with `encoder`, one made with it."""
    table = LanceTable.found(LancePlace.of(place))
    return table is not None and (encoder is None or table.header.fingerprint == encoder.fingerprint)


def open_gallery(place: Path, encoder: Encoder | None = None) -> LanceGallery:
    """The gallery there."""
    return open_lance(LancePlace.of(place), encoder)


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
    """Add these images; LanceDB needs no locks."""
    return fill(inputs, LancePlace.of(out), encoder, settings, rebuild=rebuild, progress=progress, on_found=on_found)


def to_make(place: Path, encoder: Encoder) -> ToMake:
    """It cannot be made: nothing says of which images. Raises CtgiError, which says how to."""
    open_gallery(place, encoder)
    raise CtgiError(f"{display(str(LancePlace.of(place)))}: it was being made just now: run the same command again")


def some_paths(place: Path, most: int) -> list[str]:
    """Paths of images, evenly spread over the gallery."""
    gallery = open_gallery(place)
    return [gallery.ref(row).path for row in range(0, len(gallery), max(1, len(gallery) // most))]


def update_columns(place: Path, tables: Sequence[Path]) -> ColumnsReport | None:
    """Take over what tables, and the sources.jsonl beside crops, say of the images; None where nothing does."""
    return update_table(LanceTable.opened(LancePlace.of(place)), tables)


def write(place: Path, space: Space, parts: Iterable[Part]) -> int:
    """Add rows, or replace those of the same paths."""
    where = LancePlace.of(place)
    folder = Path(where.address).resolve()
    inside = not where.is_remote and folder.is_relative_to(space.root)
    root = os.path.relpath(space.root, folder) if inside else space.root
    wanted = TableHeader(space.spec, space.fingerprint, space.dim, space.dtype, root)
    table = LanceTable.to_write(where, wanted)
    from_root = root_of(where, table.header.root)
    written = 0
    for part in parts:
        if part.entries:
            entries = [entry._replace(path=below(entry.path, from_root)) for entry in part.entries]
            table.upsert(entries, part.vectors)
            written += len(entries)
    return written


def damage_of(place: Path) -> list[str]:
    """What is damaged; reads every row."""
    table = LanceTable.opened(LancePlace.of(place))
    try:
        found = list(faults(table))
    except CtgiError as error:
        return [str(error)]
    return [f"{display(str(table.place))}: {fault}" for fault in found]


def optimize(place: Path) -> str:
    """Join small files, and index a large gallery."""
    table = LanceTable.opened(LancePlace.of(place))
    before, made, rows = table.files(), table.optimize(), table.count()
    files = f"files of rows: {table.files():,}, before {before:,}"
    if made is None:
        return f"{rows:,} images: {files}; searched exactly, an index is made from {INDEX_ROWS:,} images on"
    named = "vectors" if VECTOR in made else ""
    columns = len(made) - (VECTOR in made)
    new = " and ".join(filter(None, [named, f"{columns} columns" if columns else ""])) or "nothing new"
    return f"{rows:,} images: {files}; indexed: {new}"


def home_of(place: Path) -> Path | None:
    """The folder of this machine for what belongs to the gallery; None where there is no gallery."""
    where = LancePlace.of(place)
    return where.home if LanceTable.found(where) else None


def is_there(place: Path) -> bool:
    """Whether there is a gallery."""
    return is_gallery(place)


def lasting_name(place: Path) -> str:
    """The name that means the same gallery from any working directory."""
    return str(LancePlace.of(place).lasting)
