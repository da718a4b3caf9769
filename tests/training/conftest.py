"""Data and models small enough to train in seconds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ctgi.training.config import TrainConfig, load_config
from tests.support.people_dataset import save_people_dataset


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are faster on one core, and wait for no other test's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def few_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people to train on, two views and two captions each (24 rows), and four to validate on."""
    return save_people_dataset(tmp_path_factory.mktemp("few"), train=6, val=4, test=4, views=2)


@pytest.fixture(scope="session")
def tiny_config(few_people: Path, tiny_clip: Path) -> Callable[..., TrainConfig]:
    """Configs of two epochs of three steps on `few_people`: tiny_config("irra", "optim.lr=1e-4")."""

    def config(kind: str, *sets: str, **data: Any) -> TrainConfig:
        small = [
            f"model.clip=open_clip:local-dir:{tiny_clip}", "model.image_size=[64,32]", "data.batch_size=8",
            "data.workers=0", "schedule.epochs=2", "run.device=cpu", "optim.lr=1e-3",
        ]  # fmt: skip
        given = {"dataset": "rstp", "root": str(few_people), **data}
        return load_config(kind, data=given, sets=[*small, *sets])

    return config
