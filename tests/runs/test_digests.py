"""What counts as changed code between a recording and its replay."""

import json
from pathlib import Path

import pytest

from ctgi.runs.digests import changes, digests, executed

ASSET = Path(__file__).parents[1] / "assets" / "trace_of_0_1_0.jsonl"
MODULE = b'''"""Counts."""

from ctgi.graphs.turn import Turn

LIMIT = 3
"""Turns."""


def left(turns: list[Turn]) -> int:
    """How many are left."""
    return LIMIT - len(turns)
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"LIMIT = 3", b"LIMIT = 3  # at most"),
        (b'"""Counts."""', b'"""Counts the turns that are left."""'),
        (b'    """How many are left."""\n', b""),
        (b'"""Turns."""', b""),
        (b"def left(turns: list[Turn])", b"def left(\n    turns: list[Turn],\n)"),
        (b"ctgi.graphs.turn", b"ctgi.graphs.steps"),
    ],
    ids=["comment", "docstring", "no docstring", "attribute's docstring", "layout", "moved module"],
)
def test_the_same_is_executed(before: bytes, after: bytes) -> None:
    assert before in MODULE
    assert executed(MODULE.replace(before, after)) == executed(MODULE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"LIMIT = 3", b"LIMIT = 4"),
        (b"LIMIT - len", b"LIMIT + len"),
        (b"import Turn", b"import Other as Turn"),
        (b"from ctgi.graphs.turn", b"from turns"),
        (b"def left", b"async def left"),
    ],
)
def test_something_else_is_executed(before: bytes, after: bytes) -> None:
    assert before in MODULE
    assert executed(MODULE.replace(before, after)) != executed(MODULE)


def test_a_module_that_moved_is_as_it_was_and_one_that_changed_is_named() -> None:
    then = {"prompts/ask.txt": "1", "graphs/turn.py": "ast:a", "graphs/mtg.py": "ast:b", "tools/x.py": "ast:c"}
    moved = {"prompts/ask.txt": "1", "graphs/steps.py": "ast:a", "runs/mtg.py": "ast:b", "tools/x.py": "ast:c"}
    assert changes(then, moved) == []
    assert changes(then, moved | {"tools/x.py": "ast:d"}) == ["tools/x.py"]
    assert changes(then, moved | {"prompts/ask.txt": "2"}) == ["prompts/ask.txt"]
    assert changes(then, {name: one for name, one in moved.items() if name != "runs/mtg.py"}) == ["graphs/mtg.py"]


def test_of_a_trace_of_an_earlier_ctgi_only_prompts_and_pool_can_be_compared() -> None:
    then = json.loads(ASSET.read_text().splitlines()[0])["digests"]
    now = digests(None)
    changed = changes(then, now)
    assert "code" in changed
    assert not [name for name in changed if name.endswith(".py")]
    assert ("prompts/answer.txt" in changed) == (then["prompts/answer.txt"] != now["prompts/answer.txt"])
    assert changes(now, now) == []
