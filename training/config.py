"""The configuration of a training run: YAML, then `--set a.b=1`, validated before any weight is loaded."""

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctgi.errors import CtgiError
from ctgi.reading import Json, TextError, parse_yaml, read_yaml
from ctgi.suggest import did_you_mean, first_problem
from ctgi.text import plain
from ctgi.training.augment import Augment
from ctgi.training.loader import OnBadImage
from ctgi.training.optimizer import OptimizerSettings
from ctgi.training.schedule import ScheduleSettings

KINDS = ("irra", "rde")
_OPTIONS: dict[tuple[int | str, ...], str] = {("data", "dataset"): "--data", ("data", "root"): "--root"}
"""The required options of `ctgi train`, by the setting they fill."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(_Table):
    """Images, captions and how they are fed; `data`."""

    dataset: str
    """One of `ctgi.retrieval.benchmarks.datasets.DATA`, such as rstp or folder."""
    root: Path
    captions: str = "human"
    """human, initial:FILE or mtg:FILE, where FILE is from `ctgi caption`."""
    identity: Literal["labels", "image"] = "labels"
    """image: every image is its own person, for collections without identity labels; the ID loss is then left out."""
    batch_size: int = Field(64, ge=1)
    """The effective batch size, over all processes and accumulated parts."""
    workers: int = Field(4, ge=0)
    """Processes that decode images; 0 decodes in the training process."""
    augment: Augment = "irra"
    on_bad_image: OnBadImage = "stop"
    val_share: float | None = Field(None, gt=0, lt=1)
    """Share of the people of train to hold out as val, if there is no val split. They are chosen by run.seed."""
    min_confidence: float | None = Field(None, ge=0, le=1)
    """MTG captions with less confidence are left out; null keeps all."""
    confidence_power: float | None = Field(None, gt=0)
    """Weight MTG captions in the loss by confidence to this power; null weights all equally."""
    noise: float = Field(0.0, ge=0, le=1)
    """Share of the training captions to assign to wrong images, for experiments on noise."""


class ModelSettings(_Table):
    """The CLIP underneath; `model`."""

    clip: str = "open_clip:ViT-B-16,openai"
    """As in a search_gallery binding: open_clip:MODEL,TAG, open_clip:MODEL,FILE.pt or open_clip:local-dir:FOLDER."""
    image_size: tuple[int, int] | None = (384, 128)
    """(height, width) in px; null keeps the model's own."""
    context_length: int | None = 77
    """Text tokens; 248 stretches the positions of a 77-token CLIP. null keeps the model's own."""


class IrraSettings(_Table):
    """IRRA's losses and heads; `irra`. See `ctgi.training.irra.Irra`."""

    losses: tuple[str, ...] = ("sdm", "id", "mlm")
    loss_weights: dict[str, float] = Field(default_factory=dict)
    depth: int = Field(4, ge=1)
    clean_global: bool = True
    """false, as released: SDM and ID see the masked caption."""
    attend_padding: bool = False
    """true, as released: MLM also looks at padding."""


class RdeSettings(_Table):
    """RDE's losses, token selection and consensus; `rde`. See `ctgi.training.rde.Rde` and `TwoBranches`."""

    loss: str = "tal"
    margin: float = Field(0.1, ge=0)
    tau: float = Field(0.015, gt=0)
    augment: bool = True
    """Hide, replace and drop words of the captions."""
    out_dim: int = Field(1024, ge=2)
    ratio: float = Field(0.3, gt=0, le=1)
    max_words: int | None = 22
    """null, as released: 73 words where 248 tokens are read."""
    fillers: bool = False
    """true, as released: batch norm also counts padding."""
    consensus: bool = True
    """Before every epoch, pairs that both branches call noisy get weight 0."""
    careful: bool | None = None
    """Fit the mixture longer; null does so, as released, for rstp and for data.noise above 0.4."""


