"""The paper's Table 4 as a plan of trainings and measurements, carried out one after the other and resumable."""

import asyncio
import json
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

from ctgi.config import Settings
from ctgi.corrections import told
from ctgi.files import write_whole
from ctgi.graphs.mti import TOOLS
from ctgi.reading import Json, read_json
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.evaluate import EncodedSplit, encode_split, text_to_image
from ctgi.runs.beforehand import announce
from ctgi.runs.evaluate_mti import mti_row, run_mti
from ctgi.runs.evaluation import as_row
from ctgi.runs.events import Events
from ctgi.training.config import TrainConfig, load_config
from ctgi.training.loop import train


@dataclass(frozen=True)
class Plan:
    """The plan of an ablation: data, models and settings."""

    data: str
    root: Path
    captions: Path
    """A captions.jsonl of the training images: `caption` is MTG's, `initial_caption` the single turn before it."""
    models: tuple[str, ...]
    stretched: int
    """Context length in tokens, with stretching."""
    unstretched: int
    """Context length in tokens, without stretching."""
    split: str
    config: Path | None
    sets: tuple[str, ...]
    """SECTION.KEY=VALUE over the models' recipes, in every training."""


@dataclass(frozen=True)
class Training:
    """One model to train."""

    model: str
    captions: str
    """mtg or initial."""
    context_length: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.model}-{self.captions}-{self.context_length}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    training: Training
    mti: bool

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.training.name}{'-mti' if self.mti else ''}"


def rows(plan: Plan) -> list[Row]:
    """For each model: neither, MTG, MTI, both, and both without stretching: three trainings."""
    found = []
    for model in plan.models:
        initial, mtg, short = (
            Training(model, "initial", plan.stretched),
            Training(model, "mtg", plan.stretched),
            Training(model, "mtg", plan.unstretched),
        )
        found += [Row(initial, False), Row(mtg, False), Row(initial, True), Row(mtg, True), Row(short, True)]
    return found


def run_ablation(plan: Plan, settings: Settings, out: Path, events: Events) -> list[Json]:
    """Train and measure what is not in `out` yet, and keep each row there.

    Args:
        plan: what is compared.
        settings: bindings and MTI's numbers; `search_gallery` is replaced by each trained model.
        out: trainings go to out/train, measurements to out/rows, replies of models to out/calls.sqlite.
        events: hears what begins, how far it is, and what failed.

    Returns:
        The table's rows in order.

    Raises:
        CtgiError: what training or evaluation raise; the same command goes on afterwards.
    """
    announce(settings, TOOLS, events)

    @cache
    def measured_split() -> Split:
        dataset = load_dataset(plan.data, plan.root, captions=f"mtg:{plan.captions}")
        if dataset.corrected:
            events.tell(told(dataset.corrected))
        return dataset.split(plan.split)

    @lru_cache(maxsize=2)  # the rows of two trainings alternate
    def trained(training: Training) -> tuple[Encoder, EncodedSplit]:
        events.tell(f"{training.name}: training")
        best = _trained(training, plan, out / "train" / training.name, events)
        retriever = settings.retriever.model_copy(update={"image_size": None, "context_length": None})
        encoder = load_encoder(f"trained:{best}", retriever)
        return encoder, encode_split(measured_split(), encoder, retriever, out)

    table = []
    for row in rows(plan):
        made_by, file = _made_by(row, plan, settings), out / "rows" / f"{row.name}.json"
        found = _kept(file, made_by)
        if found is None:
            encoder, encoded = trained(row.training)
            events.tell(f"{row.name}: measuring on {plan.split}")
            numbers = _refined(encoded, encoder, settings, out, events) if row.mti else _plain(encoded)
            found = _shown(row) | numbers | {"made_by": made_by}
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(found, indent=1).encode())
        table.append(found)
    return table


def _trained(training: Training, plan: Plan, folder: Path, events: Events) -> Path:
    """The best checkpoint of a training, which is resumed if it was begun."""
    with events.progress("train", None) as update:
        return train(
            training_config(training, plan), folder, resume=True,
            on_progress=lambda at: update(at.step, at.steps, f"{training.name}, epoch {at.epoch}/{at.epochs}"),
        ).best  # fmt: skip


def _kept(file: Path, made_by: Json) -> Json | None:
    """A row measured before in the same way; one in which calls failed is measured again."""
    if not file.is_file():
        return None
    found = read_json(file, "row of the table")
    if not isinstance(found, dict) or found.get("made_by") != made_by:
        return None
    return found if not found.get("failed") and not found.get("unverified") else None


def training_config(training: Training, plan: Plan) -> TrainConfig:
    """The run that a training of the plan is."""
    sets = [*plan.sets, f"model.context_length={training.context_length}"]
    data = {"dataset": plan.data, "root": str(plan.root), "captions": f"{training.captions}:{plan.captions}"}
    return load_config(training.model, file=plan.config, sets=sets, data=data)


def _made_by(row: Row, plan: Plan, settings: Settings) -> Json:
    """Everything that a row depends on; if it differs, the row is measured again."""
    mti = {
        "settings": settings.mti.model_dump(mode="json"),
        "bindings": {tool: str(settings.binding(tool)) for tool in TOOLS},
    }
    train_config = training_config(row.training, plan).model_dump(mode="json")
    return {"train": train_config, "split": plan.split, "mti": mti if row.mti else None}


def _shown(row: Row) -> Json:
    training = row.training
    return {
        "model": training.model,
        "MTG": training.captions == "mtg",
        "MTI": row.mti,
        "context": training.context_length,
    }


def _plain(encoded: EncodedSplit) -> Json:
    return as_row(text_to_image(encoded)) | {"calls per query": 0.0, "failed": 0, "unverified": 0, **_cut(encoded)}


def _refined(encoded: EncodedSplit, encoder: Encoder, settings: Settings, out: Path, events: Events) -> Json:
    run = asyncio.run(run_mti(encoded, encoder, settings, out, events))
    found = mti_row(run, settings.mti.lam, settings.mti.xi).to_json()
    told = [*map(asdict, run.failures), *map(asdict, run.unverified)]
    failures = {"failed": len(run.failures), "unverified": len(run.unverified), "failures": told}
    return found | {"calls per query": found["calls_per_query"]["all"], **failures, **_cut(encoded)}


def _cut(encoded: EncodedSplit) -> dict[str, int]:
    return {"truncated captions": sum(cut > 0 for cut in encoded.truncated)}
