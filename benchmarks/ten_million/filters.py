"""`--where` in a folder: how long SQLite takes to tell which rows pass, and a search among them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ten_million.cost import drop_from_memory, megabytes, percentiles, times_of
from benchmarks.ten_million.folder import home_of
from benchmarks.ten_million.rows import draws
from benchmarks.ten_million.truth import SHARES, K
from ctgi.retrieval.columns import FILE
from ctgi.retrieval.gallery import open_gallery
from ctgi.retrieval.gallery_files import read_header
from ctgi.retrieval.gallery_manifest import Manifest

FILTERS = {name: f"in_{one_in} = 0" for name, one_in in SHARES.items() if one_in > 1}
_ASKED = 20


def filtered(folder: Path) -> dict[str, Any]:
    """A column for each filter; then each filter the first time, as a command has it, and again, as a page has it."""
    home = home_of(folder)
    columns_s = times_of([home], write_columns)[0]
    truth = np.load(folder / "truth.npz")
    figures: dict[str, Any] = {"columns_s": round(columns_s, 1), "columns_mb": megabytes(home / FILE)}
    for name, where in FILTERS.items():
        drop_from_memory(home / FILE)
        gallery = open_gallery(home)
        first, *again = times_of(range(4), lambda _, where=where, gallery=gallery: gallery.narrowed(where))
        narrowed = gallery.narrowed(where)
        ranked = times_of(truth["queries"][:_ASKED], lambda query, narrowed=narrowed: narrowed.rank(query, K))
        assert narrowed.narrowing is not None
        told = {"images": narrowed.narrowing.images, "first_s": round(first, 2), "again_s": round(min(again), 2)}
        figures[name] = told | percentiles(ranked)
    return figures


def write_columns(home: Path) -> None:
    """The file as `ctgi index --metadata` leaves it, without the table that it is read from."""
    header = read_header(home)
    known = [draws(header.count, one_in).tolist() for one_in in SHARES.values() if one_in > 1]
    columns = "".join(f", {where.split()[0]} NUMERIC" for where in FILTERS.values())
    (home / FILE).unlink(missing_ok=True)
    with closing(sqlite3.connect(home / FILE, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("BEGIN")
        base.execute(f"CREATE TABLE images (path{columns})")
        rows = zip(range(header.count), Manifest(home, header).paths(), *known, strict=True)
        names = ", ".join(["rowid", "path", *(where.split()[0] for where in FILTERS.values())])
        base.executemany(f"INSERT INTO images ({names}) VALUES ({', '.join('?' * (2 + len(FILTERS)))})", rows)
        base.execute("CREATE TABLE listing (crc32 INTEGER, images INTEGER)")
        base.execute("INSERT INTO listing VALUES (?, ?)", [header.manifest_crc32, header.count])
        base.execute("COMMIT")
