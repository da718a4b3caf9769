"""One optimizer step over an effective batch: mixed precision, accumulated parts, several processes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from ctgi.training.config import RunSettings
from ctgi.training.distributed import Gather, WholeBatch, World, split_rows
from ctgi.training.faults import NotFiniteError
from ctgi.training.loader import Batch

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
Terms = dict[str, float]


@dataclass
class Stepper:
    """Runs one optimizer step."""

    model: nn.Module
    optimizer: Optimizer
    world: World
    run: RunSettings

    def __post_init__(self) -> None:
        self._net = _parallel(self.model, self.world)
        self._scaler = torch.amp.GradScaler(self.world.device.type, enabled=self.run.precision == "fp16")

    def step(self, batch: Batch, seed: int) -> Terms:
        """Train on this process's share of a batch. The loss is that of the whole batch, however it is divided.

        Args:
            batch: on the model's device.
            seed: for the model's random choices; the same on all processes.

        Returns:
            Every loss term, their sum `total` and the gradients' `grad_norm`, the same on all processes.

        Raises:
            NotFiniteError: on all processes, if one of these is not finite; the weights are unchanged.
        """
        parts = [_rows(batch, rows) for rows in split_rows(len(batch.pids), self._parts(batch))]
        whole = WholeBatch(self.world, len(parts))
        if len(parts) > 1:
            self._first_pass(whole, parts, seed)
        self.optimizer.zero_grad()
        terms = []
        for number, part in enumerate(parts):
            with self._synchronised(number == len(parts) - 1):
                terms.append(self._backward(part, whole.gather(number), seed, 1 / len(parts)))
        return self._learn({name: torch.stack([part[name] for part in terms]).mean() for name in terms[0]})

    def _parts(self, batch: Batch) -> int:
        """The number of parts: as configured, but at most the fewest rows of any process, as all take part in each."""
        if self.run.accumulate == 1:
            return 1
        rows = torch.cat(self.world.gather(torch.tensor([len(batch.pids)], device=self.world.device)))
        return min(self.run.accumulate, int(rows.min()))

    def _first_pass(self, whole: WholeBatch, parts: list[Batch], seed: int) -> None:
        """Features of all parts without gradient; batch norm statistics do not change."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with torch.no_grad(), precision(self.run, self.world):
            for part in parts:
                self.model(part, Generator().manual_seed(seed), whole.recorder())
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])
        whole.exchange()

    def _backward(self, part: Batch, gather: Gather, seed: int, share: float) -> dict[str, Tensor]:
        with precision(self.run, self.world):
            terms = self._net(part, Generator().manual_seed(seed), gather)
            total = torch.stack([term.float() for term in terms.values()]).sum()
        torch.autograd.backward(self._scaler.scale(total * share))
        return {name: value.detach().float() for name, value in {**terms, "total": total}.items()}

    def _learn(self, terms: dict[str, Tensor]) -> Terms:
        self._scaler.unscale_(self.optimizer)
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        values = self.world.total(torch.stack([*terms.values(), norm])) / self.world.size
        report = dict(
            zip([*terms, "grad_norm"], values.tolist(), strict=True)
        )  # the only synchronization with the device
        self._check(report)
        if self.run.clip_norm is not None:
            clip_grads_with_norm_(parameters, self.run.clip_norm, norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return report

    def _check(self, report: Terms) -> None:
        """Raise NotFiniteError, except for fp16 gradients: the scaler skips the step and lowers the scale."""
        watched = {
            name: value for name, value in report.items() if name != "grad_norm" or not self._scaler.is_enabled()
        }
        broken = [f"{name} is {value}" for name, value in watched.items() if not abs(value) < float("inf")]
        if broken:
            raise NotFiniteError(", ".join(broken))

    def _synchronised(self, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last or self.world.size == 1 else self._net.no_sync()

    def state_dict(self) -> dict[str, Any]:
        """State kept from step to step besides the model."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])


def precision(run: RunSettings, world: World) -> AbstractContextManager[Any]:
    """A context in which matrix products use the run's precision."""
    dtype = _DTYPES[run.precision]
    return torch.autocast(world.device.type, dtype) if dtype else nullcontext()


def _parallel(model: nn.Module, world: World) -> Any:
    """The model behind DDP; on GPUs, batch norm covers all processes, which torch does not support on the CPU."""
    if world.size == 1:
        return model
    devices = None
    if world.device.type == "cuda":
        devices = [world.device.index]
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return nn.parallel.DistributedDataParallel(model, device_ids=devices)


def _rows(batch: Batch, rows: slice) -> Batch:
    return replace(batch, **{field.name: getattr(batch, field.name)[rows] for field in fields(batch)})
