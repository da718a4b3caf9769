"""Fixtures that several folders of tests share."""

import os
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctgi.testing import ScriptedServer

MAY_BE_SKIPPED = {
    r"\broot\b": "what root may do and others may not cannot both be tested in one run",
    r"needs /dev/full": "Linux has it",
    r"there is a GPU here": "the error of a machine without one",
    r"no reference numbers '(irra_e2e|rde_clip_attention)'": "too large for the repository",
    r"\bskia\b|moderngl|OpenGL|GPU library": "the libraries that draw people need some of the system's: make libs",
    r"no Chromium": "a browser is no Python package",
    r"no vLLM on CPU here": "it has to be installed from the network, in an environment of its own; CI fails",
    r"the shared reference images": "photographs that may not be given away",
}
"""Reasons for skips, and why each is one; any other skip fails, so that no family of tests is lost unseen."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2]
        if not any(re.search(known, reason) for known in MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"{reason}: no reason in MAY_BE_SKIPPED of tests/conftest.py, so this test has to run"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under `--dist loadfile` tests of one model server, which their names name, run in one process as those of a file.

    xdist's own groups have no effect with this pytest.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, name = nodeid.partition("::")
            servers = (server for server in ("vllm", "transformers") if "/servers/" in file and server in name)
            return next(servers, file)

    return ByServer(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture
def double() -> Iterator[ScriptedServer]:
    """A test double of a model server, listening on a port of its own."""
    with ScriptedServer(models=("double",)) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real open_clip checkpoint of 0.35 million random parameters: `open_clip:local-dir:FOLDER`."""
    from tests.support.tiny_clip import save_tiny_clip

    return save_tiny_clip(tmp_path_factory.mktemp("tiny_clip"))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of 8 PNG images of 4 people in different clothes: 0_a.png, 0_b.png, 1_a.png ..."""
    from tests.support.tiny_clip import save_people

    return save_people(tmp_path / "people")


@pytest.fixture(scope="session")
def golden() -> Callable[[str], list[dict[str, np.ndarray]]]:
    """Loads a family of reference numbers made by the papers' own code; tests/golden/README.md says where from."""
    here = Path(__file__).parent / "golden"
    more = Path(os.environ.get("CTGI_GOLDEN") or Path(__file__).parents[2] / "shared" / "golden")

    def load(family: str) -> list[dict[str, np.ndarray]]:
        files = {file.name: file for folder in (more, here) for file in folder.glob(f"*_{family}.npz")}
        if not files:
            pytest.skip(f"no reference numbers {family!r} in {here} or {more}: set CTGI_GOLDEN to their folder")
        return [dict(np.load(file)) for _, file in sorted(files.items())]

    return load
