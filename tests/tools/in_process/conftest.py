from pathlib import Path

import pytest

from ctgi.retrieval.images import ImageRef
from tests.support.small_qwen import save_figures, save_small_qwen


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2-VL with random weights."""
    return save_small_qwen(tmp_path_factory.mktemp("hf") / "model")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRef]:
    """Figures of different sizes."""
    return save_figures(tmp_path_factory.mktemp("figures"))
