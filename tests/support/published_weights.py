"""The papers' own weights on our modules: their parameter names to ours, their sizes to an open_clip configuration."""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ctgi.retrieval.clip_tokens import ClipTokens, build_clip
from ctgi.retrieval.foreign.parts import Look

Case = dict[str, np.ndarray]


def clip_of(case: Case) -> ClipTokens:
    """A CLIP of the case's sizes."""
    return clip_of_sizes(json.loads(str(case["cfg_json"])))


def clip_of_sizes(cfg: dict[str, Any]) -> ClipTokens:
    """A CLIP of the sizes that stand beside reference numbers, which prepares images as IRRA and RDE do."""
    vision = {"image_size": cfg["img_size"], "patch_size": cfg["patch"]}
    vision |= {"width": cfg["vision_width"], "layers": cfg["vision_layers"]}
    text = {"context_length": cfg["context_length"], "vocab_size": cfg["vocab"]}
    text |= {"width": cfg["text_width"], "heads": cfg["text_heads"], "layers": cfg["text_layers"]}
    name = {
        "embed_dim": cfg["embed_dim"],
        "vision_cfg": vision | {"head_width": cfg["vision_width"] // cfg["vision_heads"]},
        "text_cfg": text,
        "quick_gelu": True,
    }
    return build_clip({"name": name, "image_size": cfg["img_size"], **vars(Look())})


def weights(case: Case, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start so, without it."""
    return {
        name.removeprefix(prefix): torch.from_numpy(value) for name, value in case.items() if name.startswith(prefix)
    }


def load(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load weights made by the papers' code, which has CLIP's learned temperature as a constant."""
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("logit_scale") for name in missing), missing


def irra_names(name: str) -> str:
    """IRRA's name of a parameter to ours."""
    if name.startswith("base_model."):
        return name.replace("base_model.", "encoder.model.", 1)
    return name if name.startswith("classifier.") else f"interaction.{name}"


def tensors(case: Case, *names: str) -> tuple[Tensor, ...]:
    """Inputs of the case."""
    return tuple(torch.from_numpy(case[name]) for name in names)
