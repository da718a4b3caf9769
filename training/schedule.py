"""The learning rate of every epoch: warm-up, then a decay (IRRA, arXiv:2303.12501, and its released code)."""

from bisect import bisect_right
from math import cos, pi
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch.optim import Optimizer


class ScheduleSettings(BaseModel):
    """How the learning rate warms up and decays; the defaults are IRRA's, and RDE's after it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(60, ge=1)
    warmup_epochs: int = Field(5, ge=0)
    warmup: Literal["linear", "constant"] = "linear"
    """linear climbs from `warmup_factor` to 1; constant stays at `warmup_factor`."""
    warmup_factor: float = Field(0.1, ge=0, le=1)
    decay: Literal["cosine", "linear", "step", "exp", "poly", "poly_as_released"] = "cosine"
    """poly falls as (1 - progress) ** power; poly_as_released is power ** (1 - progress), which rises."""
    milestones: tuple[int, ...] = (20, 50)
    """step multiplies by `gamma` after each of these numbers of epochs, warm-up included."""
    gamma: float = Field(0.1, gt=0, le=1)
    power: float = Field(0.9, gt=0)
    target_lr: float = Field(0.0, ge=0)
    """Final rate of cosine and poly, the same for every parameter group; the other kinds ignore it."""


def learning_rate(base: float, epoch: float, settings: ScheduleSettings) -> float:
    """The rate during `epoch`, counted from 1, for a parameter group with the full rate `base`.

    A fraction of an epoch is allowed, for a schedule per step: 1.5 is the middle of the first epoch.
    """
    done = epoch - 1
    if done < settings.warmup_epochs:
        return base * _warmup_factor(done / settings.warmup_epochs, settings)
    if settings.decay == "step":
        return base * settings.gamma ** bisect_right(sorted(settings.milestones), done)
    progress = min(1.0, (done - settings.warmup_epochs) / max(1, settings.epochs - settings.warmup_epochs))
    factor = _decay_factor(progress, settings)
    if settings.decay in ("linear", "exp"):
        return base * factor
    return settings.target_lr + (base - settings.target_lr) * factor


def set_learning_rates(optimizer: Optimizer, epoch: float, settings: ScheduleSettings) -> None:
    """Give every parameter group its rate for `epoch`, from the group's own `initial_lr`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(group["initial_lr"], epoch, settings)


def _warmup_factor(progress: float, settings: ScheduleSettings) -> float:
    if settings.warmup == "constant":
        return settings.warmup_factor
    return settings.warmup_factor * (1 - progress) + progress


def _decay_factor(progress: float, settings: ScheduleSettings) -> float:
    factors: dict[str, float] = {
        "cosine": 0.5 * (1 + cos(pi * progress)),
        "linear": 1 - progress,
        "exp": settings.power**progress,
        "poly": (1 - progress) ** settings.power,
        "poly_as_released": settings.power ** (1 - progress),
    }
    return factors[settings.decay]
