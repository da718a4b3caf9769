from pathlib import Path

import pytest

from ctgi.config import RetrieverSettings
from ctgi.retrieval.encoder import Encoder, load_encoder


@pytest.fixture(scope="session")
def encoder(tiny_clip: Path) -> Encoder:
    return load_encoder(f"open_clip:local-dir:{tiny_clip}", RetrieverSettings())
