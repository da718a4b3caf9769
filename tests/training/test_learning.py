"""From random weights to people never seen in training."""

from pathlib import Path

import pytest

from ctgi.training.config import load_config
from ctgi.training.loop import train
from tests.support.people_dataset import save_people_dataset
from tests.support.tiny_clip import LEARNER, save_tiny_clip

STRANGERS = 24
CHANCE = 100 / STRANGERS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 people in 128 images to learn from, 24 others in 48 to be told apart."""
    return save_people_dataset(tmp_path_factory.mktemp("people"), train=64, val=STRANGERS, test=1, views=2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"open_clip:local-dir:{save_tiny_clip(tmp_path_factory.mktemp('learner'), config=LEARNER)}"


RECIPES = {"irra": ["schedule.epochs=6"], "rde": ["schedule.epochs=8", "optim.lr=1e-3", "rde.out_dim=128"]}


@pytest.mark.parametrize("kind", ["irra", "rde"])
def test_training_from_scratch_learns_to_tell_strangers_apart(kind: str, data: Path, clip: str, tmp_path: Path) -> None:
    """Rates for a model that starts from nothing; losses, consensus and model as in the recipe."""
    sets = [
        f"model.clip={clip}", "model.image_size=[64,32]", "data.batch_size=8", "data.workers=0", "data.augment=none",
        "optim.lr=5e-4", "optim.new_lr_factor=1", "optim.bias_lr_factor=1", "optim.eps=1e-8",
        "schedule.warmup_epochs=1", "run.device=cpu", *RECIPES[kind],
    ]  # fmt: skip
    report = train(load_config(kind, data={"dataset": "rstp", "root": str(data)}, sets=sets), tmp_path / "run")
    assert report.retrieval is not None
    assert report.retrieval["R@1"] > 8 * CHANCE
    assert report.retrieval["mAP"] > 40
