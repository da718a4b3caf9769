"""Every model on every data set: trained on one, tested on all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctgi.config import Settings
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.datasets import load_dataset
from ctgi.retrieval.encoder import load_encoder
from ctgi.runs.evaluate import DataSpec, Measuring, evaluate
from ctgi.runs.evaluation import Evaluation, as_row
from ctgi.runs.events import Events
from ctgi.training.config import TrainConfig
from ctgi.training.loop import train

_HELD_OUT = 0.1


@dataclass(frozen=True)
class Place:
    """A data set to test on."""

    name: str
    layout: str
    """cuhk, icfg or rstp."""
    root: Path


@dataclass(frozen=True)
class Model:
    """A row of the table."""

    name: str
    retriever: str
    """The binding of `search_gallery`; empty where it is to be trained."""
    training: TrainConfig | None = None


@dataclass(frozen=True)
class Cell:
    """One model on one data set."""

    model: str
    data: str
    folder: Path
    """Where its results are."""
    result: Evaluation

    def to_json(self) -> Json:
        """One entry of `cells`."""
        return {
            "model": self.model,
            "data": self.data,
            "retriever": self.result.retriever,
            "images": self.result.images,
            "captions": self.result.captions,
            "people": self.result.people,
            **as_row(self.result.t2i),
            "intervals": self.result.intervals.to_json()["t2i"],
            "folder": str(self.folder),
        }


def run_cross(
    models: Sequence[Model], places: Sequence[Place], split: str, settings: Settings, out: Path, events: Events
) -> list[Cell]:
    """Measure each model on each data set, row by row; those without weights are trained first.

    Args:
        models: the rows.
        places: the columns.
        split: test or val, of every data set.
        settings: how images are read and encoded; `search_gallery` is each model in turn.
        out: trainings go to out/train, and each measurement to a folder in out/measured.
        events: hears what begins and how far it is.

    Raises:
        CtgiError: a data set that cannot be read, or what training or evaluation raise; the same
            command goes on afterwards.
    """
    for place in places:  # before anything is trained
        load_dataset(place.layout, place.root).split(split)
    ready = [replace(one, training=_with_val(one.training, events)) if one.training else one for one in models]
    cells = []
    for model in ready:
        spec = model.retriever or f"trained:{_trained(model, out / 'train' / model.name, events)}"
        bound = settings.model_copy(update={"bindings": {**settings.bindings, "search_gallery": spec}})
        encoder = load_encoder(spec, bound.retriever)
        for place in places:
            events.tell(f"{model.name}: measuring on {place.name}")
            folder = out / "measured" / f"{model.name}-on-{place.name}"
            data = DataSpec(place.layout, place.root, split)
            found = asyncio.run(evaluate(data, encoder, bound, folder, events, Measuring()))
            cells.append(Cell(model.name, place.name, folder, found.result))
    return cells


def _with_val(training: TrainConfig, events: Events) -> TrainConfig:
    """The training, which holds out some people where its data set has no val split to select a model on."""
    data, root = training.data, str(training.data.root)
    if data.val_share is not None or training.run.select_on != "val":
        return training
    if "val" in load_dataset(data.dataset, Path(root)).splits:
        return training
    events.tell(f"{data.dataset} has no val split: {_HELD_OUT:.0%} of the people of train are held out to select on")
    return training.model_copy(update={"data": data.model_copy(update={"val_share": _HELD_OUT})})


def _trained(model: Model, folder: Path, events: Events) -> Path:
    """The best checkpoint of a training, which is resumed if it was begun."""
    assert model.training is not None
    events.tell(f"{model.name}: training")
    with events.progress("train", None) as update:
        return train(
            model.training, folder, resume=True,
            on_progress=lambda at: update(at.step, at.steps, f"{model.name}, epoch {at.epoch}/{at.epochs}"),
        ).best  # fmt: skip
