"""Training batches, decoded in workers; the same in every run, for any number of workers and processes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ctgi.errors import CtgiError, ImageError
from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.retrieval.images import display, read_image
from ctgi.text import plain
from ctgi.training.augment import Augment, Box, Preprocess, View

logger = logging.getLogger(__name__)

_CPU = torch.device("cpu")

Tokenize = Callable[[Sequence[str]], Tensor]
"""Texts -> ids [B, L], padded."""
OnBadImage = Literal["stop", "skip"]
Item = tuple[int, int]
"""Epoch and row; a row's augmentation depends on nothing else."""


@dataclass(frozen=True)
class Batch:
    """Captions with their images, one row each."""

    pixels: Tensor
    """[B, 3, H, W] float32, normalized."""
    ids: Tensor
    """[B, L] int64 token ids; L is the length of the longest caption here."""
    pids: Tensor
    """[B] int64, the person in the image."""
    image_ids: Tensor
    """[B] int64, the image."""
    weights: Tensor
    """[B] float32, weight of the row in the loss."""
    index: Tensor
    """[B] int64, row in the split."""

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Self:
        """The batch on `device`."""
        return type(self)(*(getattr(self, field.name).to(device, non_blocking=non_blocking) for field in fields(self)))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory; called by the DataLoader."""
        return type(self)(*(getattr(self, field.name).pin_memory() for field in fields(self)))


@dataclass(frozen=True)
class _Row:
    """One row of a future batch, and the unreadable images that were skipped for it."""

    index: int
    view: View | None
    """None if no image at all could be read; an error raised in a worker would lose its message."""
    bad: tuple[tuple[str, str], ...] = ()
    """Path and reason."""


_Parcel = tuple[Batch | None, list[Box | None], list[tuple[str, str]]]
"""What a worker sends: a batch with pixels as bytes [B, H, W, 3], boxes to erase, and unreadable images."""


class EpochOrder:
    """The rows of each step of an epoch, as this process sees them; a batch sampler for a DataLoader.

    All processes draw the same order, and each takes its part of every step, so together they see what one process
    would. Parts differ by at most one row. The last step may be smaller; if it has too few rows for all processes,
    they join the step before.
    """

    def __init__(
        self, rows: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1, drop_last: bool = False
    ) -> None:
        if batch_size < world:
            raise CtgiError(
                f"batch size {batch_size} for {world} processes: expected a row for each; raise data.batch_size"
            )
        if rows < (batch_size if drop_last else world):
            raise CtgiError(
                f"{rows} captions to train on, fewer than one step takes ({batch_size} rows, {world} processes): "
                "lower data.batch_size"
            )
        self.epoch = 1
        self._rows, self._seed, self._rank, self._world = rows, seed, rank, world
        self._bounds = list(range(0, rows + 1, batch_size))
        left = rows - self._bounds[-1]
        if left >= world and not drop_last:
            self._bounds.append(rows)
        elif left and not drop_last:
            self._bounds[-1] = rows

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self._bounds) - 1

    def __iter__(self) -> Iterator[list[Item]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._rows).tolist()
        for start, end in zip(self._bounds, self._bounds[1:], strict=False):
            first, last = (start + (end - start) * rank // self._world for rank in (self._rank, self._rank + 1))
            yield [(self.epoch, row) for row in order[first:last]]


class _Rows(Dataset[_Row]):
    """The decoded and augmented image of each row."""

    def __init__(self, split: Split, preprocess: Preprocess, seed: int) -> None:
        self._images, self._row_images = split.images, split.caption_images
        self._preprocess = preprocess
        self._seed = seed

    def __len__(self) -> int:
        return len(self._row_images)

    def __getitem__(self, item: Item) -> _Row:
        epoch, row = item
        bad = []
        for step in range(len(self)):
            index = (row + step) % len(self)
            path = self._images[self._row_images[index]]
            try:
                image = read_image(path)
            except ImageError as error:
                bad.append((path, error.reason))
            else:
                return _Row(index, self._preprocess.draw(image, Random(f"{self._seed}/{epoch}/{index}")), tuple(bad))
        return _Row(row, None, tuple(bad))


class _Collate:
    """Collates rows into a batch, with the images that could not be read.

    Captions are tokenized once, before the first epoch, because a long one takes as much time as its image.
    """

    def __init__(self, split: Split, tokenize: Tokenize) -> None:
        self._split = split
        self._padding = int(tokenize(["a"])[0, -1])
        parts = [split.captions[start : start + 1024] for start in range(0, len(split.captions), 1024)]
        self._ids = torch.cat([tokenize(part).int() for part in parts])

    def __call__(self, rows: list[_Row]) -> _Parcel:
        bad = [failure for row in rows for failure in row.bad]
        views = [row.view for row in rows if row.view is not None]
        if not views:
            return None, [], bad
        split, index = self._split, [row.index for row in rows]
        batch = Batch(
            torch.stack([torch.from_numpy(view.pixels) for view in views]),
            trimmed(self._ids[index], self._padding).long(),
            torch.tensor([split.caption_pids[row] for row in index]),
            torch.tensor([split.caption_images[row] for row in index]),
            torch.tensor([split.weights[row] if split.weights else 1.0 for row in index]),
            torch.tensor(index),
        )
        return batch, [view.erased for view in views], bad


def trimmed(ids: Tensor, padding: int = 0) -> Tensor:
    """Token ids [B, L] without trailing columns of padding; at least one column stays."""
    used = (ids != padding).any(dim=0).nonzero()
    return ids[:, : int(used.max()) + 1 if len(used) else 1]


class TrainLoader:
    """Iterates over the batches of an epoch. A row's augmentation depends only on seed, epoch and row."""

    def __init__(
        self,
        batches: "DataLoader[_Row]",
        order: EpochOrder,
        preprocess: Preprocess,
        device: torch.device,
        on_bad_image: OnBadImage,
    ) -> None:
        self._batches = batches
        self._order = order
        self._preprocess = preprocess
        self._device = device
        self._on_bad_image = on_bad_image
        self.bad_images: dict[str, str] = {}
        """Path -> reason of each unreadable image that this process skipped."""

    def set_epoch(self, epoch: int) -> None:
        """Choose order and augmentation of the next iteration."""
        self._order.epoch = epoch

    def __len__(self) -> int:
        """Steps in an epoch, the same for all processes."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's part of each step.

        Raises:
            CtgiError: an image cannot be read and `on_bad_image` is stop, or none can; a worker died.
        """
        for batch, erased, bad in _explained(self._batches):
            for path, reason in bad:
                self._report(path, reason)
            if batch is None:
                raise CtgiError(f"none of the {len(self.bad_images):,} training images can be read: see the warnings")
            batch = batch.to(self._device, non_blocking=True)
            yield replace(batch, pixels=self._preprocess.finish(batch.pixels, erased))

    def _report(self, path: str, reason: str) -> None:
        if self._on_bad_image == "stop":
            raise CtgiError(f"{display(path)}: {reason}: repair or download the image, or set data.on_bad_image=skip")
        if path not in self.bad_images:
            logger.warning("%s: %s: another row takes its place", display(path), reason)
        self.bad_images[path] = reason


