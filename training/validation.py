"""Retrieval metrics of a model in training; the split is divided over the processes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import Any

import torch
from torch import Tensor

from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.retrieval.images import picture_at
from ctgi.retrieval.metrics import Metrics, evaluate_features
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.training.assemble import Model, clip_of
from ctgi.training.augment import Preprocess
from ctgi.training.distributed import World

_BATCH = 64


@torch.no_grad()
def validate(model: Model, split: Split, world: World, precision: AbstractContextManager[Any] | None = None) -> Metrics:
    """Text-to-image metrics of a split; the model is left in eval mode.

    Raises:
        ImageError: an image of the split cannot be read.
        CtgiError: a feature is not a number.
    """
    model.eval()
    with precision or nullcontext():
        images, texts = _encode_images(model, split, world), _encode_texts(model, split, world)
    return evaluate_features(texts.numpy(), images.numpy(), split.caption_pids, split.image_pids)


def _encode_images(model: Model, split: Split, world: World) -> Tensor:
    settings = clip_of(model).settings()
    preprocess = Preprocess(tuple(settings["image_size"]), tuple(settings["mean"]), tuple(settings["std"]), "none")

    def pixels(path: str) -> Tensor:
        with picture_at(path) as picture:
            return preprocess(picture.image, Random(0))

    def encode(rows: range) -> Tensor:
        batch = torch.stack(list(pool.map(pixels, [split.images[row] for row in rows])))
        return model.encoder.encode_image(batch.to(world.device), normalize=True)

    with ThreadPoolExecutor(4) as pool:
        return _shared_out(len(split.images), encode, world)


def _encode_texts(model: Model, split: Split, world: World) -> Tensor:
    tokenize = CaptionTokenizer(clip_of(model).context_length)

    def encode(rows: range) -> Tensor:
        ids = tokenize([split.captions[row] for row in rows])
        return model.encoder.encode_text(ids.to(world.device), normalize=True)

    return _shared_out(len(split.captions), encode, world)


def _shared_out(count: int, encode: Callable[[range], Tensor], world: World) -> Tensor:
    """[count, D] float32 on the CPU; every process encodes its share."""
    own = world.share(count)
    starts = range(own.start, own.stop, _BATCH)
    parts = [encode(range(start, min(start + _BATCH, own.stop))) for start in starts]
    rows = torch.cat(parts or [encode(range(1))[:0]])  # more processes than rows: the width is needed anyway
    return torch.cat(world.gather(rows.float())).cpu()
