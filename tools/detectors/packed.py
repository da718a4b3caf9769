"""Weights of convolutions as small whole numbers: half their size in half precision, and a third in a wheel."""

from collections.abc import Mapping

import torch
from torch import Tensor

_STEPS = 15
"""Largest whole number; each output channel has its own step."""
_STEP = ".step"


def pack(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pointwise convolutions, which are nearly all of a MobileNet, as int8 and a step; the rest in half precision."""
    packed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() == 4 and weight.shape[1] > 1 and weight.shape[2:] == (1, 1):
            step = (weight.abs().amax((1, 2, 3), keepdim=True) / _STEPS).clamp(min=1e-6)
            packed[name] = (weight / step).round().to(torch.int8).contiguous()
            packed[name + _STEP] = step.half()
        else:
            packed[name] = weight.half().contiguous()
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float32, as `pack` was given them up to half a step."""
    return {
        name: weight * packed[name + _STEP].float() if name + _STEP in packed else weight.float()
        for name, weight in packed.items()
        if not name.endswith(_STEP)
    }
