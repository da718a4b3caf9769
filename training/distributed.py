"""Training on several processes (torchrun), and in parts of a batch whose loss is that of the whole batch."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ctgi.device import pick_device

Gather = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class World:
    """This process and the group that trains together."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """This process's part of `rows` rows; the parts are contiguous and differ by one row at most."""
        bounds = [rows * rank // self.size for rank in (self.rank, self.rank + 1)]
        return slice(*bounds)

    def gather(self, rows: Tensor) -> list[Tensor]:
        """[b, ...] of every process, in rank order and without gradient; b may differ between them."""
        if self.size == 1:
            return [rows.detach()]
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        longest = max(int(own) for own in counts)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows.detach()
        everyone = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(everyone, padded)
        return [part[: int(own)] for part, own in zip(everyone, counts, strict=True)]

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """The processes started by torchrun, or this one alone. They leave together at the end of the outermost `with`.

    Raises:
        CtgiError: no such device.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = _device(device, int(os.environ.get("LOCAL_RANK", "0")) if size > 1 else None)
    if size == 1 or dist.is_initialized():
        yield World(place, rank, size)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(place, rank, size)
        dist.barrier()  # else a process that leaves first can abort the others
    finally:
        dist.destroy_process_group()


def _device(wanted: str, local_rank: int | None) -> torch.device:
    """The device of this process: under torchrun each has a GPU of its own."""
    picked = pick_device(wanted, "run.device")
    if picked.startswith("cuda") and local_rank is not None:
        picked = pick_device(f"cuda:{local_rank}", "run.device")
    return torch.device(picked)


@dataclass
class WholeBatch:
    """One effective batch in `parts` parts per process, each computed alone with the loss of the whole batch.

    A contrastive loss compares all pairs of the batch, so losses of parts do not add up. Here every part is computed
    with the features of all other parts held constant; the sum of the parts' gradients is the gradient of the
    whole (GradCache, arXiv:2101.06983). With several parts per process the features come from a first pass
    without gradient; parts on other processes give theirs as they go. Every part must compute the whole loss.
    """

    world: World
    parts: int = 1
    _seen: list[list[Tensor]] = field(default_factory=list)
    """By gather call: the rows of each part of this process in the first pass."""
    _all: list[list[list[Tensor]]] = field(default_factory=list)
    """By gather call and process: the rows of its parts."""

    def recorder(self) -> Gather:
        """The gather function of the first pass: records the rows and returns them alone."""
        calls = count()

        def gather(rows: Tensor) -> Tensor:
            call = next(calls)
            if call == len(self._seen):
                self._seen.append([])
            self._seen[call].append(rows.detach())
            return rows

        return gather

    def exchange(self) -> None:
        """After the first pass: exchange the recorded rows between all processes."""
        self._all = [_exchanged(self.world, parts) for parts in self._seen]

    def gather(self, part: int) -> Gather:
        """The gather function of the gradient pass over part `part`: the rows of all parts, its own with gradient.

        The gradient of its own rows is scaled by the number of parts, so that the mean over parts, which is what
        data-parallel training takes, is the gradient of the whole.
        """
        if self.world.size * self.parts == 1:
            return _same
        calls = count()

        def gather(rows: Tensor) -> Tensor:
            everyone = [list(parts) for parts in self._others(rows, next(calls))]
            alive = _ScaledGradient.apply(rows, self.world.size * self.parts) if rows.requires_grad else rows
            everyone[self.world.rank][part] = alive
            return torch.cat([one for parts in everyone for one in parts])

        return gather

    def _others(self, rows: Tensor, call: int) -> list[list[Tensor]]:
        return self._all[call] if self.parts > 1 else [[theirs] for theirs in self.world.gather(rows)]


def _same(rows: Tensor) -> Tensor:
    return rows


def _exchanged(world: World, parts: list[Tensor]) -> list[list[Tensor]]:
    counts = world.gather(torch.tensor([len(rows) for rows in parts], device=parts[0].device))
    return [
        list(torch.split(rows, own.tolist())) for rows, own in zip(world.gather(torch.cat(parts)), counts, strict=True)
    ]


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def split_rows(rows: int, parts: int) -> Sequence[slice]:
    """`parts` contiguous slices of `rows` rows, which differ by one row at most."""
    return [slice(rows * part // parts, rows * (part + 1) // parts) for part in range(parts)]
