"""Embeddings as clip-retrieval keeps them: img_emb/img_emb_N.npy beside metadata/metadata_N.parquet."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError, ImageError
from ctgi.files import write_whole
from ctgi.reading import read_json
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.images import digest
from ctgi.retrieval.metadata import Value
from ctgi.retrieval.parts import PART_ROWS, Part, Space
from ctgi.text import plain

PREFIX = "npy:"
_NOTE = "ctgi.json"
"""Which encoder the embeddings are of; clip-retrieval does not say it."""
_ROWS = 100_000
"""Rows of one file."""
_OWN = ("image_path", "sha256", "size", "mtime_ns")


class UnknownSpaceError(CtgiError):
    """Nothing says which encoder embeddings are of."""


def write_npy(folder: Path, space: Space, parts: Iterable[Part]) -> int:
    """Write embeddings and what is known of their images; returns the images.

    Raises:
        CtgiError: the folder holds something already, or cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CtgiError(f"{plain(str(folder))}: not empty: choose another folder")
    waiting: list[Part] = []
    files = total = 0
    for part in parts:
        waiting.append(part)
        if sum(len(one.entries) for one in waiting) >= _ROWS:
            total += _write(folder, files, waiting)
            files, waiting = files + 1, []
    if waiting or not files:
        total += _write(folder, files, waiting)
    note = {"encoder": space.spec, "fingerprint": space.fingerprint, "root": space.root, "images": total}
    write_whole(folder / _NOTE, json.dumps(note, indent=1).encode())
    return total


def _write(folder: Path, number: int, parts: list[Part]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    entries = [entry for part in parts for entry in part.entries]
    known = [row for part in parts for row in part.known]
    columns: dict[str, list[Any]] = dict(zip(_OWN, map(list, zip(*entries, strict=True)), strict=False))
    for name in dict.fromkeys(name for row in known for name in row):
        columns[name if name not in _OWN else f"{name}_"] = [row.get(name) for row in known]
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", np.concatenate([part.vectors for part in parts]))
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number}.parquet")
    except OSError as error:
        cause = error.strerror or "is the disk full?"  # numpy does not say why only a part was written
        raise CtgiError(
            f"{plain(str(folder))}: cannot be written ({cause}): what is there is not whole: delete it, free "
            "some space, and run the same command again"
        ) from None
    return len(entries)


def space_of(folder: Path, otherwise: Space | None) -> Space:
    """What embeddings are of, by the note beside them.

    otherwise: what to take where there is none, as in folders of clip-retrieval.

    Raises:
        CtgiError: there are no embeddings, or nothing says which encoder they are of.
    """
    files = _files(folder)
    rows = _mapped(files[0][0])
    dtype = "float16" if rows.dtype == np.float16 else "float32"
    if (folder / _NOTE).exists():
        note = read_json(folder / _NOTE, "note")
        if not isinstance(note, dict) or not all(
            isinstance(note.get(name), str) for name in ("encoder", "fingerprint")
        ):
            raise CtgiError(f"{plain(str(folder / _NOTE))}: damaged: copy the gallery once more")
        return Space(note["encoder"], note["fingerprint"], rows.shape[1], dtype, str(note.get("root") or Path.cwd()))
    if otherwise is None:
        raise UnknownSpaceError(f"{plain(str(folder))}: nothing says which encoder made these embeddings")
    if otherwise.dim != rows.shape[1]:
        raise CtgiError(
            f"{plain(str(folder))}: embeddings of {rows.shape[1]} numbers, but {otherwise.spec} makes {otherwise.dim}: "
            "name their encoder with --bind search_gallery=ENCODER"
        )
    return Space(otherwise.spec, otherwise.fingerprint, otherwise.dim, dtype, otherwise.root)


def read_npy(folder: Path, failed: list[tuple[str, str]]) -> Iterator[Part]:
    """The embeddings and what is known of their images. Contents that are not noted are read from the images.

    failed: gets (path, reason) of each image that is left out because it cannot be read.

    Raises:
        CtgiError: a file is missing or damaged.
    """
    for embeddings, metadata in _files(folder):
        rows, columns = _mapped(embeddings), _columns(metadata)
        counts = {len(rows), *map(len, columns.values())}
        if "image_path" not in columns or len(counts) != 1:
            raise CtgiError(f"{plain(str(metadata))}: expected image_path for each of {len(rows):,} embeddings")
        for first in range(0, len(rows), PART_ROWS):
            some = slice(first, first + PART_ROWS)
            yield _part({name: values[some] for name, values in columns.items()}, np.asarray(rows[some]), failed)


def _part(columns: dict[str, list[Any]], rows: NDArray[np.floating], failed: list[tuple[str, str]]) -> Part:
    entries: list[Entry] = []
    good, known = [], []
    others = [name for name in columns if name not in _OWN]
    for place, path in enumerate(columns["image_path"]):
        try:
            entries.append(_entry({name: columns[name][place] for name in _OWN if name in columns}))
        except ImageError as error:
            failed.append((str(path), error.reason))
            continue
        good.append(place)
        known.append({name: _value(columns[name][place]) for name in others})
    vectors = rows[good]
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise CtgiError("an embedding is zero or not finite: make these embeddings again")
    return Part(entries, (vectors / lengths).astype(rows.dtype), known)


def _entry(row: dict[str, Any]) -> Entry:
    path = Path(str(row["image_path"])).absolute()
    if row.keys() >= set(_OWN):
        return Entry(str(path), row["sha256"], row["size"], row["mtime_ns"])
    sha256 = digest(str(path))
    status = path.stat()
    return Entry(str(path), sha256, status.st_size, status.st_mtime_ns)


def _value(value: Any) -> Value:
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _files(folder: Path) -> list[tuple[Path, Path]]:
    found, tables = _numbered(folder.glob("img_emb/*.npy")), _numbered(folder.glob("metadata/*.parquet"))
    if not found or found.keys() != tables.keys():
        raise CtgiError(
            f"{plain(str(folder))}: expected img_emb/img_emb_0.npy and metadata/metadata_0.parquet, and so on, as "
            "clip-retrieval writes them"
        )
    return [(found[number], tables[number]) for number in sorted(found)]


def _numbered(paths: Iterable[Path]) -> dict[int, Path]:
    return {int(match[1]): path for path in paths if (match := re.search(r"_(\d+)$", path.stem))}


def _mapped(path: Path) -> NDArray[np.floating]:
    try:
        rows = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        raise CtgiError(f"{plain(str(path))}: not a file of embeddings, or damaged") from None
    if rows.ndim != 2 or rows.dtype not in (np.float16, np.float32):
        raise CtgiError(f"{plain(str(path))}: expected rows of float16 or float32")
    return np.asarray(rows) if rows.size == 0 else rows


def _columns(path: Path) -> dict[str, list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise CtgiError(f"{plain(str(path))}: not Parquet, or damaged") from None
    return {name: table[name].to_pylist() for name in table.column_names}
