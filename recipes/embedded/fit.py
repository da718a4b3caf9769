"""A resumable training loop: one learning-rate cycle over steps or minutes, averaged weights, a log of losses."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

SAVE_EVERY_S = 180
LOG_EVERY = 50
WARM = 0.04
"""Share of the cycle in which the learning rate rises."""
AVERAGED = 0.002
"""How much of each step's weights goes into the average."""

Step = Callable[[int, Random], tuple[Tensor, dict[str, Tensor]]]
"""(step, its randomness) -> loss and figures, of whose values the log gets the mean."""


@dataclass(frozen=True)
class Length:
    """How long to train: so many steps, or less where the minutes are over first; the cycle ends with either."""

    steps: int
    minutes: float | None = None

    def share(self, step: int, seconds: float) -> float:
        """Of the cycle: 1 at its end."""
        of_time = 0.0 if self.minutes is None else seconds / (self.minutes * 60)
        return max(step / self.steps, of_time)


def fit(
    module: nn.Module,
    step_from: Callable[[int], Step],
    length: Length,
    *,
    rate: float,
    state: Path,
    log: Path,
) -> None:
    """Train `module`, which ends with the average of its last weights.

    After a kill, the same call goes on from the last saved state. The randomness of a step depends on its number
    alone, so a run in parts sees what a run in one sees.

    Args:
        module: on torch's default device, as all that `step_from` makes.
        step_from: the first step's number -> what each step does.
        length: when to stop.
        rate: the highest learning rate.
        state: where module, optimizer and average are kept.
        log: JSON lines.
    """
    device = torch.get_default_device()
    optimizer = torch.optim.AdamW(
        _groups(module), lr=rate, betas=(0.9, 0.98), weight_decay=0.05, fused=device.type == "cuda"
    )
    weights = [p for p in module.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in weights]
    done, spent = _restore(module, optimizer, average, state)
    module.train()
    began = saved = time.monotonic()
    step, number = step_from(done), done
    while (share := length.share(number, spent + time.monotonic() - began)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * _scale(share)
        with torch.autocast(device.type, torch.bfloat16):
            loss, figures = step(number, Random(f"{state.stem}/{number}"))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        number += 1
        torch._foreach_lerp_(average, [p.detach() for p in weights], max(AVERAGED, 1 / (number + 1)))
        if number % LOG_EVERY == 0 or length.share(number, spent + time.monotonic() - began) >= 1:
            seconds = (time.monotonic() - began) / (number - done)
            told = {"step": number, "share": share, "s_per_step": seconds, "loss": loss.item(), "norm": norm.item()}
            _log(log, told | _plain(figures))
        if time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            _save(module, optimizer, average, number, spent + saved - began, state)
    if number > done:
        _save(module, optimizer, average, number, spent + time.monotonic() - began, state)
    with torch.no_grad():
        for weight, mean in zip(weights, average, strict=True):
            weight.copy_(mean)
    module.eval()


def _groups(module: nn.Module) -> list[dict[str, Any]]:
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def _scale(share: float) -> float:
    """Linear rise, then a half cosine to a hundredth."""
    if share < WARM:
        return max(share, 1e-3) / WARM
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - WARM) / (1 - WARM)))


def _restore(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor], state: Path
) -> tuple[int, float]:
    if not state.exists():
        return 0, 0.0
    saved = torch.load(state, map_location=torch.get_default_device(), weights_only=True)
    module.load_state_dict(saved["module"])
    optimizer.load_state_dict(saved["optimizer"])
    for mean, kept in zip(average, saved["average"], strict=True):
        mean.copy_(kept)
    return int(saved["step"]), float(saved["seconds"])


def _save(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor], step: int, seconds: float, state: Path
) -> None:
    partial = state.with_suffix(".partial")
    told = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
    torch.save(told | {"step": step, "seconds": seconds}, partial)
    partial.rename(state)


def _plain(figures: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.float().mean().item() for name, value in figures.items()}


def _log(path: Path, row: dict[str, float]) -> None:
    with path.open("a") as file:
        file.write(json.dumps({name: round(value, 5) for name, value in row.items()}) + "\n")