def _explained(batches: "DataLoader[Any]") -> Iterator[_Parcel]:
    """The batches; the death of a worker becomes an error with a cure."""
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise CtgiError(
            "a process that decodes images died, perhaps for lack of memory (in a container, of --shm-size): "
            f"lower data.workers or data.batch_size ({plain(str(error))[:200]})"
        ) from None


def train_loader(
    split: Split,
    tokenize: Tokenize,
    image_size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    batch_size: int,
    workers: int = 0,
    augment: Augment = "irra",
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = False,
    on_bad_image: OnBadImage = "stop",
    device: torch.device = _CPU,
) -> TrainLoader:
    """Batches of a split's rows, shuffled anew in each epoch.

    Args:
        split: what to train on.
        tokenize: texts -> ids [B, context length].
        image_size: (height, width) in px.
        mean: subtracted from each color channel.
        std: divides each color channel.
        batch_size: rows in a step, over all processes.
        workers: processes that decode images; 0 decodes in this one.
        augment: see `Preprocess`.
        seed: for order and augmentation.
        rank: this process's number among `world`.
        world: processes that train together.
        drop_last: omit a smaller last step.
        on_bad_image: stop at an image that cannot be read, or skip it: the next row that can be read takes its
            place, so that all processes keep their number of rows.
        device: where the batches go. Workers send bytes, a quarter of the size of floats.

    Raises:
        CtgiError: fewer rows than a step needs, or an unknown augmentation.
    """
    order = EpochOrder(len(split.captions), batch_size, seed=seed, rank=rank, world=world, drop_last=drop_last)
    preprocess = Preprocess(image_size, mean, std, augment)
    batches: DataLoader[_Row] = DataLoader(
        _Rows(split, preprocess, seed),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_Collate(split, tokenize),
        generator=torch.Generator(),  # a separate one, because the global one belongs to the model
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    return TrainLoader(batches, order, preprocess, device, on_bad_image)
