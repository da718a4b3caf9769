"""Names of files that are not UTF-8 come through every command and every file of ours as they are."""

import io
import json
import os
from pathlib import Path

import pytest

from ctgi.graphs.thread_data import PlainData
from ctgi.testing import Reply, ScriptedServer
from tests.support.commands import Run


@pytest.fixture
def crops(people: Path) -> Path:
    """The people in a folder and files whose names are in Latin-1."""
    folder = people.with_name(os.fsdecode(b"b\xe9b\xe9"))
    people.rename(folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / os.fsdecode(b"caf\xe9%d.png" % number))
    return folder


@pytest.fixture
def bind(double: ScriptedServer, tiny_clip: Path) -> list[str]:
    double.replies = lambda seen: Reply("A man in a red shirt." if len(seen.prompts) == 1 else "white sneakers")
    return ["-b", f"images=vllm:double@{double.url}", "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]


def test_captions_and_their_export_name_the_files(ctgi: Run, bind: list[str], crops: Path) -> None:
    run = ctgi("caption", crops, *bind, "--export", "rstp", "--json").json
    records = [json.loads(line) for line in Path("captions.jsonl").read_text().splitlines()]
    assert sorted(record["path"] for record in records) == sorted(str(path) for path in crops.iterdir())
    exported = json.loads(Path(run["exported"][0]).read_text())
    assert sorted(entry["img_path"] for entry in exported) == sorted(path.name for path in crops.iterdir())
    again = ctgi("caption", crops, *bind, "--json").json
    assert (again["already"], again["captioned"]) == (8, 0)


def test_a_search_its_page_and_its_trace_name_the_files(ctgi: Run, bind: list[str], crops: Path) -> None:
    paths = {str(path) for path in crops.iterdir()}
    assert ctgi("index", crops, *bind).code == 0
    done = ctgi("search", "a man", *bind, "--no-mti", "--html", "page.html", "--json")
    assert done.code == 0, done.err
    assert {found["path"] for found in done.json["results"]} <= paths
    assert "caf\\udce90.png" in Path("page.html").read_text()
    shown = ctgi("trace", "show", "last", "--json")
    assert shown.code == 0, shown.err
    assert "edited" not in shown.out + shown.err
    replayed = ctgi("trace", "replay", "last", *bind)
    assert replayed.code == 0, replayed.err
    assert "1 identical" in replayed.out


def test_a_search_that_is_gone_on_with_names_the_files(
    ctgi: Run, bind: list[str], crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {str(path) for path in crops.iterdir()}
    assert ctgi("index", crops, *bind).code == 0
    interactive = ["search", "a man", "-g", crops, *bind[2:], "-i", "--thread", "mine", "--json"]
    monkeypatch.setattr("sys.stdin", io.StringIO("red\n"))
    assert ctgi(*interactive).code == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("jeans\nstop\n"))
    done = ctgi("search", "-g", crops, *bind[2:], "-i", "--thread", "mine", "--json")
    assert done.code == 0, done.err
    assert {found["path"] for found in done.json["results"]} <= paths
    assert ctgi("threads", "show", "mine", "-g", crops).code == 0


@pytest.mark.parametrize("text", ["caf\udce9", "\0", '\0"a"', "a\0b", "é人"])
def test_a_thread_keeps_every_text(text: str) -> None:
    plain = PlainData()
    value = {"a": [{"path": text}], "b": text}
    assert plain.loads_typed(plain.dumps_typed(value)) == value
