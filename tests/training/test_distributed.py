import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from ctgi.errors import CtgiError
from ctgi.training.config import TrainConfig
from ctgi.training.distributed import WholeBatch, World, joined_world, split_rows
from tests.support import one_step

CPU = World(torch.device("cpu"))


@pytest.fixture(scope="module")
def both(tiny_config: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same configs in one process and in two: folders with what `everything` writes.

    Seven rows a step, so that the processes and the accumulated parts have unequal shares.
    """
    folders = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    seven = ("data.batch_size=7", "schedule.epochs=1", "optim.lr=1e-4")
    losses = "irra.losses=[sdm,itc,id,mlm]"
    configs = {
        "irra-1": tiny_config("irra", losses, *seven),
        "irra-2": tiny_config("irra", losses, *seven, "run.accumulate=2"),
        "rde-1": tiny_config("rde", *seven),
    }
    for folder in folders:
        for name, config in configs.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(config.resolved()))
    files = [[folder / f"{name}.yaml" for name in configs] for folder in folders]
    one_step.everything(files[0], folders[0])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, one_step.__file__, str(folders[1]), *map(str, files[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return folders


@pytest.mark.parametrize("name", ["irra-1", "irra-2", "rde-1"])
def test_two_processes_have_the_loss_and_gradients_of_one(name: str, both: tuple[Path, Path]) -> None:
    alone, together = (torch.load(folder / f"{name}.pt", weights_only=True) for folder in both)
    assert together["terms"] == pytest.approx(alone["terms"], rel=1e-5)
    assert together["gradients"].keys() == alone["gradients"].keys()
    for parameter, gradient in alone["gradients"].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(
            together["gradients"][parameter], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=parameter
        )


def test_two_processes_train_like_one(both: tuple[Path, Path]) -> None:
    alone, together = (json.loads((folder / "run-irra" / "metrics.jsonl").read_text()) for folder in both)
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert together["retrieval"] == pytest.approx(alone["retrieval"], abs=1e-3)
    weights = [torch.load(f / "run-irra/checkpoints/best.pt", weights_only=True)["state"] for f in both]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_two_processes_agree_on_the_pairs_to_trust(both: tuple[Path, Path]) -> None:
    alone, together = (json.loads((folder / "run-rde" / "metrics.jsonl").read_text()) for folder in both)
    assert together["kept"] == alone["kept"]
    assert 0 < alone["kept"] <= 1


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    """The loss sums the squares of all pairwise products, which no part knows alone."""
    torch.manual_seed(0)
    inputs, layer = torch.randn(5, 3), torch.nn.Linear(3, 2)

    def loss(features: torch.Tensor) -> torch.Tensor:
        return (features @ features.T).square().sum()

    loss(layer(inputs)).backward()
    wanted, layer.weight.grad = layer.weight.grad, None
    parts = [inputs[rows] for rows in split_rows(5, 2)]
    whole = WholeBatch(CPU, 2)
    with torch.no_grad():
        for part in parts:
            whole.recorder()(layer(part))
    whole.exchange()
    for number, part in enumerate(parts):
        (loss(whole.gather(number)(layer(part))) / 2).backward()
    torch.testing.assert_close(layer.weight.grad, wanted)


def test_rows_are_split_evenly() -> None:
    assert split_rows(7, 3) == [slice(0, 2), slice(2, 4), slice(4, 7)]
    shares = [World(CPU.device, rank, 3).share(7) for rank in range(3)]
    assert shares == split_rows(7, 3)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(CtgiError, match="cannot be used"), joined_world(device):
        pass
