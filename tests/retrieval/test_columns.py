"""What is known of images beside their pixels: tables in, conditions over them, nothing else."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ctgi.errors import ArgumentError, CtgiError
from ctgi.retrieval import conditions
from ctgi.retrieval.columns import FILE, Columns, ColumnsReport, Listing, update_columns
from ctgi.retrieval.metadata import as_time

PATHS = ["a.jpg", "b.jpg", "sub/c.jpg", "d\udcff.jpg"]
LISTING = Listing(12345, len(PATHS))


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Two tables of different kinds, and the folder of the images."""
    root = tmp_path / "people"
    root.mkdir()
    (tmp_path / "seen.csv").write_bytes(
        "\ufeffpath,camera,time,score,plate\r\n"
        "people/a.jpg,3,2026-11-01T10:00:00+02:00,0.50,007\r\n"
        'people/b.jpg,"north, gate",2026-11-02,1e-3,08\r\n'
        "people/gone.jpg,1,,,\r\n".encode()
    )
    (root / "sources.jsonl").write_text(
        '{"path": "a.jpg", "box": [1, 2, 3, 4], "track": "v:1"}\n{"path": "sub/c.jpg", "track": "v:1"}\n{"path": "b.j'
    )
    return root


def known(root: Path, *names: str) -> ColumnsReport:
    return update_columns(root, PATHS, [root / name for name in names], root, LISTING)


def rows(root: Path, where: str) -> list[int]:
    """What a condition picks, of the file as it is and of one that was put into the order of the paths."""
    as_it_is = Columns(root / FILE, iter(()), LISTING).rows(where).tolist()
    assert Columns(root / FILE, PATHS).rows(where).tolist() == as_it_is
    return as_it_is


def test_tables_add_up_and_what_is_of_no_image_is_counted(tables: Path) -> None:
    report = known(tables, "sources.jsonl", "../seen.csv")
    assert report.names == ("box", "track", "camera", "time", "score", "plate")
    assert (report.images, report.unmatched, report.mixed) == (3, 1, {})
    assert known(tables).names == report.names  # a later run keeps what it is told nothing of
    assert Columns(tables / FILE, PATHS).values("Track") == ["v:1", None, "v:1", None]
    assert update_columns(tables, ["a.jpg"], [], tables).images == 1  # of images that are gone nothing is kept


