import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctgi.testing import ScriptedServer
from tests.support.commands import Run
from tests.support.looking_model import look
from tests.support.tiny_clip import save_people


@pytest.fixture
def bind(double: ScriptedServer) -> list[str]:
    double.replies = look
    return ["-b", f"images=vllm:double@{double.url}"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ctgi" / "replies.sqlite"


def captions(path: str) -> list[tuple[str, str]]:
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return sorted((record["path"], record["caption"]) for record in records)


def test_the_same_images_again_cost_no_calls_and_say_so(
    ctgi: Run, bind: list[str], people: Path, double: ScriptedServer, file: Path
) -> None:
    first = ctgi("caption", people, *bind, "-o", "a.jsonl", "--json").json
    assert (first["calls"], first["cached"]) == (len(double.seen), 0)
    assert first["tokens"]["input"] > 0
    asked = len(double.seen)
    again = ctgi("caption", people, *bind, "-o", "b.jsonl", "--json").json
    assert len(double.seen) == asked
    assert (again["calls"], again["cached"]) == (0, asked)
    assert again["tokens"] == {"input": 0, "output": 0}
    assert captions("b.jsonl") == captions("a.jsonl")
    told = ctgi("caption", people, *bind, "-o", "c.jsonl").out
    assert f"0 calls with 0 input and 0 output tokens, {asked} more answered from the cache" in told
    assert file.is_file()
    trace = ctgi("trace", "show", again["trace"], "--json").out
    assert trace.count('"src": "cache"') == asked


def test_more_turns_ask_only_what_is_new(ctgi: Run, bind: list[str], people: Path) -> None:
    short = ctgi("caption", people, *bind, "-o", "a.jsonl", "--turns", 2, "--json").json
    longer = ctgi("caption", people, *bind, "-o", "b.jsonl", "--turns", 3, "--json").json
    assert longer["cached"] == short["calls"]
    assert longer["calls"] == 8


@pytest.mark.parametrize("how", ["option", "toml"])
def test_it_can_be_turned_off(
    how: str, ctgi: Run, bind: list[str], people: Path, double: ScriptedServer, file: Path
) -> None:
    if how == "toml":
        Path("ctgi.toml").write_text("[cache]\nenabled = false\n")
    off = ["--no-cache"] if how == "option" else []
    for name in ("a.jsonl", "b.jsonl"):
        before = len(double.seen)
        report = ctgi("caption", people, *bind, *off, "-o", name, "--json").json
        assert (report["calls"], report["cached"]) == (len(double.seen) - before, 0)
        assert report["calls"] > 8
    assert not file.exists()
    assert "(off)" in ctgi("cache", "stats").out if how == "toml" else True


def test_a_search_made_again_and_a_check_that_is_never_answered_from_it(
    ctgi: Run, bind: list[str], people: Path, double: ScriptedServer, tiny_clip: Path
) -> None:
    command = ("search", "a person in a red shirt", "-g", people, *bind)
    command += ("-b", f"search_gallery=open_clip:local-dir:{tiny_clip}", "--json")
    first = ctgi(*command)
    assert first.json["cached"] == 0
    asked = len(double.seen)
    again = ctgi(*command)
    assert len(double.seen) == asked
    assert again.json["cached"] == asked
    assert again.json["calls"] == first.json["calls"]  # what the search takes, whoever answers
    assert [found["path"] for found in again.json["results"]] == [found["path"] for found in first.json["results"]]
    assert f"{asked} of {asked} replies came from the cache" in again.err
    for _ in range(2):
        before = len(double.seen)
        ctgi("tools", "check", *bind)
        assert len(double.seen) > before


def test_stats_and_clear(ctgi: Run, bind: list[str], people: Path, double: ScriptedServer, file: Path) -> None:
    empty = ctgi("cache", "stats", "--json").json
    assert (empty["replies"], empty["file"], empty["limit_bytes"]) == (0, str(file), 512 * 2**20)
    assert not file.exists()
    ctgi("caption", people, *bind, "-o", "a.jsonl")
    stats = ctgi("cache", "stats", "--json").json
    backend = f"vllm:double@{double.url}"
    assert (stats["replies"], stats["backends"]) == (len(double.seen), {backend: len(double.seen)})
    assert stats["bytes"] > 4096
    told = ctgi("cache", "stats").out
    assert backend in told
    assert "512 MiB" in told
    assert ctgi("cache", "clear", "--json").json["removed"] == len(double.seen)
    assert ctgi("cache", "clear").out == "0 replies removed\n"
    assert ctgi("caption", people, *bind, "-o", "b.jsonl", "--json").json["cached"] == 0


def test_another_place_and_size(ctgi: Run, bind: list[str], people: Path, file: Path) -> None:
    Path("ctgi.toml").write_text('[cache]\nfile = "here.sqlite"\nmax_mb = 1\n')
    ctgi("caption", people, *bind, "-o", "a.jsonl")
    assert ctgi("cache", "stats", "--json").json["limit_bytes"] == 2**20
    assert Path("here.sqlite").is_file()
    assert not file.exists()


def test_a_damaged_cache_is_said_by_stats_and_mended_by_the_next_run(
    ctgi: Run, bind: list[str], people: Path, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nothing that SQLite knows " * 200)
    stats = ctgi("cache", "stats")
    assert stats.code == 2
    assert "cannot be opened" in stats.err.replace("\n", " ")
    assert ctgi("caption", people, *bind, "-o", "a.jsonl").code == 0
    assert "was damaged" in caplog.text
    assert ctgi("cache", "stats", "--json").json["replies"] > 0


def test_processes_share_it_while_they_run(ctgi: Run, bind: list[str], double: ScriptedServer, tmp_path: Path) -> None:
    folders = [save_people(tmp_path / name) for name in ("one", "two")]
    program = "from ctgi.cli import main; main()"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, "caption", str(folder), *bind, "-o", f"{folder.name}.jsonl", "--json"],
            stdout=subprocess.PIPE, env=os.environ,
        )
        for folder in folders
    ]  # fmt: skip
    reports = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(report["calls"] for report in reports) == len(double.seen)
    stats = ctgi("cache", "stats", "--json").json
    assert stats["replies"] == reports[0]["calls"] + reports[0]["cached"]
    done = ctgi("caption", *folders, *bind, "-o", "all.jsonl", "--json").json
    assert done["calls"] == 0
