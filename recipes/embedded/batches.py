"""The training pictures on the device, in batches of one size; what changes at each visit is in variation.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from recipes.embedded.fields import FIELDS
from recipes.embedded.pictures import SHARD, Shard

Size = tuple[int, int]
_SIDES = FIELDS["side"][1]


@dataclass(frozen=True)
class Batch:
    """Pictures of one size."""

    pixels: Tensor
    """[B, H, W, 3], 0 to 255."""
    parts: Tensor
    """[B, H / PATCH, W / PATCH, PARTS], 0 to 255."""
    fields: Tensor
    """[B, fields]: the class of each."""


@dataclass
class _Stock:
    pixels: Tensor
    parts: Tensor
    fields: Tensor


class Pictures:
    """All pictures that have arrived, on torch's default device, found by number: shard * SHARD + place."""

    def __init__(self) -> None:
        self._stocks: dict[Size, _Stock] = {}
        self._rows: dict[Size, dict[int, int]] = {}

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def extend(self, shards: Sequence[tuple[int, Shard]]) -> None:
        """Take in shards with their numbers."""
        device = torch.get_default_device()
        for size in {size for _, shard in shards for size in shard.pixels}:
            fresh = [(number, shard) for number, shard in shards if size in shard.pixels]
            rows = self._rows.setdefault(size, {})
            for number, shard in fresh:
                for place in shard.places[size].tolist():
                    rows[number * SHARD + place] = len(rows)
            old = self._stocks.get(size)
            joined = [
                torch.cat(
                    [
                        *([getattr(old, name)] if old else []),
                        *(torch.from_numpy(getattr(shard, name)[size]).to(device) for _, shard in fresh),
                    ]
                )
                for name in ("pixels", "parts", "fields")
            ]
            self._stocks[size] = _Stock(*joined)

    def fields(self) -> Tensor:
        """[N, fields] of all pictures."""
        return torch.cat([stock.fields for stock in self._stocks.values()])

    def draw(self, size: int, rng: Random) -> Batch:
        """`size` pictures of one size by its share, some more than once where there are few; half of them mirrored."""
        stock = rng.choices(list(self._stocks.values()), [len(rows) for rows in self._rows.values()])[0]
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        cpu = torch.device("cpu")
        rows = torch.randint(len(stock.pixels), (size,), generator=generator, device=cpu)
        mirrored = torch.rand(size, generator=generator, device=cpu) < 0.5
        return _batch(stock, rows, mirrored)

    def take(self, size: Size, numbers: Sequence[int], mirrored: Tensor) -> Batch:
        """The pictures of these numbers, which all have this size."""
        rows = self._rows[size]
        return _batch(self._stocks[size], torch.tensor([rows[number] for number in numbers], device="cpu"), mirrored)


def _batch(stock: _Stock, rows: Tensor, mirrored: Tensor) -> Batch:
    device = stock.pixels.device
    rows, mirrored = rows.to(device, non_blocking=True), mirrored.to(device, non_blocking=True)
    return Batch(
        _flip(stock.pixels[rows], mirrored),
        _flip(stock.parts[rows], mirrored),
        _mirror(stock.fields[rows], mirrored),
    )


def _flip(pictures: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored[:, None, None, None], pictures.flip(2), pictures)


def _mirror(fields: Tensor, mirrored: Tensor) -> Tensor:
    """A person who faces the left faces the right in the mirror."""
    column = list(FIELDS).index("side")
    left, right = (_SIDES.index(side) + 1 for side in ("left", "right"))  # class 0 is unseen
    side = fields[:, column]
    turned = torch.where(side == left, right, torch.where(side == right, left, side))
    return torch.cat(
        [fields[:, :column], torch.where(mirrored, turned, side).to(fields.dtype)[:, None], fields[:, column + 1 :]], 1
    )


def shard_number(path: Path) -> int:
    """The number at the end of a shard's name, as Supply gives it."""
    return int(path.stem.rpartition("x")[2])
