import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from ctgi.errors import CtgiError
from ctgi.synth.table import open_table, read_rows

ROWS = [{"id": 0, "path": f"imgs/{view}.jpg", "split": "train", "captions": ["a man"]} for view in range(2)]
NEXT = [row | {"id": 1} for row in ROWS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "attributes.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))  # editors leave the last line so
    return path


def test_a_last_row_without_line_feed_is_a_row(path: Path) -> None:
    assert list(read_rows(path)) == ROWS
    with open_table(path, views=2) as table:
        assert table.people == 1
        table.append(NEXT)
    assert list(read_rows(path)) == ROWS + NEXT


def test_a_person_that_a_kill_left_incomplete_is_drawn_again(path: Path) -> None:
    with path.open("a") as file:
        file.write("\n" + json.dumps(NEXT[0]) + "\n" + json.dumps(NEXT[1])[:20])
    with open_table(path, views=2) as table:
        assert table.people == 1
    assert path.read_text() == "\n".join(map(json.dumps, ROWS)) + "\n"


@pytest.mark.parametrize("line", ["[" * 100_000, "[1]", '{"id": 1}', '{"id": 1,}'])
def test_a_line_that_is_no_row_is_named(path: Path, line: str) -> None:
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(CtgiError, match=r"table .*attributes\.jsonl, line 3: "):
        list(read_rows(path))


def test_without_locks_it_goes_on_with_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with open_table(path, views=2) as table:
        assert table.people == 1
    assert "this file system has no locks" in caplog.text
