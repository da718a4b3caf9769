"""Several processes at one gallery on LanceDB, kills, buckets, indexes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.gallery import build_gallery, kind_of, open_gallery
from ctgi.retrieval.lance import tables
from ctgi.retrieval.lance.place import LancePlace
from ctgi.retrieval.lance.tables import PATH, LanceTable, TableHeader
from tests.support.color_encoder import ColorEncoder
from tests.support.lance_rows import HEADER, entries, vectors
from tests.support.storage import object_storage

ENCODER = ColorEncoder()
SETTINGS = RetrieverSettings(batch_size=3)


def writers(place: str, count: int, commits: int) -> list[subprocess.Popen[str]]:
    """Processes that wait for a line, and then write the same paths at the same time."""
    command = [sys.executable, "-m", "tests.support.lance_rows", place]
    folder = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    told = [[*command, str(number), str(commits)] for number in range(count)]
    found = [subprocess.Popen(words, env=environment, cwd=folder, **pipes) for words in told]
    for one in found:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    return found


def begin(started: list[subprocess.Popen[str]]) -> None:
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()


def finish(started: list[subprocess.Popen[str]]) -> list[int]:
    for one in started:
        one.communicate(timeout=120)
    return [one.returncode for one in started]


@pytest.mark.parametrize("is_new", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_four_writers_of_the_same_paths_leave_each_once(tmp_path: Path, is_new: bool) -> None:
    place = LancePlace.of(f"lance:{tmp_path}/db")
    if not is_new:
        LanceTable.to_write(place, HEADER)
    started = writers(str(place), 4, 6)
    begin(started)
    assert finish(started) == [0, 0, 0, 0]
    table = LanceTable.opened(place)
    paths = table.rows([PATH])[PATH].to_pylist()
    assert sorted(paths) == [entry.path for entry in entries(0, 350)]
    assert kind_of(str(place)).damage_of(Path(str(place))) == []


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    place = LancePlace.of(f"lance:{tmp_path}/db")
    started = writers(str(place), 2, 1000)
    begin(started)
    killed, other = started
    assert killed.stdout is not None
    for _ in range(3):
        last = int(killed.stdout.readline())
    killed.send_signal(signal.SIGKILL)
    done = [int(line) for line in killed.communicate()[0].split()]
    last = max([last, *done])
    other.kill()
    other.communicate()
    paths = set(LanceTable.opened(place).rows([PATH])[PATH].to_pylist())
    assert {entry.path for entry in entries(0, 50 * last + 100)} <= paths


def test_who_searches_sees_one_version(tmp_path: Path) -> None:
    place = f"lance:{tmp_path}/db"
    table = LanceTable.to_write(LancePlace.of(place), HEADER)
    table.upsert(entries(0, 100), vectors(100, 0))
    opened = open_gallery(place)
    query = vectors(1, 5)[0]
    before = opened.rank(query, 100)
    table.upsert(entries(50, 150, 1), vectors(100, 1))
    table.optimize()
    assert opened.rank(query, 100) == before
    assert (opened.is_current(), len(opened), len(open_gallery(place))) == (False, 100, 150)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_storage("galleries"):
        yield "s3://galleries"


def test_a_gallery_in_a_bucket(people: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = f"lance:{bucket}/people"
    build_gallery([str(people)], people / ".ctgi", ENCODER, SETTINGS)
    assert build_gallery([str(people)], place, ENCODER, SETTINGS).added == 8
    assert build_gallery([str(people)], Path(place), ENCODER, SETTINGS).reused == 8
    folder, lance = open_gallery(people, ENCODER), open_gallery(Path(place), ENCODER)
    assert lance.name == place
    assert lance.search("a man", 8).candidates == folder.search("a man", 8).candidates
    assert lance.home.is_relative_to(tmp_path / "state")
    assert kind_of(place).damage_of(Path(place)) == []


@pytest.mark.slow
def test_writers_of_one_bucket(bucket: str) -> None:
    place = f"lance:{bucket}/shared"
    started = writers(place, 3, 4)
    begin(started)
    assert finish(started) == [0, 0, 0]
    paths = LanceTable.opened(LancePlace.of(place)).rows([PATH])[PATH].to_pylist()
    assert sorted(paths) == [entry.path for entry in entries(0, 250)]


@pytest.mark.slow
def test_faults_of_a_bucket_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CtgiError, match=r"^lance:s3://nowhere/people: there is no such bucket: "):
        open_gallery("lance:s3://nowhere/people")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(CtgiError, match=r"^lance:s3://galleries/people: its server cannot be reached"):
        open_gallery("lance:s3://galleries/people")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(CtgiError, match=r'needs lancedb, which is not installed: pip install "ctgi\[lance\]"$'):
        open_gallery("lance:s3://galleries/people")


def test_an_index_finds_what_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "INDEX_ROWS", 3000)
    monkeypatch.setattr(tables, "LIST_ROWS", 500)
    place = f"lance:{tmp_path}/db"
    header = TableHeader("double:rows", "rows", 64, "float16", "/people")
    table = LanceTable.to_write(LancePlace.of(place), header)
    people = np.repeat(vectors(400, 0, 64), 10, axis=0)
    rows = people + 0.05 * vectors(4000, 1, 64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for first in range(0, 4000, 1000):
        table.upsert(entries(first, first + 1000), rows[first : first + 1000])
    exact = open_gallery(place)
    assert "indexed: vectors and 2 columns" in kind_of(place).optimize(Path(place))
    table.upsert(entries(4000, 4100), vectors(100, 1, 64))
    table.delete([entry.path for entry in entries(4000, 4100)])
    indexed = open_gallery(place)
    for query in rows[::400]:
        assert indexed.rank(query, 10) == exact.rank(query, 10)
    told = kind_of(place).optimize(Path(place))
    assert "files of rows: 1" in told
    assert "nothing new" in told
