"""What a layout finds in a checkpoint, before a model is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
Facts = Mapping[str, Any]
"""What stands beside the weights: the official `configs.yaml`, or a Hugging Face `config.json`."""

_CLIP = ("visual.", "transformer.", "token_embedding.", "ln_final.")
_CLIP_TABLES = ("positional_embedding", "text_projection", "logit_scale")


@dataclass(frozen=True)
class Look:
    """How images are prepared."""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Parts:
    """A checkpoint sorted into what makes vectors and what does not."""

    layout: str
    """Whose layout it is, in words."""
    clip: dict[str, Tensor]
    """The CLIP in OpenAI's names."""
    quick_gelu: bool | None
    """Whether its activation is QuickGELU; None if the file cannot tell."""
    selection: dict[str, Tensor] = field(default_factory=dict)
    """RDE's token selection in our names; empty without one."""
    ratio: float = 0.3
    """RDE: share of the tokens to select."""
    look: Look = Look()
    image_size: tuple[int, int] | None = None
    """(height, width); None leaves it to the number of positions."""
    heads: tuple[int, int] | None = None
    """Attention heads of the image and the text tower; None means one for 64 channels."""
    left_out: tuple[str, ...] = ()
    """Names of weights that only training uses."""
    assumed: tuple[str, ...] = ()
    """What neither the file nor a configuration beside it says, and what is taken instead."""


def clip_of(state: State) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights in OpenAI's names for a CLIP, and the others."""
    clip = {name: value for name, value in state.items() if name.startswith(_CLIP) or name in _CLIP_TABLES}
    return clip, {name: value for name, value in state.items() if name not in clip}


def under(state: State, prefix: str) -> dict[str, Tensor]:
    """The weights whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
