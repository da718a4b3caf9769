import os
from pathlib import Path

import numpy as np
import pytest

from ctgi.config import RetrieverSettings
from ctgi.retrieval.encoder import Encoder, load_encoder


@pytest.fixture(scope="session")
def encoder(tiny_clip: Path) -> Encoder:
    return load_encoder(f"open_clip:local-dir:{tiny_clip}", RetrieverSettings())


@pytest.fixture(scope="session")
def golden():
    """Loads a family of reference numbers made by the papers' own code."""
    beside = Path(__file__).parents[2].parent / "shared" / "golden"
    folder = Path(os.environ.get("CTGI_GOLDEN") or beside)

    def load(family: str) -> list[dict[str, np.ndarray]]:
        files = sorted(folder.glob(f"*_{family}.npz"))
        if not files:
            pytest.skip(f"no reference numbers {family!r} in {folder}: set CTGI_GOLDEN to their folder")
        return [dict(np.load(file)) for file in files]

    return load