def test_columns_may_have_any_names(tmp_path: Path) -> None:
    names = ["place", "row", "known", "found", "images", "placed", "listing", "crc32", "oid", "order"]
    (tmp_path / "seen.csv").write_text(f"path,{','.join(names)}\nb.jpg,{','.join(names)}\n")
    assert known(tmp_path, "seen.csv").names == tuple(names)
    assert known(tmp_path).names == tuple(names)
    for name in names:
        assert rows(tmp_path, f"\"{name}\" = '{name}'") == [1]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("camera = 3", [0]),
        ("camera = '3'", [0]),
        ("CAMERA like 'north%'", [1]),
        ("score > 0.1", [0]),
        ("plate = '007'", [0]),
        ("plate = 7", []),
        ("time >= '2026-11-01T09:00'", [1]),
        ("time = '2026-11-01 09:00+01:00'", [0]),
        ("time between '2026-11-01' and '2026-11-02'", [0, 1]),
        ("json_extract(box, '$[2]') = 3", [0]),
        ("track is null", [1, 3]),
        ("path like 'sub/%' or camera is not null", [0, 1, 2]),
        ('"camera" = 3', [0]),
        ("1 = 1 -- everything", [0, 1, 2, 3]),
    ],
)
def test_a_condition_picks_rows(tables: Path, where: str, expected: list[int]) -> None:
    known(tables, "sources.jsonl", "../seen.csv")
    assert rows(tables, where) == expected


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("camrea = 3", "no column camrea; did you mean camera.; the columns are path, box, track, camera"),
        ('camera = "north"', "no column north; the columns are .*; texts stand in single quotes: 'north'"),
        ("camera = north", "no column north; the columns are .*; texts stand in single quotes: 'north'"),
        ("camera = ‘north’", "texts stand in single quotes: 'north'"),
        ("camera = 'north", "a quote is not closed"),
        ("camera = 'it's'", "one within a text is written twice, as in 'it''s'"),
        ('camera = "north', "a quote is not closed"),
        (" ", "where is empty: expected a condition"),
        ("1=1) or (1=1", "a bracket is not closed, or was never opened"),
        ("(camera = 3", "a bracket is not closed, or was never opened"),
        ("score", "neither true nor false: compare it"),
        ("track", "neither true nor false: compare it"),
        ("camera = ", "where: camera = : it ends too early, a value is missing: expected a condition like"),
        ("camera = 3 and", "it ends too early"),
        ("(camera = )", 'near ..": syntax error'),
        ("time >= '05.11.2026'", "05.11.2026 is no date of ISO 8601: write it like 2026-11-05"),
        ("time >= '2026-13-45'", "2026-13-45 is no date"),
        ("camera = ?", "expected a condition"),
        ("x" * 20_000, "20,000 characters"),
        ("1=1; drop table images", "syntax error"),
        ("1) union select path from images --", "a bracket is not closed, or was never opened"),
        ("(select 1 from sqlite_master)", "prohibited|not authorized"),
        ("load_extension('x')", "no function load_extension here; those are abs, coalesce, "),
        ("randomblob(1000000000) is null", "no function randomblob"),
        ("lenght(camera) > 1", "no function lenght here; did you mean length"),
        (
            "1 in (with recursive n(i) as (select 1 union all select i + 1 from n) select i from n)",
            "not authorized|proh",
        ),
    ],
)
def test_what_is_no_condition_is_refused_with_the_columns(tables: Path, where: str, told: str) -> None:
    known(tables, "sources.jsonl", "../seen.csv")
    with pytest.raises(ArgumentError, match=told):
        rows(tables, where)
    assert rows(tables, "camera = 3") == [0]  # and the next one is answered


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("time > 5", "time holds times, and 5 is a number: write a time, as in time > '2026-11-0"),
        ("-5 >= TIME", "TIME holds times, and -5 is a number"),
        ("camera between 1 and 4", "camera holds texts, such as '.*', and 1 is a number: write it in single quotes"),
        ("path not between 'a' and 4", "path holds texts, such as 'a.jpg', and 4 is a number"),
        ("not (score = 'tall')", "score holds numbers, such as 0.5, and 'tall' is a text: write a number"),
        ("1 = 0 or 'tall' < \"score\"", '"score" holds numbers'),
        ("score in (1, 'tall')", "score holds numbers"),
        ("strftime('%H', time) > 20", "strftime[(]...[)] is a text, and 20 is a number: write '20'"),
        ("substr(path, (1), 1) not in ('a', 2)", "substr[(]...[)] is a text, and 2 is a number"),
        ("length(path) = '5'", "length[(]...[)] is a number, and '5' is a text: write a number without quotes"),
        ("0 < score < 2", "two comparisons in a row: join them"),
        ("camera = 3 || path = 'a.jpg'", "two comparisons in a row"),
        ("camera in ()", "the list behind IN is empty"),
        ("camera not in (3, null)", "NULL in a list is equal to nothing"),
        ("camera = NULL", "= NULL holds for no image: write it like camera is null"),
        ("null <> camera", "write it like camera is not null"),
    ],
)
def test_what_would_find_nothing_or_everything_is_refused(tables: Path, where: str, told: str) -> None:
    known(tables, "sources.jsonl", "../seen.csv")
    with pytest.raises(ArgumentError, match=told):
        rows(tables, where)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("score > ' 0.1' and score < -1 + 2", [0]),
        ("camera > '3' and length(camera) > 1", [1]),
        ("cast(camera as integer) > 1", [0]),
        ("score + 1 > 1.2 and 0.2 < score", [0]),
        ("(score = 0.5) = (camera = 3)", [0, 1]),
        ("case when score > 0.1 then track = 'v:1' else camera is null end", [0, 2, 3]),
        ("strftime('%H', time) = '08' -- it's early", [0]),
        ("iif(score > 0.1, camera = 3, plate = 7 or path > 'd')", [0, 2, 3]),
        ("empty = 'a text' or plate <> 7", [0, 1]),
        ("camera || '-' || plate = '3-007'", [0]),
    ],
)
def test_what_means_something_is_answered(tables: Path, where: str, expected: list[int]) -> None:
    (tables / "t.csv").write_text("path,empty\na.jpg,\n")
    known(tables, "sources.jsonl", "../seen.csv", "t.csv")
    assert rows(tables, where) == expected


def test_a_condition_that_never_ends_is_stopped(tmp_path: Path) -> None:
    columns = Columns(tmp_path / FILE, [f"{number}.jpg" for number in range(2000)])
    with pytest.raises(ArgumentError, match="takes too long"):
        columns.rows("path < (select max(a.path || b.path || c.path) from images a, images b, images c)")


