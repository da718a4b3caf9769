"""One step and one epoch in this process of the world: by torchrun in several, or called by a test in one."""

import sys
from pathlib import Path

import torch

from ctgi.training.assemble import build_data, build_loader, build_model, clip_of
from ctgi.training.config import TrainConfig, load_config
from ctgi.training.distributed import World, joined_world
from ctgi.training.loop import train
from ctgi.training.optimizer import build_optimizer
from ctgi.training.step import Stepper


def one_step(config: TrainConfig, out: Path, world: World) -> None:
    """The first step's loss terms and gradients, saved to `out` by the leading process.

    Batch normalization takes part as in evaluation: on the CPU it does not look beyond its process.
    """
    torch.manual_seed(0)
    split = build_data(config).split("train")
    model = build_model(config, split).eval()
    loader = build_loader(config, split, clip_of(model), world)
    stepper = Stepper(model, build_optimizer(model, config.optim), world, config.run)
    terms = stepper.step(next(iter(loader)), seed=0)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if world.is_main:
        torch.save({"terms": terms, "gradients": gradients}, out)


def everything(files: list[Path], out: Path) -> None:
    """One step and one run for each config file."""
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        for file in files:
            one_step(load_config(file.stem.partition("-")[0], file=file), out / f"{file.stem}.pt", world)
        for kind in ("irra", "rde"):
            train(load_config(kind, file=out / f"{kind}-1.yaml"), out / f"run-{kind}")


if __name__ == "__main__":
    everything([Path(name) for name in sys.argv[2:]], Path(sys.argv[1]))