class RunSettings(_Table):
    """Device, precision, memory and model selection; `run`."""

    seed: int = 1
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the forward and backward pass; weights, optimizer and losses stay float32."""
    clip_norm: float | None = Field(None, gt=0)
    """Gradients above this total norm are scaled down to it; null does not clip."""
    accumulate: int = Field(1, ge=1)
    """Number of parts in which a process computes its rows of the batch: less memory, the same loss.

    It costs a second forward pass. One difference: batch norm in RDE's token selection sees the rows of one part.
    """
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: about a third slower, a fraction of the memory."""
    compile: bool = False
    """torch.compile of the transformer blocks."""
    select_on: Literal["val", "test", "last"] = "val"
    """The split whose text-to-image R@1 selects best.pt. test, as in papers, is recorded; last takes the last epoch."""
    patience: int | None = Field(None, ge=1)
    """Training stops after so many epochs without a better R@1; null trains to the end."""


class TrainConfig(_Table):
    """A training run, resolved."""

    kind: Literal["irra", "rde"]
    data: DataSettings
    model: ModelSettings = ModelSettings()
    irra: IrraSettings | None = None
    rde: RdeSettings | None = None
    optim: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _one_model(self) -> "TrainConfig":
        for kind in KINDS:
            if (getattr(self, kind) is not None) != (kind == self.kind):
                raise ValueError(f"a run of {self.kind} has a section {self.kind!r} and no other model's")
        return self

    def resolved(self) -> Json:
        """Every setting as plain values."""
        return self.model_dump(mode="json", exclude_none=False, exclude={*KINDS} - {self.kind})


def load_config(
    kind: str, *, file: Path | None = None, sets: list[str] | None = None, data: Json | None = None
) -> TrainConfig:
    """The recipe of `kind`, then `file`, `data` and `--set` entries, each overriding the ones before.

    Args:
        kind: irra or rde; their recipes are training/configs/*.yaml.
        file: a YAML file with the same sections; it may be partial. Or the name of one of training/configs.
        sets: `section.key=value` each; the value is read as YAML.
        data: entries of the data section.

    Raises:
        CtgiError: an unknown model, key or value; the message names its place.
    """
    if kind not in KINDS:
        raise CtgiError(f"unknown model {kind!r}: expected {' or '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    values = _read(resources.files("ctgi.training") / "configs" / f"{kind}.yaml")
    for extra in (_recipe(file, kind) if file else {}, {"data": data or {}}, *map(_parse_set, sets or [])):
        values = _merged(values, extra)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        missing = [one["loc"] for one in problems if one["type"] == "missing" and one["loc"] in _OPTIONS]
        if missing:
            names, options = [".".join(map(str, place)) for place in missing], [_OPTIONS[place] for place in missing]
            raise CtgiError(
                f"training config: no {' and '.join(names)}: give {' and '.join(options)}, as in "
                "--data rstp --root ./RSTPReid"
            ) from None
        shown = "" if problems[0]["type"] == "extra_forbidden" else f" (got {problems[0]['input']!r})"
        raise CtgiError(f"training config: {first_problem(error, TrainConfig)}{shown}") from None


def _recipe(file: Path, kind: str) -> Json:
    """The user's file, or the recipe of this name that comes with ctgi."""
    shipped = resources.files("ctgi.training") / "configs" / f"{file.name.removesuffix('.yaml')}.yaml"
    values = _read(shipped if file.name == str(file) and not file.exists() and shipped.is_file() else file)
    if values.get("kind", kind) != kind:
        raise CtgiError(f"{plain(str(file))} is a recipe for {plain(str(values['kind']))}, and {kind} is to be trained")
    return values


def _read(file: Any) -> Json:
    values = read_yaml(file, "training config")
    if not isinstance(values, dict):
        raise CtgiError(f"{plain(str(file))}: expected sections such as optim: and run:, got {values!r}")
    return values


def _parse_set(text: str) -> Json:
    name, equals, value = text.partition("=")
    if not equals or not all(name.split(".")):
        raise CtgiError(f"--set {text!r}: expected section.key=value, like optim.lr=1e-5")
    try:
        nested: Any = parse_yaml(value)
    except TextError as error:
        raise CtgiError(f"--set {text!r}: {value!r} is not a YAML value ({error})") from None
    for part in reversed(name.split(".")):
        nested = {part: nested}
    return dict(nested)


def _merged(under: Json, over: Json) -> Json:
    both = {
        key: _merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return {**under, **over, **both}
