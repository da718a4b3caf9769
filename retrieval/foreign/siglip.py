"""SigLIP and SigLIP 2 in a folder of Hugging Face, through `transformers`: towers and tokenizer are not CLIP's."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctgi.errors import CtgiError
from ctgi.reading import MALFORMED, read_json
from ctgi.retrieval.foreign.hugging_face_clip import PREPROCESSOR
from ctgi.text import plain

_FILTERS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
_NO_TOKEN = -1


class Siglip(nn.Module):
    """A SigLIP with open_clip's methods."""

    def __init__(self, model: Any, preprocess_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.visual = SimpleNamespace(preprocess_cfg=preprocess_cfg)

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Images [B, 3, H, W] -> [B, D]."""
        return _pooled(self.model.get_image_features(pixel_values=pixels), normalize)

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Ids [B, L] -> [B, D]."""
        return _pooled(self.model.get_text_features(input_ids=ids), normalize)


class SiglipTokenizer:
    """The tokenizer of a folder, in lower case and at full width, as SigLIP is trained."""

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.context_length = context_length
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Texts -> ids [B, L]. Beyond the model's own length the padding is -1, which no token is."""
        length, lower = context_length or self.context_length, [text.lower() for text in texts]
        if length == self.context_length:
            padded = self._tokenizer(lower, padding="max_length", truncation=True, max_length=length)["input_ids"]
            return torch.tensor(padded)
        rows = self._tokenizer(lower)["input_ids"]
        return torch.tensor([row + [_NO_TOKEN] * (length - len(row)) for row in rows])


def is_siglip(folder: Path) -> bool:
    """Whether a folder holds a SigLIP for images of one size."""
    config = folder / "config.json"
    found = read_json(config) if config.is_file() else None
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind == "siglip2":
        raise CtgiError(
            f"{plain(str(folder))}: a SigLIP 2 for images of any form (NaFlex): take one of fixed size, "
            "like siglip2-base-patch16-224"
        )
    return kind == "siglip"


def load_siglip(folder: Path) -> tuple[Siglip, SiglipTokenizer]:
    """The model of a folder, and its tokenizer. Nothing is downloaded, and no code of the folder is run.

    Raises:
        CtgiError: a file is missing or damaged, or weights are missing.
    """
    from transformers import AutoModel, AutoTokenizer

    shown = plain(str(folder))
    try:
        model, info = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, RuntimeError, ImportError, *MALFORMED) as error:
        raise CtgiError(
            f"{shown}: transformers cannot load it: {plain(str(error).partition(chr(10))[0])[:300]}"
        ) from None
    if missing := sorted(info["missing_keys"]):
        raise CtgiError(f"{shown}: weights that vectors depend on are missing: {plain(', '.join(missing[:6]))}")
    look = _look(folder, model.config.vision_config.image_size)
    return Siglip(model.float(), look), SiglipTokenizer(tokenizer, model.config.text_config.max_position_embeddings)


def _look(folder: Path, side: int) -> dict[str, Any]:
    """open_clip's preprocessing of the folder's."""
    said = read_json(folder / PREPROCESSOR)
    if not isinstance(said, dict):
        raise CtgiError(f"{plain(str(folder / PREPROCESSOR))}: expected how images are prepared")
    mean, std = said.get("image_mean", [0.5] * 3), said.get("image_std", [0.5] * 3)
    return {
        "size": (side, side),
        "mean": tuple(mean),
        "std": tuple(std),
        "interpolation": _FILTERS.get(said.get("resample", 3), "bicubic"),
    }


def _pooled(output: Any, normalize: bool) -> Tensor:
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return F.normalize(features, dim=1) if normalize else features
