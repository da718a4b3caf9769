import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.commands import Run, start

LIMITED = """
import resource, sys
from ctgi.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (110_000, 110_000))
sys.argv[0] = "ctgi"
main()
"""


@pytest.fixture(autouse=True)
def _skia() -> None:
    pytest.importorskip("skia", reason="drawing people needs skia-python that loads", exc_type=ImportError)


def people(out: Path) -> int:
    table = out / "attributes.jsonl"
    return len({json.loads(line)["id"] for line in table.read_bytes().split(b"\n")[:-1]}) if table.exists() else 0


def test_a_data_set(ctgi: Run) -> None:
    done = ctgi("synth", "out", "--identities", 4, "--test", 1, "--workers", 1, "--json")
    assert done.code == 0, done.err
    assert done.json == {
        "out": "out", "seed": 0, "identities": 4, "images": 20, "captions": 40, "drawn": 20,
        "images_by_split": {"train": 15, "val": 0, "test": 5}, "scenes": 0,
    }  # fmt: skip
    assert len(list(Path("out/imgs").iterdir())) == 20
    assert len(json.loads(Path("out/data_captions.json").read_text())) == 20
    again = ctgi("synth", "out", "--identities", 4, "--test", 1)
    assert again.out == "20 images of 4 people (15 train, 0 val, 5 test), 40 captions; 0 drawn now\nout\n"


def test_mistakes_are_explained(ctgi: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ctgi("synth", "out", "--identities", 1, "--quiet")
    for arguments, complaint in {
        ("out", "--identities", 2): "choose a new folder",
        ("new", "--identities", 2, "--val", 1, "--test", 1): "ask for more identities",
        (".",): "not empty and holds no synth.json",
        ("new", "--identities", 0): "Invalid value for '--identities'",
    }.items():
        done = ctgi("synth", *arguments)
        assert done.code == 2
        assert complaint in done.err
    assert not Path("new").exists()
    monkeypatch.setitem(sys.modules, "skia", None)
    done = ctgi("synth", "new")
    assert done.code == 2
    assert "pip install 'ctgi[synth]'" in done.err
    assert not Path("new").exists()


@pytest.mark.parametrize("signal_name", ["kill", "terminate"])
def test_a_killed_run_goes_on_and_leaves_no_process(ctgi: Run, signal_name: str) -> None:
    arguments = ("synth", "out", "--identities", 24, "--workers", 2)
    process = start(*arguments)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not people(Path("out")):
        time.sleep(0.01)
    helpers = psutil.Process(process.pid).children(recursive=True)
    getattr(process, signal_name)()
    assert process.wait(30) == (-9 if signal_name == "kill" else 130)
    assert len(helpers) >= 2
    assert psutil.wait_procs(helpers, timeout=20)[1] == []
    kept = people(Path("out"))
    assert 0 < kept < 24
    done = ctgi(*arguments, "--json").json
    assert (done["images"], done["drawn"]) == (120, 5 * (24 - kept))
    assert len(list(Path("out/imgs").iterdir())) == 120


def test_a_full_disk_keeps_what_is_drawn(ctgi: Run) -> None:
    arguments = ["synth", "out", "--identities", "26", "--workers", "1"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "attributes.jsonl: cannot write (No space left on device): make room" in done.stderr
    kept = people(Path("out"))
    assert 0 < kept < 26
    assert Path("out/attributes.jsonl").read_bytes().count(b"\n") == 5 * kept
    assert ctgi(*arguments, "--json").json["drawn"] == 5 * (26 - kept)


def test_help_needs_no_drawing_library() -> None:
    listing = "import sys; import ctgi.cli; print(sorted({'skia', 'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout == "[]\n"
