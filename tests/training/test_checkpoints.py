import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ctgi.errors import CtgiError
from ctgi.training.checkpoints import differences, load_checkpoint, save_checkpoint


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    content = {"state": {"w": torch.arange(6.0).reshape(2, 3)}, "train": {"epoch": 3, "names": ["a"], "best": None}}
    save_checkpoint(tmp_path / "last.pt", content)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(loaded["state"]["w"], content["state"]["w"])
    assert loaded["train"] == content["train"]
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


KILLED_WHILE_WRITING = """
import sys, torch
from pathlib import Path
from ctgi.training.checkpoints import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"epoch": 1, "state": torch.ones(1000)})
print("first is whole", flush=True)
while True:
    save_checkpoint(path, {"epoch": 2, "state": torch.ones(20_000_000)})
"""


def test_kill_9_during_a_write_leaves_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first is whole\n"
        temporary = tmp_path / ".last.pt.tmp"
        _wait(lambda: temporary.exists() and temporary.stat().st_size > 1_000_000)
        os.kill(process.pid, signal.SIGKILL)
    assert temporary.exists()  # it died in the middle of a write
    assert load_checkpoint(path)["epoch"] in (1, 2)
    save_checkpoint(path, {"epoch": 3})
    assert load_checkpoint(path)["epoch"] == 3
    assert not temporary.exists()


def _wait(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "state": _Evil()}, "evil.pt")
    with pytest.raises(CtgiError, match="not a checkpoint of tensors and plain values"):
        load_checkpoint(Path("evil.pt"))
    assert not Path("hacked").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_torn_or_foreign_file_is_said_to_be_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CtgiError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "x.pt")


def test_another_format_and_no_file(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "x.pt")
    with pytest.raises(CtgiError, match="format 2, got 99"):
        load_checkpoint(tmp_path / "x.pt")
    with pytest.raises(CtgiError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "y.pt")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "missing" / "last.pt", {})


def test_differences_are_listed_by_setting() -> None:
    saved = {"optim": {"lr": 1e-5, "eps": 1e-3}, "kind": "irra", "old": 1}
    current = {"optim": {"lr": 1e-4, "eps": 1e-3}, "kind": "irra"}
    assert differences(saved, current) == ["old: checkpoint 1, now None", "optim.lr: checkpoint 1e-05, now 0.0001"]
