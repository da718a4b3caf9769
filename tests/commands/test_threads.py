import io
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Done, Run


@pytest.fixture
def bind(tiny_clip: Path) -> list[str]:
    """Real retrieval; the person answers, so no model is bound."""
    return ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]


@pytest.fixture
def say(ctgi: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with these lines typed into it."""

    def run(typed: str, *arguments: object) -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return ctgi(*arguments)

    return run


@pytest.fixture
def talked(say: Run, people: Path, bind: list[str]) -> Path:
    """A gallery in which a search called `mine` was finished."""
    done = say("red\njeans\nstop\n", "search", "a man", "-g", people, *bind, "-i", "--thread", "mine", "--json")
    assert done.code == 0, done.err
    return people


def answers(result: Any) -> list[str]:
    return [turn["answer"] for turn in result["dialogue"]]


def waits_at(checkpoints: list[dict[str, Any]], question: str) -> int:
    """The number of the first checkpoint at which a question with this word was put."""
    return next(one["number"] for one in checkpoints if question in (one["asks"] or ""))


def test_threads_are_listed_with_where_they_stand(say: Run, ctgi: Run, talked: Path, bind: list[str]) -> None:
    assert say("blue\n", "search", "a woman", "-g", talked, *bind, "-i", "--thread", "open \x1b[31m").code == 2
    found = ctgi("threads", "list", "-g", talked, "--json").json
    assert [(one["name"], one["query"], one["answers"], one["finished"]) for one in found] == [
        ("open \x1b[31m", "a woman", ["blue"], False),
        ("mine", "a man", ["red", "jeans"], True),
    ]
    assert found[0]["asks"].endswith("?")
    assert found[1]["asks"] is None
    table = ctgi("threads", "list", "-g", talked)
    assert "finished" in table.out
    assert "asks: What" in table.out
    assert "\x1b" not in table.out


def test_the_checkpoints_say_what_was_asked_and_answered(ctgi: Run, talked: Path) -> None:
    found = ctgi("threads", "show", "mine", "-g", talked, "--json").json
    assert [one["number"] for one in found] == list(range(1, len(found) + 1))
    assert [one["after"] for one in found] == [None, *range(1, len(found))]
    nodes = ["retrieve", "propose", *["ask_person"] * 3, "aggregate", "rerank", None]
    assert [one["node"] for one in found] == nodes
    said = [(one["asks"].split()[1], one["answered"]) for one in found if one["asks"]]
    assert said == [("color", "red"), ("type", "jeans"), ("objects", "stop")]
    assert found[-1]["answers"] == ["red", "jeans"]
    assert "jeans" in found[-1]["refined_query"]
    assert all(one["at"].startswith("20") for one in found)
    table = ctgi("threads", "show", "mine", "-g", talked).out
    assert "? -> jeans" in table


def test_a_fork_asks_the_question_again_and_keeps_the_first_answer_beside_it(
    ctgi: Run, talked: Path, bind: list[str]
) -> None:
    before = ctgi("threads", "show", "mine", "-g", talked, "--json").json
    place = waits_at(before, "type of trousers")
    done = ctgi("threads", "fork", "mine", place, "-g", talked, *bind, "-a", "a skirt", "-a", "stop", "--json")
    assert done.code == 0, done.err
    assert answers(done.json) == ["red", "a skirt"]
    assert "skirt" in done.json["refined_query"]
    assert "jeans" not in done.json["refined_query"]
    after = ctgi("threads", "show", "mine", "-g", talked, "--json").json
    assert after[: len(before)] == before
    forked = after[len(before)]
    assert (forked["source"], forked["after"]) == ("fork", before[place - 1]["after"])
    assert forked["asks"] == before[place - 1]["asks"]
    assert forked["answered"] == "a skirt"
    assert ctgi("threads", "list", "-g", talked, "--json").json[0]["answers"] == ["red", "a skirt"]


@pytest.mark.parametrize("node", ["retrieve", "propose", "aggregate", "rerank"])
def test_any_checkpoint_can_be_gone_on_from(say: Run, ctgi: Run, talked: Path, bind: list[str], node: str) -> None:
    shown = ctgi("threads", "show", "mine", "-g", talked, "--json").json
    place = next(one["number"] for one in shown if one["node"] == node)
    done = say("green\nstop\n", "threads", "fork", "mine", place, "-g", talked, *bind, "--json")
    assert done.code == 0, done.err
    expected = ["red", "jeans"] if node in ("aggregate", "rerank") else ["green"]
    assert answers(done.json) == expected


def test_a_fork_is_gone_on_with_in_another_process(say: Run, ctgi: Run, talked: Path, bind: list[str]) -> None:
    place = waits_at(ctgi("threads", "show", "mine", "-g", talked, "--json").json, "color")
    fork = ("threads", "fork", "mine", place, "-g", talked, *bind)
    command = [sys.executable, "-c", "from ctgi.cli import main; main()", *map(str, fork)]
    done = subprocess.run(command, input="white\n", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2  # the terminal closed at the second question
    assert "standard input is closed" in done.stderr
    later = say("shorts\nstop\n", "search", "-g", talked, *bind, "-i", "--thread", "mine", "--json")
    assert later.code == 0, later.err
    assert answers(later.json) == ["white", "shorts"]


def test_what_cannot_be_gone_on_from_is_said(ctgi: Run, talked: Path, bind: list[str], tmp_path: Path) -> None:
    last = len(ctgi("threads", "show", "mine", "-g", talked, "--json").json)
    for arguments, words in (
        (("fork", "mine", last), "is the end"),
        (("fork", "mine", last + 1), f"expected 1 to {last}"),
        (("fork", "mine", 0), f"expected 1 to {last}"),
        (("fork", "other", 1), "no thread 'other'"),
        (("show", "other"), "no thread 'other'"),
    ):
        done = ctgi("threads", *arguments, "-g", talked, *(bind if arguments[0] == "fork" else ()))
        assert done.code == 2
        assert words in done.err.replace("\n", " ")
    (tmp_path / "empty").mkdir()
    assert "no gallery here" in ctgi("threads", "list", "-g", tmp_path / "empty").err


def test_a_gallery_without_threads_and_a_damaged_file(ctgi: Run, people: Path, bind: list[str]) -> None:
    ctgi("index", people, *bind)
    assert ctgi("threads", "list", "-g", people, "--json").json == []
    assert "no interactive searches yet" in ctgi("threads", "list", "-g", people).out
    assert "no interactive searches here" in ctgi("threads", "show", "mine", "-g", people).err.replace("\n", " ")
    assert not (people / ".ctgi" / "threads.sqlite").exists()
    (people / ".ctgi" / "threads.sqlite").write_bytes(b"no database at all" * 100)
    done = ctgi("threads", "list", "-g", people)
    assert done.code == 2
    assert "cannot be read" in done.err.replace("\n", " ")
    with sqlite3.connect(people / "other.sqlite") as connection:
        connection.execute("CREATE TABLE something (a)")
    (people / "other.sqlite").replace(people / ".ctgi" / "threads.sqlite")
    assert ctgi("threads", "list", "-g", people, "--json").json == []


def test_the_command_to_go_on_with_calls_the_same_models(say: Run, people: Path, bind: list[str]) -> None:
    """The cure printed is run as it stands."""
    done = say("red\n", "search", "a man", "-g", people, *bind, "-i", "--thread", "mine")
    printed = next(line for line in done.err.splitlines() if "to go on later: " in line)
    command = shlex.split(printed.partition("to go on later: ")[2])
    assert command[1:] == ["search", "--interactive", "--thread", "mine", "-g", str(people), "--bind", bind[1]]
    later = say("jeans\nstop\n", *command[1:], "--json")
    assert later.code == 0, later.err
    assert answers(later.json) == ["red", "jeans"]
