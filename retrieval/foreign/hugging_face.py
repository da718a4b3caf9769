"""Pairs of towers that run through `transformers`, because they are no CLIP: SigLIP, SigLIP 2 and BLIP, by folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctgi.errors import CtgiError
from ctgi.reading import MALFORMED, read_json
from ctgi.retrieval.foreign.hugging_face_clip import PREPROCESSOR
from ctgi.text import plain

_FILTERS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
_NO_TOKEN = -1
_PAIRS = {
    "siglip": "ctgi.retrieval.foreign.siglip:open_siglip",
    "siglip2": "ctgi.retrieval.foreign.siglip:open_naflex",
    "blip": "ctgi.retrieval.foreign.blip:open_blip",
}
"""model_type of config.json -> what opens such a folder."""


@dataclass(frozen=True)
class Pair:
    """An image tower and a text tower, as an open_clip model and its tokenizer."""

    name: str
    """What it is, in words."""
    model: Any
    """A module with `encode_image`, `encode_text` and `visual.preprocess_cfg`."""
    tokenizer: "Tokenizer"


class Tokenizer:
    """The tokenizer of a folder, with the shape of open_clip's."""

    def __init__(self, tokenizer: Any, context_length: int, *, lower: bool = False, full: bool = True) -> None:
        """Wrap a tokenizer of `transformers`.

        Args:
            tokenizer: of the folder.
            context_length: tokens that the model reads.
            lower: whether texts are read in lower case.
            full: whether every text is padded to the context length, not only to the longest.
        """
        self.context_length = context_length
        self._tokenizer, self._lower, self._full = tokenizer, lower, full

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Texts -> ids [B, L]. Beyond the model's own length the padding is -1, which no token is."""
        length, read = context_length or self.context_length, [text.lower() if self._lower else text for text in texts]
        if length == self.context_length:
            padding = "max_length" if self._full else "longest"
            padded = self._tokenizer(read, padding=padding, truncation=True, max_length=length)["input_ids"]
            return torch.tensor(padded)
        rows = self._tokenizer(read, verbose=False)["input_ids"]
        return torch.tensor([row + [_NO_TOKEN] * (length - len(row)) for row in rows])


def pair_opener(folder: Path) -> Callable[[Path, tuple[int, int] | None], Pair] | None:
    """What opens a folder with (folder, image size or None); None if it holds no such pair."""
    config = folder / "config.json"
    found = read_json(config) if config.is_file() else None
    where = _PAIRS.get(str(found.get("model_type"))) if isinstance(found, dict) else None
    if where is None:
        return None
    module, _, name = where.partition(":")
    opener: Callable[[Path, tuple[int, int] | None], Pair] = getattr(import_module(module), name)
    return opener


def load_parts(folder: Path, kind: str) -> tuple[Any, Any]:
    """The model of a folder in float32, and its tokenizer. Nothing is downloaded, and no code of the folder is run.

    kind: the class of `transformers`.

    Raises:
        CtgiError: a file is missing or damaged, or weights are missing or of other shapes.
    """
    import transformers

    shown = plain(str(folder))
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # what is missing is said below
    try:
        loader = getattr(transformers, kind)
        model, info = loader.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, RuntimeError, ImportError, *MALFORMED) as error:
        raise CtgiError(
            f"{shown}: transformers cannot load it: {plain(str(error).partition(chr(10))[0])[:300]}"
        ) from None
    odd = {*info["missing_keys"], *(str(name[0]) for name in info["mismatched_keys"])}
    if odd:
        names = plain(", ".join(sorted(odd)[:6]))
        raise CtgiError(f"{shown}: weights that vectors depend on are missing or of other shapes: {names}")
    return model.float(), tokenizer


def look_of(folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """open_clip's preprocessing of the folder's, for images of (height, width).

    Raises:
        CtgiError: the folder does not say how images are prepared.
    """
    said = read_json(folder / PREPROCESSOR)
    if not isinstance(said, dict):
        raise CtgiError(f"{plain(str(folder / PREPROCESSOR))}: expected how images are prepared")
    mean, std = said.get("image_mean", [0.5] * 3), said.get("image_std", [0.5] * 3)
    interpolation = _FILTERS.get(said.get("resample", 3), "bicubic")
    return {"size": size, "mean": tuple(mean), "std": tuple(std), "interpolation": interpolation}
