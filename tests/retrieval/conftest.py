from pathlib import Path

import pytest

from ctgi.config import RetrieverSettings
from ctgi.retrieval.encoder import Encoder, load_encoder
from tests.support.people_dataset import save_people_dataset


@pytest.fixture(scope="session")
def encoder(tiny_clip: Path) -> Encoder:
    return load_encoder(f"open_clip:local-dir:{tiny_clip}", RetrieverSettings())


@pytest.fixture
def rstp(tmp_path: Path) -> Path:
    """3 people to train on, 1 to choose on, 2 to test on; 2 images of each, 2 captions an image."""
    return save_people_dataset(tmp_path / "RSTPReid", train=3, val=1, test=2, views=2)
