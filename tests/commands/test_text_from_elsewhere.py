"""Text files of every origin, file systems without locks and users without a home, through the commands."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from ctgi.testing import Reply, ScriptedServer
from tests.support.commands import Run


@pytest.fixture
def bind(double: ScriptedServer) -> list[str]:
    double.replies = lambda seen: Reply("A man in a red shirt." if len(seen.prompts) == 1 else "white sneakers")
    return ["--bind", f"images=vllm:double@{double.url}"]


def test_a_correction_in_a_last_line_without_line_feed_is_kept_and_asked_for_once(
    ctgi: Run, bind: list[str], double: ScriptedServer, people: Path
) -> None:
    assert ctgi("caption", people, *bind).code == 0
    out, asked = Path("captions.jsonl"), len(double.seen)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    rows[-1]["caption"] = "CORRECTED BY HAND"
    out.write_text("\n".join(map(json.dumps, rows)))
    again = ctgi("caption", people, *bind, "--json").json
    assert (again["already"], again["captioned"], len(double.seen)) == (8, 0, asked)
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows


def test_captions_go_on_without_locks_or_stop(
    ctgi: Run, bind: list[str], people: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    done = ctgi("caption", people, *bind)
    assert done.code == 0
    assert caplog.text.count("this file system has no locks (No locks available): going on without") == 1
    monkeypatch.setenv("CTGI_WITHOUT_LOCKS", "stop")
    done = ctgi("caption", people, *bind)
    assert done.code == 2
    assert "choose a place on a local disk" in done.err


@pytest.mark.parametrize("command", [["caption", "."], ["caption", ".", "--dry-run"], ["search", "a man", "-i"]])
@pytest.mark.parametrize(("pool", "cause"), [("none.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_question_pool_that_is_not_there_is_named(
    ctgi: Run, people: Path, command: list[str], pool: str, cause: str
) -> None:
    os.chdir(people)
    assert ctgi("index", ".").code == 0
    Path("ctgi.toml").write_text(f'[mtg]\nquestion_pool = "{pool}"\n')
    done = ctgi(*command)
    assert (done.code, done.err.splitlines()[-1]) == (2, f"ctgi: question pool {pool}: {cause}")


def test_a_user_without_a_home_gets_captions_and_a_word_about_the_cache(
    ctgi: Run, bind: list[str], people: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_entry(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    done = ctgi("caption", people, *bind)
    assert done.code == 0
    assert "no home folder: replies are not cached" in caplog.text
    assert ctgi("index", people, "--out", "g").code == 0
    done = ctgi("cache", "stats")
    assert (done.code, "no home folder" in done.err) == (2, True)
    done = ctgi("search", "a man")
    assert (done.code, "-g FOLDER" in done.err) == (2, True)
