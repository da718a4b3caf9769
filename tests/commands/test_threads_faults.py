"""Threads files from somebody else, damaged ones, and disks that take nothing more."""

import io
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ormsgpack
import pytest

from tests.support.commands import Done, Run

KEYS = ormsgpack.OPT_NON_STR_KEYS


@pytest.fixture
def bind(tiny_clip: Path) -> list[str]:
    return ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]


@pytest.fixture
def say(ctgi: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(typed: str, *arguments: object) -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return ctgi(*arguments)

    return run


@pytest.fixture
def asking(say: Run, people: Path, bind: list[str]) -> Path:
    """A gallery with a search called `mine` that waits at its second question."""
    done = say("red\n", "search", "a man", "-g", people, *bind, "-i", "--thread", "mine")
    assert "standard input is closed" in done.err
    return people


def commands(gallery: Path, bind: list[str]) -> list[tuple[object, ...]]:
    return [
        ("threads", "list", "-g", gallery),
        ("threads", "show", "mine", "-g", gallery),
        ("threads", "fork", "mine", 3, "-g", gallery, *bind, "-a", "stop"),
        ("search", "-g", gallery, *bind, "-i", "--thread", "mine", "--no-trace"),
    ]


def call(code: int, *what: object) -> ormsgpack.Ext:
    return ormsgpack.Ext(code, ormsgpack.packb(what, option=KEYS))


def touching(mark: Path) -> list[tuple[str, Any]]:
    """One value for each kind of object that LangGraph's own serializer brings back, nested ones too."""
    command = f"touch {mark}"
    system = call(0, "os", "system", command)
    return [
        ("msgpack", system),
        ("msgpack", call(1, "os", "system", [command])),
        ("msgpack", call(2, "os", "system", {"command": command})),
        ("msgpack", call(3, "os", "system", command, "__call__")),
        ("msgpack", call(4, "subprocess", "Popen", {"args": ["touch", str(mark)]})),
        ("msgpack", call(5, "subprocess", "Popen", {"args": ["touch", str(mark)]}, "model_validate_json")),
        ("msgpack", ormsgpack.Ext(6, ormsgpack.packb(["|u1", [1], "C", system]))),
        ("msgpack", ormsgpack.Ext(7, ormsgpack.packb(system))),
        ("msgpack", call(2, "langgraph.types", "Interrupt", {"value": system, "id": "1"})),
        ("msgpack", [{"a": system}]),
        ("json", {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [command]}),
        ("pickle", None),
    ]


def packed(kind: str, value: Any, mark: Path) -> bytes:
    if kind == "pickle":
        return b"cos\nsystem\n(S'touch " + os.fsencode(mark) + b"'\ntR."
    if kind == "json":
        import json

        return json.dumps({"query": value}).encode()
    return ormsgpack.packb(value, option=KEYS)


@pytest.mark.parametrize("table", ["checkpoints", "writes"])
def test_a_file_from_somebody_else_runs_nothing(
    ctgi: Run, asking: Path, bind: list[str], tmp_path: Path, table: str
) -> None:
    mark, file = tmp_path / "ran", asking / ".ctgi" / "threads.sqlite"
    whole = file.read_bytes()
    for number, (kind, value) in enumerate(touching(mark)):
        file.write_bytes(whole)
        column = "checkpoint" if table == "checkpoints" else "value"
        if table == "checkpoints" and value:
            value = {"v": 4, "id": "1", "channel_values": {"query": value}}
        connection = sqlite3.connect(file)
        connection.execute(f"UPDATE {table} SET type = ?, {column} = ?", (kind, packed(kind, value, mark)))
        connection.commit()
        connection.close()
        for command in commands(asking, bind)[: 4 if number == 0 else 1]:
            done = ctgi(*command)
            assert not mark.exists()
            assert done.code == 2, (number, command)
            assert "cannot be read" in done.err.replace("\n", " ")


def test_only_a_waiting_question_is_brought_back_as_an_object() -> None:
    from langgraph.types import Interrupt

    from ctgi.graphs.thread_data import PlainData

    plain = PlainData()
    asked = [Interrupt(value={"question": "Which color?", "left": 2}, id="a")]
    assert plain.loads_typed(plain.dumps_typed(asked)) == asked
    assert plain.loads_typed(plain.dumps_typed({"a": [1, None, "b", 0.5]})) == {"a": [1, None, "b", 0.5]}
    for foreign in (Path("x"), {1, 2}, b"bytes", bytearray(b"x")):
        with pytest.raises(ValueError, match=r"no plain data|of the type"):
            plain.loads_typed(plain.dumps_typed(foreign))


FAULTS: dict[str, Callable[[Path], None]] = {
    "random bytes": lambda file: (file.write_bytes(random.Random(1).randbytes(20_000)), None)[1],
    "cut off": lambda file: os.truncate(file, 5000),
    "a column is missing": lambda file: sql(file, "ALTER TABLE checkpoints RENAME COLUMN checkpoint TO other"),
    "a trigger": lambda file: sql(file, "CREATE TRIGGER t AFTER INSERT ON writes BEGIN DELETE FROM checkpoints; END"),
    "a view": lambda file: sql(file, "DROP TABLE checkpoints; CREATE VIEW checkpoints AS SELECT 'mine' AS thread_id"),
    "no bytes": lambda file: sql(file, "UPDATE checkpoints SET checkpoint = 7"),
    "another type": lambda file: sql(file, "UPDATE checkpoints SET type = 'other'"),
    "no type": lambda file: sql(file, "UPDATE checkpoints SET type = NULL"),
    "a name of bytes": lambda file: sql(file, "UPDATE checkpoints SET parent_checkpoint_id = x'ff'"),
    "no metadata": lambda file: sql(file, "UPDATE checkpoints SET metadata = NULL"),
    "metadata of another kind": lambda file: sql(file, "UPDATE checkpoints SET metadata = '[]'"),
    "metadata not text": lambda file: sql(file, "UPDATE checkpoints SET metadata = x'ff'"),
    "two questions at once": lambda file: sql(
        file,
        "INSERT INTO writes SELECT thread_id, checkpoint_ns, checkpoint_id, 'x', task_path, idx, channel, type, value "
        "FROM writes WHERE channel = '__interrupt__'",
    ),
    "writes without a value": lambda file: sql(file, "UPDATE writes SET value = NULL, type = 'msgpack'"),
    "writes to another channel": lambda file: sql(file, "UPDATE writes SET channel = 'query'"),
    "tasks of another graph": lambda file: sql(file, "UPDATE writes SET channel = '__pregel_tasks'"),
}


def sql(file: Path, script: str) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.close()


def test_a_damaged_file_is_one_message(ctgi: Run, asking: Path, bind: list[str]) -> None:
    file = asking / ".ctgi" / "threads.sqlite"
    whole = file.read_bytes()
    for fault, damage in FAULTS.items():
        file.write_bytes(whole)
        damage(file)
        for command in commands(asking, bind):
            done = ctgi(*command)
            assert done.code == 2, (fault, command, done)
            (line,) = done.err.splitlines()
            assert line.startswith("ctgi: ")
            assert "threads.sqlite" in line


def test_a_state_that_lacks_something_is_one_message(ctgi: Run, asking: Path, bind: list[str]) -> None:
    file = asking / ".ctgi" / "threads.sqlite"
    whole = file.read_bytes()
    for channel in ("query", "length", "ranking", "calls", "questions"):
        file.write_bytes(whole)
        connection = sqlite3.connect(file)
        rows = connection.execute("SELECT rowid, checkpoint FROM checkpoints ORDER BY checkpoint_id").fetchall()
        latest, state = rows[-1][0], ormsgpack.unpackb(rows[-1][1], option=KEYS)
        del state["channel_values"][channel]
        connection.execute("UPDATE checkpoints SET checkpoint = ? WHERE rowid = ?", (ormsgpack.packb(state), latest))
        connection.commit()
        connection.close()
        for command in commands(asking, bind):
            done = ctgi(*command)
            assert done.code == 2
            assert "threads.sqlite: its interactive searches cannot be read" in done.err.replace("\n", " ")


def test_a_file_of_another_graph_is_one_message(ctgi: Run, asking: Path, bind: list[str]) -> None:
    import asyncio

    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import START, StateGraph

    file = asking / ".ctgi" / "threads.sqlite"
    file.unlink()

    async def other() -> None:
        async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
            graph: Any = StateGraph(dict)
            graph.add_node("add", lambda state: {"total": 1})
            graph.add_edge(START, "add")
            await graph.compile(checkpointer=saver).ainvoke({"total": 0}, {"configurable": {"thread_id": "mine"}})

    asyncio.run(other())
    for command in commands(asking, bind):
        done = ctgi(*command)
        assert done.code == 2, done
        assert "not one that ctgi search --interactive wrote" in done.err.replace("\n", " ")


def test_listing_and_showing_leave_the_file_alone(ctgi: Run, asking: Path) -> None:
    file = asking / ".ctgi" / "threads.sqlite"
    before = {entry.name: entry.read_bytes() for entry in file.parent.iterdir()}
    assert ctgi("threads", "list", "-g", asking).code == 0
    assert ctgi("threads", "show", "mine", "-g", asking).code == 0
    assert {entry.name: entry.read_bytes() for entry in file.parent.iterdir()} == before


def test_a_search_that_cannot_be_kept_is_one_message(say: Run, people: Path, bind: list[str], ctgi: Run) -> None:
    assert ctgi("index", people, *bind).code == 0
    (people / ".ctgi" / "threads.sqlite").mkdir()  # whoever runs it, root too, cannot open it
    done = say("red\nstop\n", "search", "a man", "-g", people, *bind, "-i", "--no-trace")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "unable to open database file" in done.err
    assert "make its folder writable" in done.err


def test_a_full_disk_is_one_message(people: Path, bind: list[str], ctgi: Run) -> None:
    assert ctgi("index", people, *bind).code == 0
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000)); from ctgi.cli import main; main()"
    )
    search = ("search", "a man", "-g", people, *bind, "-i", "--no-trace", "--no-cache")
    command = [sys.executable, "-c", code, *map(str, search)]
    done = subprocess.run(command, input="red\nstop\n", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "threads.sqlite: the dialogue cannot be kept or read here" in done.stderr
