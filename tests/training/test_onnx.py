"""A model as ONNX graphs: the same vectors in ONNX Runtime, for any number of images and texts of any length."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.training.exported import export_model
from tests.support.foreign_files import clip_like_openai, save_encoder, two_branches

TEXTS = ["a man", "a woman in a long red coat with a black bag, gray trousers and white shoes " * 2, "a child"]
PLAIN = RetrieverSettings()


@pytest.mark.slow
def test_onnx_gives_the_same_vectors(tmp_path: Path) -> None:
    run = save_encoder(tmp_path / "best.pt", two_branches(clip_like_openai()))
    folder = export_model(str(run), "onnx")[0].parent
    theirs, ours = load_encoder(f"onnx:{folder}", PLAIN), load_encoder(f"trained:{run}", PLAIN)
    assert (theirs.fingerprint, theirs.dim) == (ours.fingerprint, ours.dim)
    for texts in (TEXTS[:1], TEXTS):
        np.testing.assert_allclose(theirs.encode_texts(texts).vectors, ours.encode_texts(texts).vectors, atol=1e-5)
    assert theirs.encode_texts(TEXTS * 4).truncated == ours.encode_texts(TEXTS * 4).truncated
    for count in (1, 3):
        pixels = torch.randn(count, 3, 96, 32, generator=torch.Generator().manual_seed(count))
        np.testing.assert_allclose(theirs.encode_images(pixels), ours.encode_images(pixels), atol=1e-5)
    facts = json.loads((folder / "encoder.json").read_text())
    assert (facts["image_size"], facts["context_length"], facts["interpolation"]) == ([96, 32], 77, "bilinear")
    text = onnxruntime.InferenceSession(folder / "text.onnx")  # as another program does: at full width
    read = text.run(None, {"ids": CaptionTokenizer()(TEXTS).numpy()})[0]
    np.testing.assert_allclose(read, ours.encode_texts(TEXTS).vectors, atol=1e-5)
    (folder / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(CtgiError, match=r"text.onnx: onnxruntime cannot load it"):
        load_encoder(f"onnx:{folder}", PLAIN)


def test_what_is_no_onnx_folder_or_asks_for_other_sizes(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match="expected a folder that ctgi export RUN --to onnx wrote"):
        load_encoder(f"onnx:{tmp_path}", PLAIN)
    facts = {
        "image_size": [96, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear",
        "context_length": 77, "shortest": 3, "fingerprint": "0",
    }  # fmt: skip
    (tmp_path / "encoder.json").write_text(json.dumps(facts))
    for settings, message in (
        (RetrieverSettings(image_size=(384, 128)), r"has image_size \(96, 32\), but the settings say \(384, 128\)"),
        (RetrieverSettings(device="cuda"), "runs on the CPU"),
        (PLAIN, "onnxruntime cannot load it"),
    ):
        with pytest.raises(CtgiError, match=message):
            load_encoder(f"onnx:{tmp_path}", settings)
    (tmp_path / "encoder.json").write_text(json.dumps({**facts, "mean": "gray"}))
    with pytest.raises(CtgiError, match=r"encoder.json: .*export the run again"):
        load_encoder(f"onnx:{tmp_path}", PLAIN)


@pytest.mark.parametrize("kind", ["irra", "rde"])
def test_torch_export_takes_the_text_tower_at_any_size(kind: str) -> None:
    model = clip_like_openai() if kind == "irra" else two_branches(clip_like_openai())

    class Texts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.model.encode_text(ids, normalize=True)

    batch, length = torch.export.Dim("batch", min=1, max=512), torch.export.Dim("length", min=22, max=77)
    example = torch.zeros(2, 30, dtype=torch.long)
    graph = torch.export.export(Texts().eval(), (example,), dynamic_shapes=({0: batch, 1: length},)).module()
    ids = CaptionTokenizer()(TEXTS)
    with torch.no_grad():
        for given in (ids, ids[:1, :22].contiguous()):
            np.testing.assert_allclose(graph(given), Texts()(given), atol=1e-6)
