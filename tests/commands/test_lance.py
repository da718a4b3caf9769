"""Galleries on LanceDB in the commands: the same commands and results as with a folder."""

import json
import resource
from pathlib import Path

import pytest

from ctgi.retrieval.finding import find_sources
from ctgi.runs.events import Logged
from ctgi.runs.manifest import Manifest
from tests.support.commands import Run


@pytest.fixture(autouse=True)
def _here(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def found(run: Run, *words: object) -> list[tuple[str, float]]:
    done = run("search", "a man in red", "--no-mti", "-k", "3", "--json", *words)
    assert done.code == 0, done.err
    return [(Path(one["path"]).name, round(one["score"], 5)) for one in done.json["results"]]


def test_index_and_search(ctgi: Run, people: Path) -> None:
    (people / "seen.csv").write_text("path,camera\n" + "".join(f"{one.name},north\n" for one in people.glob("*.png")))
    folder = ctgi("index", people, "--metadata", people / "seen.csv", "--json")
    lance = ctgi("index", people, "--metadata", people / "seen.csv", "--out", "lance:db", "--json")
    assert (lance.code, lance.json["folder"], lance.json["columns"]) == (0, "lance:db", ["camera"])
    for name in ("total", "added", "encoded", "unmatched", "encoder"):
        assert lance.json[name] == folder.json[name]
    assert found(ctgi) == found(ctgi, "-g", "lance:db") == found(ctgi, "-g", people)
    narrow = ["--where", "camera = 'north'"]
    assert found(ctgi, "-g", "lance:db", *narrow) == found(ctgi, "-g", people, *narrow)
    assert ctgi("threads", "list", "-g", "lance:db", "--json").code == 0


def test_keeping_house(ctgi: Run, people: Path) -> None:
    assert ctgi("index", people, "--out", "lance:db", "-q").code == 0
    optimized = ctgi("index", "--optimize", "lance:db", "--json")
    assert optimized.json[0]["gallery"] == "lance:db"
    assert "searched exactly" in optimized.json[0]["done"]
    assert ctgi("index", "--check", "lance:db", "--json").json == {"galleries": ["lance:db"], "damage": []}
    copy = ctgi("gallery", "copy", "lance:db", "copied", "--json")
    assert (copy.code, copy.json["images"], copy.json["failed"]) == (0, 8, [])
    assert found(ctgi, "-g", "copied") == found(ctgi, "-g", "lance:db")
    assert json.loads((Path("copied") / "gallery.json").read_text())["count"] == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "a man", "-g", "lance:nowhere"], "lance:nowhere: no gallery here: make one with ctgi index IMAGES"),
        (["index", "PEOPLE", "--out", "lance:"], "lance: expected a folder or an address behind it"),
        (["index", "PEOPLE", "--out", "lance:db", "--index", "HNSW32"], "is for faiss"),
        (["index", "--optimize", "lance:nowhere"], "lance:nowhere: no gallery here"),
        (["index", "--optimize", "--check", "lance:nowhere"], "one of them at a time"),
        (["gallery", "copy", "lance:nowhere", "there"], "lance:nowhere: no gallery here"),
        (["gallery", "copy", "npy:PEOPLE", "there"], "as clip-retrieval writes them"),
        (
            ["gallery", "copy", "s3://some/p", "there"],
            "s3://some/p: expected a folder; a gallery in a bucket is named lance:s3://some/p",
        ),
    ],
)
def test_faults_are_one_line(ctgi: Run, people: Path, words: list[str], told: str) -> None:
    done = ctgi(*(word.replace("PEOPLE", str(people)) for word in words))
    assert (done.code, told in done.err, done.err.count("\n")) == (2, True, 1), done.err


def test_the_kinds_are_not_taken_for_each_other(ctgi: Run, people: Path) -> None:
    assert ctgi("index", people, "--out", "lance:db", "-q").code == 0
    assert ctgi("index", people, "--out", "folder", "-q").code == 0
    Path("file").write_text("")
    before = sorted(Path().rglob("*"))
    lance, folder = (
        "a gallery on LanceDB: name it lance:db",
        "a gallery in a folder, not on LanceDB: name it folder, or",
    )
    for words, told in [
        (["search", "a man", "-g", "db"], lance),
        (["index", people, "--out", "db"], lance),
        (["index", "--check", "db"], lance),
        (["index", "--optimize", "db"], lance),
        (["gallery", "copy", "folder", "db"], lance),
        (["search", "a man", "-g", "lance:folder"], folder),
        (["index", people, "--out", "lance:folder"], folder),
        (["gallery", "copy", "lance:db", "lance:folder"], folder),
        (["index", people, "--out", "lance:file"], "lance:file: this is a file: name a folder"),
    ]:
        done = ctgi(*words)
        assert (done.code, told in done.err, done.err.count("\n")) == (2, True, 1), done.err
    assert sorted(Path().rglob("*")) == before


def test_two_galleries_in_a_folder_are_told_apart(ctgi: Run, people: Path) -> None:
    assert ctgi("index", people, "--out", "both", "-q").code == 0
    assert ctgi("gallery", "copy", "both", "lance:db", "-q").code == 0
    (Path("db") / "gallery.lance").rename("both/gallery.lance")
    for name in ("both", "lance:both"):
        for words in (["search", "a man", "-g", name], ["index", people, "--out", name]):
            done = ctgi(*words)
            assert (done.code, done.err.count("\n")) == (2, 1), done.err
            assert "both: two galleries, one in the folder and one on LanceDB: copy the one you want" in done.err
        assert ctgi("gallery", "copy", name, f"{name}{len(name)}", "-q").code == 0
        assert ctgi("search", "a man", "-g", f"{name}{len(name)}", "--no-mti", "-q").code == 0


def test_how_far_a_gallery_is_that_nodes_fill(ctgi: Run, people: Path) -> None:
    """Two of eight images are in it, one of them has changed since, and one that is in it is not on the list."""
    some = [people / "0_a.png", people / "1_a.png"]
    assert "db.manifest.jsonl: no such file" in ctgi("gallery", "status", "lance:db").err
    assert "name one, like lance:people" in ctgi("gallery", "status", "db").err
    (people / "1_b.png").rename("elsewhere.png")
    manifest = Manifest(Path("db.manifest.jsonl"), {})
    manifest.update([*find_sources([str(people)])], Logged())
    assert ctgi("gallery", "status", "lance:db").out == "0 of 7 images are in lance:db (0.0 %); not begun\n"
    some[1].write_bytes(some[1].read_bytes() + b"x")
    assert ctgi("index", *some, "elsewhere.png", "--out", "lance:db", "-q").code == 0
    assert "1 of 7 images are in lance:db (14.3 %); last commit " in ctgi("gallery", "status", "lance:db").out
    told = ctgi("gallery", "status", "lance:db", "--json").json
    assert (told | {"idle_s": 0}) == {"gallery": "lance:db", "images": 7, "indexed": 1, "idle_s": 0}
    assert 0 <= told["idle_s"] < 300


@pytest.mark.parametrize("target", ["lance:db", "npy:db"])
def test_a_disk_that_takes_no_more_is_told(ctgi: Run, people: Path, target: str) -> None:
    assert ctgi("index", people, "--out", "folder", "-q").code == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        done = ctgi("gallery", "copy", "folder", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = "exceed the largest size" if target.startswith("lance") else "what is there is not whole: delete it"
    assert (done.code, told in done.err, done.err.count("\n")) == (2, True, 1), done.err
