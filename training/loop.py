"""Training, epoch by epoch: consensus, steps, validation, record, checkpoint."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from ctgi.errors import CtgiError
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.datasets import DataSet
from ctgi.retrieval.metrics import Metrics
from ctgi.text import plain
from ctgi.training.assemble import build_data, build_loader, build_model, clip_of, mixture_fit
from ctgi.training.checkpoints import differences, load_checkpoint, save_checkpoint
from ctgi.training.config import TrainConfig
from ctgi.training.consensus import consensus_labels
from ctgi.training.distributed import WholeBatch, World, joined_world
from ctgi.training.faults import NotFiniteError, memory_explained, stopped_by
from ctgi.training.loader import Batch
from ctgi.training.optimizer import build_optimizer
from ctgi.training.rde import Rde
from ctgi.training.run_folder import Record, RunFolder, add_events, missing_extras, plot_curves
from ctgi.training.schedule import set_learning_rates
from ctgi.training.step import Stepper, Terms, precision
from ctgi.training.validation import validate

logger = logging.getLogger(__name__)

CHANGEABLE = (
    "data.root", "data.workers", "run.device", "run.accumulate", "run.gradient_checkpointing", "run.compile",
    "run.patience",
)  # fmt: skip
"""Settings that may change on resume: they affect speed, memory or length, and results only by rounding."""


@dataclass(frozen=True)
class Progress:
    """Where a run is."""

    doing: Literal["consensus", "training", "validation"]
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    best_r1: float | None


@dataclass(frozen=True)
class TrainReport:
    """How a run ended."""

    out: Path
    best: Path
    """The checkpoint to use."""
    epochs: int
    """Epochs trained in all, including earlier parts of a resumed run."""
    ended: Literal["all epochs done", "no better for run.patience epochs"]
    select_on: str
    best_epoch: int
    retrieval: dict[str, float] | None
    """Metrics of the best epoch on the selection split, in percent; None for `last`."""
    seconds: float
    """Duration of this call."""
    bad_images: dict[str, str]
    """Path -> reason of each image that could not be read."""
    is_main: bool
    """Whether this process writes files and messages."""
    corrected_captions: int = 0
    """Of the data set: captions that a person corrected."""

    def as_json(self) -> Json:
        """As plain values."""
        return {**asdict(self), "out": str(self.out), "best": str(self.best), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class _State:
    """State kept from epoch to epoch besides weights and optimizer."""

    epoch: int = 0
    best_epoch: int = 0
    best_r1: float | None = None
    retrieval: dict[str, float] | None = None


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_data: Callable[[DataSet], None] | None = None,
) -> TrainReport:
    """Train as `config` says and keep everything in the folder `out`.

    Under torchrun every process calls it; the first one writes.

    Args:
        config: the run.
        out: its folder; see `RunFolder`.
        resume: continue after its last epoch, if there is one.
        on_progress: called after every step.
        on_data: called with the data set before the model is made.

    Raises:
        CtgiError: the config does not fit the data or the checkpoint, `out` holds another run, a loss is not finite,
            or memory ran out.
    """
    folder = RunFolder(out)
    if folder.last.exists() and not resume:
        raise CtgiError(f"{plain(str(out))} holds a run already: continue it with --resume, or choose another --out")
    with joined_world(config.run.device) as world, memory_explained(config):
        data = build_data(config)
        if on_data:
            on_data(data)
        run = _Run(config, folder, world, data, on_progress or (lambda state: None))
        if folder.last.exists():
            run.resume()
        return run.to_the_end()


class _Run:
    """A training run in memory."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        world: World,
        data: DataSet,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.config, self.folder, self.world, self.data, self.on_progress = config, folder, world, data, on_progress
        torch.manual_seed(config.run.seed)  # heads start from the same numbers in every process
        self.train_split = self.data.split("train")
        self.model = build_model(config, self.train_split).to(world.device)
        self.loader = build_loader(config, self.train_split, clip_of(self.model), world)
        optimizer = build_optimizer(self.model, config.optim)
        self.stepper = Stepper(self.model, optimizer, world, config.run)
        self.state = _State()

    def resume(self) -> None:
        """Continue after the last complete epoch in the folder."""
        saved = load_checkpoint(self.folder.last, device=self.world.device)
        changed = [
            line
            for line in differences(saved["train"]["config"], self.config.resolved())
            if not line.startswith(tuple(f"{name}:" for name in CHANGEABLE))
        ]
        if changed:
            raise CtgiError(
                f"{plain(str(self.folder.last))} was trained with other settings:\n  " + "\n  ".join(changed) + "\n"
                "Resume with the same settings, or start a new run in another --out"
            )
        self.model.load_state_dict(saved["state"])
        self.stepper.load_state_dict(saved["train"]["stepper"])
        self.state = _State(**saved["train"]["state"])

    def to_the_end(self) -> TrainReport:
        """Train the epochs that are left."""
        started = time.monotonic()
        if self.world.is_main:
            self._open_folder()
        while not (ended := self._ended()):
            self._epoch(self.state.epoch + 1)
        return TrainReport(
            out=self.folder.path,
            best=self.folder.best,
            epochs=self.state.epoch,
            ended=ended,
            select_on=self.config.run.select_on,
            best_epoch=self.state.best_epoch,
            retrieval=self.state.retrieval,
            seconds=time.monotonic() - started,
            bad_images=self.loader.bad_images,
            is_main=self.world.is_main,
            corrected_captions=self.data.corrected,
        )

    def _open_folder(self) -> None:
        splits = {
            name: {"images": len(split.images), "captions": len(split.captions), "persons": split.classes}
            for name, split in self.data.splits.items()
        }
        self.folder.open(
            self.config.resolved(),
            dataset=self.data.name,
            splits=splits,
            select_on=self.config.run.select_on,
            identity=self.config.data.identity,
            processes=self.world.size,
            device=str(self.world.device),
            resumed_after_epoch=self.state.epoch,
        )
        self.folder.keep_records(self.state.epoch)

    def _ended(self) -> Any:
        if self.state.epoch >= self.config.schedule.epochs:
            return "all epochs done"
        patience = self.config.run.patience
        if patience is not None and self.state.epoch - self.state.best_epoch >= patience:
            return "no better for run.patience epochs"
        return None

    def _epoch(self, epoch: int) -> None:
        started = time.monotonic()
        torch.manual_seed(_seed(self.config.run.seed, epoch, self.world.rank))  # for layers that draw by themselves
        set_learning_rates(self.stepper.optimizer, epoch, self.config.schedule)
        self.loader.set_epoch(epoch)
        kept = self._consensus(epoch)
        trained = time.monotonic()
        terms = self._steps(epoch, kept)
        seconds = time.monotonic() - trained
        metrics = self._validate(epoch)
        record = {
            "epoch": epoch,
            "lr": self.stepper.optimizer.param_groups[0]["lr"],
            "grad_norm": terms.pop("grad_norm"),
            "loss": terms,
            **({} if kept is None else {"kept": float(kept.mean())}),
            **({} if metrics is None else {"select_on": self.config.run.select_on, "retrieval": _percent(metrics)}),
            "images_per_s": len(self.train_split.captions) / seconds,
            "seconds": time.monotonic() - started,
        }
        better = metrics is None or self.state.best_r1 is None or metrics.recall[1] > self.state.best_r1
        self.state = replace(self.state, epoch=epoch)
        if better:
            r1 = None if metrics is None else metrics.recall[1]
            self.state = _State(epoch, epoch, r1, record.get("retrieval"))
        if self.world.is_main:
            self._save(record, better)

    def _steps(self, epoch: int, kept: Tensor | None) -> Terms:
        """One pass over the training split; returns the mean of every term."""
        self.model.train()
        seed = _seed(self.config.run.seed, epoch, "words")
        sums: Terms = {}
        for step, cpu_batch in enumerate(self.loader, start=1):
            batch = cpu_batch.to(self.world.device, non_blocking=True)
            if kept is not None:
                batch = replace(batch, weights=batch.weights * kept[batch.index])
            try:
                terms = self.stepper.step(batch, seed)
            except NotFiniteError as error:
                rank = f"-{self.world.rank}" if self.world.size > 1 else ""
                path = self.folder.path / f"bad_batch{rank}.pt"
                raise stopped_by(error, batch, self.train_split, path, f"epoch {epoch}, step {step}") from None
            sums = {name: sums.get(name, 0.0) + value for name, value in terms.items()}
            self._tell("training", epoch, step, terms["total"])
        return {name: value / len(self.loader) for name, value in sums.items()}

    def _consensus(self, epoch: int) -> Tensor | None:
        """RDE's labels of all training rows, [N]: 1 for pairs to train on; None for models without consensus."""
        if self.config.rde is None or not self.config.rde.consensus:
            return None
        assert isinstance(self.model, Rde)
        self.model.eval()
        losses = torch.zeros(2, len(self.train_split.captions), device=self.world.device)
        for step, cpu_batch in enumerate(self.loader, start=1):
            batch = cpu_batch.to(self.world.device, non_blocking=True)
            index, bge, tse = self._pair_losses(self.model, batch, epoch)
            losses[:, index] = torch.stack([bge, tse])
            self._tell("consensus", epoch, step, None)
        generator = Generator().manual_seed(_seed(self.config.run.seed, epoch, "coin"))
        labels = consensus_labels(losses[0], losses[1], generator, fit=mixture_fit(self.config))
        return labels.to(self.world.device)

    def _pair_losses(self, model: Rde, batch: Batch, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Row indices and both branches' losses of the whole batch, over all processes."""
        gather = WholeBatch(self.world).gather(0)
        generator = Generator().manual_seed(_seed(self.config.run.seed, epoch, "consensus"))
        with torch.no_grad(), precision(self.config.run, self.world):
            bge, tse = model.per_sample_losses(batch, generator, gather)
        return gather(batch.index), bge.float(), tse.float()

    def _validate(self, epoch: int) -> Metrics | None:
        name = self.config.run.select_on
        if name == "last":
            return None
        self._tell("validation", epoch, len(self.loader), None)
        return validate(self.model, self.data.split(name), self.world, precision(self.config.run, self.world))

    def _save(self, record: Record, better: bool) -> None:
        """Write the record, then the checkpoint: a recorded epoch without a checkpoint is dropped at the next start."""
        self.folder.add(record)
        state = self.model.state_dict()
        described = {"kind": self.config.kind, "description": self.model.settings(), "epoch": self.state.epoch}
        if better:
            encoder = {name: value for name, value in state.items() if name.startswith("encoder.")}
            save_checkpoint(self.folder.best, {**described, "select_on": self.config.run.select_on, "state": encoder})
        train_state = {
            "config": self.config.resolved(),
            "state": asdict(self.state),
            "stepper": self.stepper.state_dict(),
        }
        save_checkpoint(self.folder.last, {**described, "state": state, "train": train_state})
        self._draw(record)

    def _draw(self, record: Record) -> None:
        missing = missing_extras()
        if "tensorboard" not in missing:
            add_events(self.folder.path / "tensorboard", record)
        if "matplotlib" not in missing:
            plot_curves(self.folder.path / "curves.png", self.folder.records())

    def _tell(self, doing: Any, epoch: int, step: int, loss: float | None) -> None:
        epochs = self.config.schedule.epochs
        if self.world.is_main:
            self.on_progress(Progress(doing, epoch, epochs, step, len(self.loader), loss, self.state.best_r1))


def _seed(*what: object) -> int:
    """A separate seed for every random choice; the same in every run and after a resume."""
    return Random("/".join(map(str, what))).getrandbits(62)


def _percent(metrics: Metrics) -> dict[str, float]:
    recall = {f"R@{k}": value for k, value in metrics.recall.items()}
    return {**recall, "mAP": metrics.mean_ap, "mINP": metrics.mean_inp}
