"""The commands run as a user runs them: by their arguments, in a directory of their own."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from ctgi.cli import main
from ctgi.testing import ScriptedServer
from tests.support.commands import Done, Run
from tests.support.traces import images, wordy


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, home and environment; retries do not wait."""
    for name in [name for name in os.environ if name.startswith(("CTGI_", "OPENAI_", "OTEL_", "VLLM_"))]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__BACKOFF_S", "0.01")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ctgi(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one command in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["ctgi", *map(str, arguments)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def captioned(ctgi: Run, double: ScriptedServer, people: Path) -> str:
    """The run of a captioning of eight images and one copy."""
    double.replies = wordy()
    shutil.copy(people / "0_a.png", people / "copy.png")
    done = ctgi("caption", people, *images(double), "--json")
    assert done.code == 0, done.err
    run: str = done.json["trace"]
    return run


@pytest.fixture
def searching(double: ScriptedServer, tiny_clip: Path, people: Path) -> list[object]:
    double.replies = wordy()
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    return ["search", "a man in a coat", "-g", people, *images(double), "-b", clip, "-k", 5]
