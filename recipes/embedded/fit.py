"""A resumable training loop: steps, one learning-rate cycle, a state file that outlives a kill, a log of losses."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

SAVE_EVERY_S = 180
LOG_EVERY = 50
WARM = 0.04
"""Share of the steps in which the learning rate rises."""

Step = Callable[[int, Random], tuple[Tensor, dict[str, float]]]
"""(step, its randomness) -> loss and figures for the log."""


def fit(module: nn.Module, step: Step, *, steps: int, rate: float, state: Path, log: Path) -> None:
    """Train `module` for `steps` steps; after a kill, the same call goes on from the last saved state.

    `module`, and what `step` makes, are on torch's default device.
    The randomness of a step depends on its number alone, so a run in parts sees what a run in one sees.
    """
    optimizer = torch.optim.AdamW(_groups(module), lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    done = _restore(module, optimizer, state)
    module.train()
    began = saved = time.monotonic()
    for number in range(done, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * _scale(number, steps)
        with torch.autocast(torch.get_default_device().type, torch.bfloat16):
            loss, figures = step(number, Random(f"{state.stem}/{number}"))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        if (number + 1) % LOG_EVERY == 0 or number + 1 == steps:
            seconds = (time.monotonic() - began) / (number + 1 - done)
            _log(log, {"step": number + 1, "loss": loss.item(), "norm": norm.item(), "s_per_step": seconds, **figures})
        if time.monotonic() - saved > SAVE_EVERY_S or number + 1 == steps:
            _save(module, optimizer, number + 1, state)
            saved = time.monotonic()
    module.eval()


def _groups(module: nn.Module) -> list[dict[str, Any]]:
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def _scale(step: int, steps: int) -> float:
    """Linear rise, then a half cosine to a hundredth."""
    rise = max(1, round(steps * WARM))
    if step < rise:
        return (step + 1) / rise
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _restore(module: nn.Module, optimizer: torch.optim.Optimizer, state: Path) -> int:
    if not state.exists():
        return 0
    saved = torch.load(state, map_location=torch.get_default_device(), weights_only=True)
    module.load_state_dict(saved["module"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _save(module: nn.Module, optimizer: torch.optim.Optimizer, step: int, state: Path) -> None:
    partial = state.with_suffix(".partial")
    torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
    partial.rename(state)


def _log(path: Path, row: dict[str, float]) -> None:
    with path.open("a") as file:
        file.write(json.dumps({name: round(value, 5) for name, value in row.items()}) + "\n")
