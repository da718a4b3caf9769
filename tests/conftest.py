"""Fixtures that several folders of tests share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ctgi.testing import ScriptedServer


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
