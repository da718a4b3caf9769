"""Adam or AdamW over parameter groups chosen by name, with the rates of IRRA and RDE."""

from collections import defaultdict
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import Parameter
from torch.optim import Adam, AdamW, Optimizer

from ctgi.errors import CtgiError

CROSS_MODULES = ("cross_",)
"""IRRA's interaction encoder: `new_lr_factor` for its weights; its biases go with all biases, as released."""
HEADS = ("classifier", "mlm_head")
"""IRRA's heads: `new_lr_factor` for weights and biases."""
TOKEN_SELECTION = ("image_selection", "text_selection")
"""RDE's token selection: `selection_lr` for weights and biases."""


class OptimizerSettings(BaseModel):
    """Rates and decays; the defaults are those of the released IRRA and RDE."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["adam", "adamw"] = "adam"
    lr: float = Field(1e-5, gt=0)
    """Rate of the pretrained encoder's weights, after warm-up."""
    new_lr_factor: float = Field(5.0, gt=0)
    """Factor on `lr` for modules that start from random weights."""
    bias_lr_factor: float = Field(2.0, gt=0)
    selection_lr: float = Field(1e-3, gt=0)
    """Rate of RDE's token selection."""
    weight_decay: float = Field(4e-5, ge=0)
    """adam adds it to the gradient, as released; adamw subtracts it from the weight."""
    bias_weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float | None = Field(None, gt=0)
    """null: 1e-3 for adam, as released, and 1e-8 for adamw."""


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """An optimizer over the parameters of `model` that need a gradient.

    Parameters with the same rate and decay share a group, which needs fewer kernels.
    Each group holds its full rate in `initial_lr` and its names in `param_names`.

    Raises:
        CtgiError: no parameter needs a gradient.
    """
    groups: dict[tuple[float, float], list[tuple[str, Parameter]]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[rate_and_decay(name, settings)].append((name, parameter))
    if not groups:
        raise CtgiError("nothing to train: every parameter of the model is frozen; unfreeze some, like the heads")
    rows = [
        {"params": named, "lr": lr, "initial_lr": lr, "weight_decay": decay} for (lr, decay), named in groups.items()
    ]
    if settings.kind == "adam":
        return Adam(rows, lr=settings.lr, betas=settings.betas, eps=settings.eps or 1e-3, fused=True)
    return AdamW(rows, lr=settings.lr, betas=settings.betas, eps=settings.eps or 1e-8, fused=True)


def rate_and_decay(name: str, settings: OptimizerSettings) -> tuple[float, float]:
    """Learning rate and weight decay of the parameter `name`; a later rule overrides an earlier one."""
    lr, decay = settings.lr, settings.weight_decay
    if _is_in(name, CROSS_MODULES):
        lr = settings.lr * settings.new_lr_factor
    if "bias" in name:
        lr, decay = settings.lr * settings.bias_lr_factor, settings.bias_weight_decay
    if _is_in(name, HEADS):
        lr = settings.lr * settings.new_lr_factor
    if _is_in(name, TOKEN_SELECTION):
        lr = settings.selection_lr
    return lr, decay


def _is_in(name: str, modules: tuple[str, ...]) -> bool:
    return any(module in name for module in modules)
