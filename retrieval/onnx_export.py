"""Writes a model as two ONNX graphs, images and texts to vectors, for batches of any size."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.onnx_encoder import FACTS, IDS, IMAGE, INSTALL, PIXELS, TEXT, VECTORS, Facts
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.retrieval.trained_encoder import live_encoder

_BATCH = Dim("batch", min=1, max=65_536)
_ONE_FILE = 1_500_000_000
"""Bytes of weights up to which they stand in the graph's own file; protobuf ends at 2 GiB."""


class _Images(nn.Module):
    def __init__(self, encoder: ClipTokens | TwoBranches) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        return self.encoder.encode_image(pixels, normalize=True)


class _Texts(nn.Module):
    def __init__(self, encoder: ClipTokens | TwoBranches) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor) -> Tensor:
        return self.encoder.encode_text(ids, normalize=True)


def check_libraries() -> None:
    """Raise CtgiError if what writes ONNX is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise CtgiError(f"writing ONNX needs {error.name}: {INSTALL}") from None


def write_onnx(encoder: ClipTokens | TwoBranches, out: Path) -> None:
    """image.onnx, text.onnx and encoder.json in a folder that exists. The vectors are L2-normalized."""
    found = live_encoder(encoder, "", "cpu")  # in eval mode
    height, width = (int(side) for side in encoder.visual.image_size)
    shortest = 3 if isinstance(encoder, ClipTokens) else encoder.words
    ids = torch.zeros(2, shortest + 1, dtype=torch.long)
    length = Dim("length", min=shortest, max=found.context_length)
    with _quiet():
        _write(_Images(encoder), torch.zeros(2, 3, height, width), {0: _BATCH}, out / IMAGE, PIXELS)
        _write(_Texts(encoder), ids, {0: _BATCH, 1: length}, out / TEXT, IDS)
    look = {name: encoder.visual.preprocess_cfg[name] for name in ("mean", "std", "interpolation")}
    facts = Facts(
        image_size=(height, width), context_length=found.context_length, shortest=shortest,
        fingerprint=found.fingerprint, **look,
    )  # fmt: skip
    write_whole(out / FACTS, (json.dumps(facts.model_dump(), indent=2) + "\n").encode())


def _write(tower: nn.Module, example: Tensor, sizes: dict[int, Any], file: Path, name: str) -> None:
    graph = torch.export.export(tower.eval(), (example,), dynamic_shapes=(sizes,))
    weights = sum(value.numel() * value.element_size() for value in tower.parameters())
    torch.onnx.export(
        graph, (), file, dynamo=True, external_data=weights > _ONE_FILE, verbose=False,
        input_names=[name], output_names=[VECTORS],
    )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say about their own steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
