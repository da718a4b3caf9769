from pathlib import Path

import pytest

from tests.servers.environment import VllmUnavailableError, vllm_python


def test_a_python_without_vllm_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = tmp_path / "python"  # a double of an environment's Python, in which nothing can be imported
    bare.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torchvision'\" >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setenv("CTGI_VLLM_PYTHON", str(bare))
    with pytest.raises(VllmUnavailableError, match=r"No module named 'torchvision'; .* make vllm-env"):
        vllm_python()


def test_a_python_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CTGI_VLLM_PYTHON", str(tmp_path / "gone"))
    with pytest.raises(VllmUnavailableError, match="gone"):
        vllm_python()


@pytest.mark.slow
def test_packages_that_cannot_be_had_are_told_and_leave_no_stamp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CTGI_VLLM_PYTHON", raising=False)
    monkeypatch.setattr("tests.servers.environment.FOLDER", tmp_path / "env")
    monkeypatch.setattr("tests.servers.environment.PACKAGES", ("no-such-distribution-of-ours==1",))
    for variable, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(VllmUnavailableError, match="No matching distribution found for no-such-distribution"):
        vllm_python()
    assert not (tmp_path / "env" / "stamp").exists()
