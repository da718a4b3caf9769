"""The embedded retriever: an open_clip model of 12 million parameters, from random weights to the published folder."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file

from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.trained_encoder import read_trained

CONFIG: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": [192, 64], "patch_size": 16, "width": 256, "layers": 6, "head_width": 64},
    "text_cfg": {"context_length": 248, "vocab_size": 49_408, "width": 128, "heads": 2, "layers": 4},
}
"""Person crops at half the field's usual 384 x 128 px, and captions of up to 248 tokens."""
WEIGHTS = "open_clip_model.safetensors"
_WORDS = "token_embedding.weight"
_ALIKE = 0.9999
"""Cosine above which a word's vector is still the random one: weight decay shortens it, learning turns it."""


def save_start(folder: Path, seed: int) -> None:
    """Random weights as a folder that `open_clip:local-dir:FOLDER` loads."""
    torch.manual_seed(seed)
    _save(CLIP(**CONFIG), folder)


def export(run: Path, start: Path, folder: Path) -> None:
    """The encoder of a run of `ctgi train` as an open_clip folder, in half precision.

    Words that no caption had say nothing in it: their vectors, still those of `start`, become 0. Most of the
    vocabulary are such words, so the file packs to half its size.

    Raises:
        CtgiError: no checkpoint in the run, or not of IRRA.
    """
    file, encoder, _ = read_trained(str(run))
    if not isinstance(encoder, ClipTokens):
        raise CtgiError(f"{file}: expected a checkpoint of ctgi train irra")
    words = encoder.model.get_parameter(_WORDS).data
    drawn = load_file(start / WEIGHTS)[_WORDS].float()
    words[F.cosine_similarity(words, drawn, dim=1) > _ALIKE] = 0
    _save(encoder.model, folder)


def _save(model: torch.nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}, indent=2) + "\n")


def main() -> None:
    """The command line of `make embedded`'s last stages: `start FOLDER`, `export RUN START FOLDER`."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    start = commands.add_parser("start", help="random weights")
    start.add_argument("folder", type=Path)
    start.set_defaults(do=lambda options: save_start(options.folder, seed=0))
    trained = commands.add_parser("export", help="the weights of a run of ctgi train")
    trained.add_argument("run", type=Path)
    trained.add_argument("start", type=Path)
    trained.add_argument("folder", type=Path)
    trained.set_defaults(do=lambda options: export(options.run, options.start, options.folder))
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    main()
