"""Checkpoints of others for an architecture that the user names: `open_clip:MODEL,FILE`."""

from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from torch import Tensor

from ctgi.retrieval.checkpoint import load_content
from ctgi.retrieval.foreign import openai
from ctgi.retrieval.foreign.layouts import is_foreign, modules_of, parts_of, shown
from ctgi.retrieval.foreign.parts import Parts
from ctgi.text import plain

_SUFFIX = "-quickgelu"
_TEMPERATURE = 0.07
"""Of weights without one; it changes no vector."""


@dataclass(frozen=True)
class NamedWeights:
    """The weights of a file in OpenAI's names, and the activation that they need."""

    state: dict[str, Tensor]
    quick_gelu: bool
    """True overrides the named architecture."""
    look: dict[str, tuple[float, float, float]]
    """Mean and deviation of the colors, as its code has them; empty if nobody knows its code."""
    notice: str
    """What was recognized and left out, and the activation, on one line; empty if there is nothing to say."""


def read_named(model: str, file: Path) -> NamedWeights | None:
    """The weights of a checkpoint for open_clip's `model`; None if open_clip has to read the file itself.

    OpenAI's own files need QuickGELU. So do those of IRRA, RDE, TBPS-CLIP and Long-CLIP, which start from OpenAI's,
    where OpenAI has that architecture; for one of another origin, the name decides.

    Raises:
        CtgiError: no checkpoint of tensors and plain values.
    """
    content = load_content(file)
    if not is_foreign(content):
        return None
    parts = parts_of(content, {})
    descends = parts.layout == openai.OWN or (parts.quick_gelu is True and _has_both(model))
    state = {"logit_scale": torch.tensor(1 / _TEMPERATURE).log(), **parts.clip}
    return NamedWeights(
        {name: value.float() for name, value in state.items()},
        descends,
        {} if parts.quick_gelu is None else {"mean": parts.look.mean, "std": parts.look.std},
        _notice(model, file, parts, descends),
    )


def _has_both(model: str) -> bool:
    return f"{model.replace('/', '-')}{_SUFFIX}" in open_clip.list_models()


def _notice(model: str, file: Path, parts: Parts, descends: bool) -> str:
    quick = descends or bool(open_clip.get_model_config(model.replace("/", "-")).get("quick_gelu"))
    told = [f"read as {parts.layout}", f"{'QuickGELU' if quick else 'GELU'}{'' if descends else f' as {model} says'}"]
    if parts.quick_gelu and not quick:
        told[-1] += f" (its own code has QuickGELU: for that, trained:{file})"
    if parts.quick_gelu is None and not quick and _has_both(model):
        told[-1] += f" (weights that descend from OpenAI's need {model}{_SUFFIX})"
    if parts.left_out or parts.selection:
        names = (*parts.left_out, *parts.selection)
        told.append(f"not used: {shown(modules_of(names))}")
    interesting = parts.quick_gelu is not None or len(told) > 2 or told[-1].endswith(")")
    return f"{plain(str(file))}: {'; '.join(told)}" if interesting else ""