def test_the_more_rows_the_longer_a_condition_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_STEPS", 0)
    monkeypatch.setattr(conditions, "_STEPS_PER_ROW", 40)
    columns = Columns(tmp_path / FILE, [f"{number}.jpg" for number in range(20_000)])
    assert len(columns.rows("path like '%.jpg'")) == 20_000
    with pytest.raises(ArgumentError, match="takes too long"):
        columns.rows("path = (select max(a.path || b.path) from images a, images b)")


def test_without_tables_paths_are_known(tmp_path: Path) -> None:
    columns = Columns(tmp_path / FILE, PATHS)
    assert columns.names == ("path",)
    assert columns.rows("path like '%.jpg' and path > 'b'").tolist() == [1, 2]
    with pytest.raises(ArgumentError, match="no column camera; the columns are path"):
        columns.rows("camera = 1")


def test_a_column_of_numbers_with_a_text_is_told(tables: Path) -> None:
    (tables / "t.csv").write_text("path,speed\na.jpg,1.5\nb.jpg,2\nsub/c.jpg,n/a\n")
    assert known(tables, "t.csv").mixed == {"speed": "n/a"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.csv", "camera,site\n1,2\n", "t.csv, line 2: it names no image: expected a column path"),
        ("t.csv", "path,camera,camera\na.jpg,1,2\n", "line 1: has the column 'camera' twice"),
        ("t.csv", "path,camera\na.jpg,1,2\n", "line 2: 3 cells, but the first line names 2"),
        ("t.csv", "path,camera\na.jpg,1\n./a.jpg,2\n", "line 3: the second row of a.jpg"),
        ("t.csv", "path,Camera,camera\na.jpg,1,2\n", "line 2: the column 'camera' is too like 'Camera'"),
        ("t.jsonl", '{"path": "a.jpg"}\n[1]\n', "line 2: expected a JSON object"),
        ("t.jsonl", '{"path": "a.jpg"\n{"path": "b.jpg"}\n', "line 1: not JSON"),
        ("t.xlsx", "", "expected a table that ends in .csv, .tsv or .jsonl"),
        ("missing.csv", None, "missing.csv: No such file"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_its_line(
    tables: Path, name: str, text: str | None, told: str
) -> None:
    known(tables, "sources.jsonl")
    if text is not None:
        (tables / name).write_text(text)
    with pytest.raises(CtgiError, match=told):
        known(tables, name)
    assert rows(tables, "track = 'v:1'") == [0, 2]  # what was known stays


def test_a_damaged_file_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(CtgiError, match=r"columns\.sqlite: damaged .* remove it, and run ctgi index again"):
        Columns(tmp_path / FILE, PATHS)


def test_a_file_that_is_damaged_further_down_is_no_fault_of_the_condition(tables: Path) -> None:
    paths = [f"{number:05}.jpg" for number in range(5000)]
    listing = Listing(1, len(paths))
    update_columns(tables, paths, [], tables, listing)
    columns = Columns(tables / FILE, iter(()), listing)
    with (tables / FILE).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 20_000)
    for use in (lambda: columns.rows("path > '1'"), lambda: columns.values("path")):
        with pytest.raises(CtgiError, match=r"columns\.sqlite: damaged .* remove it, and run ctgi index again"):
            use()


@pytest.mark.parametrize("of", [Listing(12346, 4), Listing(12345, 5), "renumbered"])
def test_rows_of_another_listing_are_not_taken_for_those_of_this(tables: Path, of: Listing | str) -> None:
    known(tables, "sources.jsonl")
    if isinstance(of, str):
        with closing(sqlite3.connect(tables / FILE)) as base:
            base.execute("UPDATE images SET rowid = -rowid")
            base.execute("UPDATE images SET rowid = 4 + rowid")
            base.commit()
    listing = LISTING if isinstance(of, str) else of
    found = Columns(tables / FILE, PATHS[::-1], listing).rows("track = 'v:1'")
    assert found.tolist() == [1, 3]


def test_times_are_put_in_order() -> None:
    written = ["2026-11-01", "2026-11-01 00:00:01", "2026-11-01T00:00:01.5Z", "2026-11-01T02:00+01:00"]
    assert [as_time(text) for text in written] == sorted(as_time(text) for text in written)
    assert [as_time(text) for text in ("2026-13-01", "around 2026-11-01", "2026")] == [
        "2026-13-01", "around 2026-11-01", "2026",
    ]  # fmt: skip


def test_rows_are_int64_in_the_gallerys_order(tables: Path) -> None:
    known(tables, "sources.jsonl")
    found = Columns(tables / FILE, PATHS[::-1]).rows("track = 'v:1'")
    assert found.dtype == np.int64
    assert found.tolist() == [1, 3]
