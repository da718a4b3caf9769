"""Builds the parts of a training run from its config: data, model, loader."""

import logging
from dataclasses import replace

from torch import Generator, nn

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import DataSet, Split, hold_out, load_dataset
from ctgi.retrieval.clip_tokens import ClipTokens, load_clip
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.training.config import DataSettings, TrainConfig
from ctgi.training.consensus import CAREFUL, QUICK, MixtureFit, inject_noise
from ctgi.training.distributed import World
from ctgi.training.irra import Irra
from ctgi.training.loader import TrainLoader, train_loader
from ctgi.training.rde import Rde
from ctgi.training.weights import keep_confident, weigh_by_confidence

logger = logging.getLogger(__name__)

Model = Irra | Rde


def build_data(config: TrainConfig) -> DataSet:
    """The data set after holding out, filtering and weighting as the config says.

    Raises:
        CtgiError: see `load_dataset`, `hold_out`, `keep_confident` and `weigh_by_confidence`; or there is no split
            to select on.
    """
    data = config.data
    dataset = load_dataset(data.dataset, data.root, captions=data.captions, identity=data.identity)
    if data.val_share is not None:
        dataset = hold_out(dataset, data.val_share, config.run.seed)
    wanted = config.run.select_on
    if wanted != "last" and wanted not in dataset.splits:
        raise CtgiError(
            f"run.select_on={wanted}: {dataset.name} has no such split, only {', '.join(dataset.splits)}. Hold out "
            "part of train with data.val_share=0.1, or keep the last epoch with run.select_on=last"
        )
    train = _with_noise(_by_confidence(dataset.split("train"), data), data.noise, config.run.seed)
    return replace(dataset, splits={**dataset.splits, "train": train})


def _by_confidence(train: Split, data: DataSettings) -> Split:
    if data.min_confidence is not None:
        train = keep_confident(train, data.min_confidence)
    return train if data.confidence_power is None else weigh_by_confidence(train, data.confidence_power)


def _with_noise(train: Split, share: float, seed: int) -> Split:
    if not share:
        return train
    captions, wrong = inject_noise(train.captions, share, Generator().manual_seed(seed))
    logger.warning("%d of %d training captions assigned to wrong images (data.noise)", int(wrong.sum()), len(captions))
    return replace(train, captions=tuple(captions))


def build_model(config: TrainConfig, train: Split) -> Model:
    """The config's model on the CPU, its heads drawn from the global seed.

    Raises:
        CtgiError: see `load_clip`, `Irra` and `Rde`.
    """
    sizes = RetrieverSettings(image_size=config.model.image_size, context_length=config.model.context_length)
    clip = load_clip(config.model.clip, sizes)
    model = _irra(config, clip, train) if config.irra else _rde(config, clip)
    model.set_grad_checkpointing(config.run.gradient_checkpointing)
    if config.run.compile:
        _compile_blocks(model)
    return model


def _irra(config: TrainConfig, clip: ClipTokens, train: Split) -> Irra:
    assert config.irra is not None
    if config.data.identity == "labels":
        return Irra(clip, train.classes, **config.irra.model_dump())
    losses = tuple(name for name in config.irra.losses if name != "id")
    if losses != config.irra.losses:
        logger.warning("identity=image: every image is its own person, so the ID loss is left out")
    return Irra(clip, 0, **config.irra.model_dump() | {"losses": losses})


def _rde(config: TrainConfig, clip: ClipTokens) -> Rde:
    assert config.rde is not None
    selection = config.rde.model_dump(include={"out_dim", "ratio", "max_words", "fillers"})
    losses = config.rde.model_dump(include={"loss", "margin", "tau", "augment"})
    return Rde(TwoBranches(clip, **selection), **losses)


def _compile_blocks(model: nn.Module) -> None:
    """Compile the transformer blocks in place: they are most of the work, and their weights keep their names."""
    from open_clip.transformer import ResidualAttentionBlock

    for module in model.modules():
        if isinstance(module, ResidualAttentionBlock):
            module.compile(dynamic=None)


def build_loader(config: TrainConfig, train: Split, clip: ClipTokens, world: World) -> TrainLoader:
    """Batches of the training split for this process.

    Raises:
        CtgiError: fewer rows than a step needs.
    """
    settings = clip.settings()
    height, width = settings["image_size"]
    return train_loader(
        train,
        CaptionTokenizer(clip.context_length),
        (height, width),
        tuple(settings["mean"]),
        tuple(settings["std"]),
        batch_size=config.data.batch_size,
        workers=config.data.workers,
        augment=config.data.augment,
        seed=config.run.seed,
        rank=world.rank,
        world=world.size,
        on_bad_image=config.data.on_bad_image,
        device=world.device,
    )


def mixture_fit(config: TrainConfig) -> MixtureFit:
    """How long to fit RDE's mixture for this data."""
    assert config.rde is not None
    released = config.data.dataset == "rstp" or config.data.noise > 0.4
    return CAREFUL if (released if config.rde.careful is None else config.rde.careful) else QUICK


def clip_of(model: Model) -> ClipTokens:
    """The CLIP underneath."""
    return model.encoder if isinstance(model, Irra) else model.encoder.clip
