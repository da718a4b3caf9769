"""A trace that ctgi 0.1.0 wrote, of one image that was captioned and one file that is no image."""

import shutil
from pathlib import Path

import pytest

from tests.support.commands import Run
from tests.support.traces import FOLDER, lines

ASSET = Path(__file__).parents[1] / "assets" / "trace_of_0_1_0.jsonl"


@pytest.fixture
def old() -> str:
    """The run's name, in the folder of traces."""
    FOLDER.mkdir(parents=True)
    shutil.copy(ASSET, FOLDER / "old.jsonl")
    return "old"


def test_it_is_shown_with_what_failed(ctgi: Run, old: str) -> None:
    assert lines(old)[-1]["status"] == "done"
    (row,) = ctgi("trace", "list", "--json").json
    assert (row["status"], row["items"], row["problems"]) == ("done with 1 failed", 2, [])
    shown = ctgi("trace", "show", old)
    assert (shown.code, shown.out.count("answer_question")) == (0, len(_calls(old, "answer_question")) + 1)
    assert "people/0002.jpg" in shown.out


def test_it_is_replayed_or_says_what_is_otherwise(ctgi: Run, old: str) -> None:
    done = ctgi("trace", "replay", old, "--accept-changes", "--out", "again.jsonl", "--json")
    assert done.code in (0, 1), done.err
    report = done.json
    assert report["items"] == 2
    assert report["served"] > 0
    assert report["identical"] + len(report["changed"]) + len(report["failed"]) == 2
    again = ctgi("trace", "show", report["trace"], "--json").json
    assert again["header"]["replay"]["of"] == report["of"]


def _calls(run: str, tool: str) -> list[object]:
    return [line for line in lines(run) if line["t"] == "call" and line["tool"] == tool]
