"""A real open_clip model of 0.35 million random parameters, saved as open_clip loads one, and people to look at."""

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": [64, 32], "patch_size": 16, "width": 64, "layers": 2, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49_408, "width": 4, "heads": 2, "layers": 2},
}
LEARNER = CONFIG | {
    "vision_cfg": CONFIG["vision_cfg"] | {"patch_size": 8},
    "text_cfg": CONFIG["text_cfg"] | {"width": 64},
}
"""Large enough to learn to tell drawn people apart."""
CLOTHES = (("red", "blue"), ("yellow", "black"), ("white", "green"), ("purple", "orange"))


def save_tiny_clip(folder: Path, *, seed: int = 0, config: dict[str, Any] = CONFIG) -> Path:
    """Write a checkpoint folder that `open_clip:local-dir:FOLDER` loads by path alone; returns it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in tiny_model(seed, config).state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return folder


def tiny_model(seed: int = 0, config: dict[str, Any] = CONFIG) -> Any:
    """The model itself."""
    import open_clip
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return open_clip.model.CLIP(**config)


def save_people(folder: Path) -> Path:
    """Two images each of four people who differ in their clothes: 0_a.png, 0_b.png, 1_a.png ...; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for person, (shirt, trousers) in enumerate(CLOTHES):
        for view, shift in (("a", 0), ("b", 3)):
            _figure(shirt, trousers, shift).save(folder / f"{person}_{view}.png")
    return folder


def _figure(shirt: str, trousers: str, shift: int) -> Image.Image:
    image = Image.new("RGB", (48, 96), "gray")
    draw = ImageDraw.Draw(image)
    draw.ellipse((18 + shift, 4, 30 + shift, 20), fill="peachpuff")
    draw.rectangle((12 + shift, 20, 36 + shift, 54), fill=shirt)
    draw.rectangle((14 + shift, 54, 34 + shift, 92), fill=trousers)
    return image
