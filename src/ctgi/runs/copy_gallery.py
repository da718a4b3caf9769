"""Copies galleries from one kind to another, and embeddings as clip-retrieval keeps them in and out."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ctgi.errors import CtgiError
from ctgi.retrieval.gallery import kind_of, open_gallery
from ctgi.retrieval.metadata import PATH
from ctgi.retrieval.npy_parts import PREFIX, UnknownSpaceError, read_npy, space_of, write_npy
from ctgi.retrieval.parts import Part, Space
from ctgi.runs.events import Events


@dataclass(frozen=True)
class CopyReport:
    """What was copied."""

    images: int
    columns: tuple[str, ...]
    """What is known of them beside their pixels."""
    failed: tuple[tuple[str, str], ...]
    """(path, reason) of each image that was left out."""


def copy_gallery(source: str, target: str, bound: Callable[[], Space], events: Events) -> CopyReport:
    """Copy a gallery with what is known of its images; nothing is encoded.

    Args:
        source: a gallery of any kind, or `npy:` and a folder of embeddings.
        target: where to; a gallery on LanceDB takes the rows in beside those it has.
        bound: what the bound encoder makes, for embeddings that do not say what they are of.
        events: hears the progress.

    Raises:
        CtgiError: nothing is there to copy, something else is there already, or it cannot be written.
    """
    _need_arrow(source, target)
    failed: list[tuple[str, str]] = []
    if source.startswith(PREFIX):
        folder = Path(source.removeprefix(PREFIX))
        space, parts, total = _noted(folder, bound), read_npy(folder, failed), None
    else:
        gallery = open_gallery(source)
        space, parts, total = gallery.space, gallery.parts(), len(gallery)
    columns: dict[str, None] = {}
    with events.progress("copy", total) as update, tempfile.NamedTemporaryFile("w", suffix=".jsonl") as table:
        passing = _passing(parts, lambda done: update(done, total), columns, table)
        if target.startswith(PREFIX):
            images = write_npy(Path(target.removeprefix(PREFIX)), space, passing)
        else:
            images = kind_of(target).write(Path(target), space, passing)
            table.flush()
            if columns:
                kind_of(target).update_columns(Path(target), [Path(table.name)])
    for path, reason in failed:
        events.warn(f"left out: {path}: {reason}")
    return CopyReport(images, tuple(columns), tuple(failed))


def _noted(folder: Path, bound: Callable[[], Space]) -> Space:
    try:
        return space_of(folder, None)
    except UnknownSpaceError:
        return space_of(folder, bound())


def _need_arrow(*places: str) -> None:
    if any(place.startswith(PREFIX) for place in places):
        try:
            import pyarrow  # noqa: F401
        except ModuleNotFoundError as error:
            missing = f"reading and writing Parquet needs {error.name}, which is not installed"
            raise CtgiError(f'{missing}: pip install "ctgi[lance]"') from None


def _passing(
    parts: Iterable[Part], update: Callable[[int], None], columns: dict[str, None], table: IO[str]
) -> Iterator[Part]:
    """The parts; what is known of their images goes into a table of JSON lines, which every kind takes over."""
    done = 0
    for part in parts:
        yield part
        for entry, known in zip(part.entries, part.known, strict=True):
            told = {name: value for name, value in known.items() if value is not None}
            columns |= dict.fromkeys(told)
            if told:
                table.write(json.dumps({PATH: entry.path} | told) + "\n")
        done += len(part.entries)
        update(done)
