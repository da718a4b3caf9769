"""The embedded retriever as an open_clip model of 12 million parameters, before and after training."""

import json
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

CONFIG: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": [192, 64], "patch_size": 16, "width": 256, "layers": 6, "head_width": 64},
    "text_cfg": {"context_length": 248, "vocab_size": 49_408, "width": 128, "heads": 2, "layers": 4},
}
"""Person crops at half the field's usual 384 x 128 px, and captions of up to 248 tokens."""
GRID = (12, 4)
"""Patches of a picture."""
WEIGHTS = "open_clip_model.safetensors"


def new_clip() -> CLIP:
    """Random weights."""
    return CLIP(**CONFIG)


def save_clip(model: torch.nn.Module, folder: Path) -> None:
    """The folder that ships, in half precision, as `open_clip:local-dir:FOLDER` loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}, indent=2) + "\n")
