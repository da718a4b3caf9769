"""A scripted model that calls tools, and a search that asks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ctgi.testing import ScriptedServer
from tests.support.traces import images, wordy


@pytest.fixture
def brain() -> Iterator[ScriptedServer]:
    """The server of the agent's model."""
    with ScriptedServer(models=("brain",)) as server:
        yield server


@pytest.fixture
def searching(double: ScriptedServer, brain: ScriptedServer, tiny_clip: Path, people: Path) -> list[object]:
    double.replies = wordy()
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    return [*images(double), "-b", f"verify_match=vllm:double@{double.url}", "-b", f"agent={brain.binding}",
            "-b", clip, "-g", people, "-k", 5]  # fmt: skip
