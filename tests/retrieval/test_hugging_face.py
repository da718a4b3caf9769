"""Pairs of towers that are no CLIP, from folders of Hugging Face: the vectors of `transformers`, and a second look."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from huggingface_hub import constants
from PIL import Image
from transformers.utils.hub import hf_api

from ctgi.config import RetrieverSettings, load_settings
from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.evaluate import encode_split, text_to_image
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.trained_encoder import read_model
from ctgi.runs.evaluate import DataSpec, Measuring, evaluate
from ctgi.runs.events import Logged
from tests.support.foreign_files import clip_like_openai, save_blip, save_encoder, save_siglip
from tests.support.small_hub import small_hub

PLAIN = RetrieverSettings()
TEXTS = ["a red coat", "a black bag a black bag"]


def test_siglip_of_hugging_face_gives_the_vectors_of_transformers(tmp_path: Path) -> None:
    from transformers import SiglipModel

    theirs = save_siglip(tmp_path)
    encoder = load_encoder(f"trained:{tmp_path}", PLAIN)
    with torch.no_grad():
        ids = torch.tensor([[3, 4, 5, 1, 1, 1, 1, 1], [3, 6, 7, 3, 6, 7, 3, 1]])  # the second one is cut
        pixels = encoder.preprocess(Image.new("RGB", (20, 50), (255, 0, 0)))[None]
        out = theirs(input_ids=ids, pixel_values=pixels.expand(2, -1, -1, -1))
    assert isinstance(theirs, SiglipModel)
    assert pixels[0, :, 5, 5].tolist() == [1, -1, -1]
    np.testing.assert_allclose(encoder.encode_images(pixels)[0], out.image_embeds[0], atol=1e-6)
    features = encoder.encode_texts(["A red COAT", "a black bag a black bag a black bag"])
    np.testing.assert_allclose(features.vectors, out.text_embeds, atol=1e-6)
    assert features.truncated == (0, 2)
    with pytest.raises(CtgiError, match=r"image_size \[32, 32\]"):
        load_encoder(f"trained:{tmp_path}", RetrieverSettings(image_size=(384, 128)))


def test_siglip_2_for_images_of_any_form_gives_the_vectors_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

    theirs = save_siglip(tmp_path, naflex=True)
    encoder = load_encoder(f"trained:{tmp_path}", RetrieverSettings(image_size=(64, 32)))
    pixels = torch.stack([encoder.preprocess(Image.effect_noise((20, 50), 90).convert("RGB")) for _ in range(2)])
    assert pixels.shape == (2, 3, 64, 32)
    tiles = torch.stack([convert_image_to_patches(one, 16) for one in pixels])
    padded = F.pad(tiles, (0, 0, 0, 16 - tiles.shape[1]))  # as its processor does
    with torch.no_grad():
        seen = theirs.get_image_features(
            pixel_values=padded,
            pixel_attention_mask=torch.tensor([[1] * 8 + [0] * 8] * 2),
            spatial_shapes=torch.tensor([[4, 2]] * 2),
        ).pooler_output
        ids = AutoTokenizer.from_pretrained(tmp_path)(["a red coat"], padding="max_length", max_length=8)["input_ids"]
        read = theirs.get_text_features(input_ids=torch.tensor(ids)).pooler_output
    np.testing.assert_allclose(encoder.encode_images(pixels), F.normalize(seen, dim=1), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(["a red coat"]).vectors, F.normalize(read, dim=1), atol=1e-6)
    assert load_encoder(f"trained:{tmp_path}", PLAIN).preprocess(Image.new("RGB", (9, 9))).shape == (3, 384, 128)
    with pytest.raises(CtgiError, match=r"\[100, 32\] is no multiple of its patches of 16 px"):
        load_encoder(f"trained:{tmp_path}", RetrieverSettings(image_size=(100, 32)))


def test_blip_gives_the_vectors_of_transformers(tmp_path: Path) -> None:
    theirs = save_blip(tmp_path)
    encoder = load_encoder(f"hf:{tmp_path}", PLAIN)
    pixels = torch.randn(2, 3, 32, 32)
    ids = torch.tensor([[8, 3, 4, 5, 1, 2, 2, 2], [8, 3, 6, 7, 3, 6, 7, 1]])
    with torch.no_grad():
        cosines = theirs(input_ids=ids, pixel_values=pixels, attention_mask=ids != 2, use_itm_head=False).itm_score
    texts = encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(encoder.encode_images(pixels) @ texts.vectors.T, cosines, atol=1e-6)
    assert texts.truncated == (0, 0)
    assert encoder.encode_texts(["a red coat " * 10]).truncated == (32 - 16,)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[:1]).vectors[0], texts.vectors[0], atol=1e-6)
    with pytest.raises(CtgiError, match=r"image_size \[32, 32\]"):
        load_encoder(f"hf:{tmp_path}", RetrieverSettings(image_size=(384, 128)))
    with pytest.raises(CtgiError, match="use it as it is, trained:"):
        read_model(str(tmp_path))


def test_a_blip_without_the_weights_of_retrieval_is_refused(tmp_path: Path) -> None:
    from transformers import BlipForConditionalGeneration

    config = save_blip(tmp_path).config
    BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(CtgiError, match="weights that vectors depend on are missing or of other shapes: itm_head"):
        load_encoder(f"hf:{tmp_path}", PLAIN)


def test_the_matching_head_orders_the_best_of_a_ranking(tmp_path: Path, people: Path) -> None:
    theirs = save_blip(tmp_path / "blip")
    encoder = load_encoder(f"hf:{tmp_path / 'blip'}", RetrieverSettings(rerank=5))
    build_gallery([str(people)], tmp_path / "gallery", encoder, PLAIN)
    before = open_gallery(tmp_path / "gallery", load_encoder(f"hf:{tmp_path / 'blip'}", PLAIN)).search(TEXTS[0], 8)
    after = open_gallery(tmp_path / "gallery", encoder).search(TEXTS[0], 8)
    first = before.candidates[:5]
    pixels = torch.stack([encoder.preprocess(Image.open(one.image.path)) for one in first])
    ids = torch.tensor([[8, 3, 4, 5, 1]] * 5)
    with torch.no_grad():
        match = theirs(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).itm_score[:, 1]
    total = match.numpy() + np.array([one.score for one in first])
    wanted = [first[place] for place in np.argsort(-total)]
    assert wanted != list(first)
    assert list(after.candidates) == wanted + list(before.candidates[5:])
    assert [one.rank_before for one in after.candidates[5:]] == [6, 7, 8]
    Path(wanted[0].image.path).unlink()
    gone = open_gallery(tmp_path / "gallery", load_encoder(encoder.spec, RetrieverSettings(rerank=5))).search(
        TEXTS[0], 8
    )
    assert list(gone.candidates[:5]) == [*wanted[1:], wanted[0]]
    with pytest.raises(CtgiError, match="no head that matches image and text: remove rerank"):
        load_encoder(f"trained:{save_encoder(tmp_path / 'irra.pt', clip_like_openai())}", RetrieverSettings(rerank=5))


def test_a_data_set_is_measured_in_the_order_of_the_matching_head(tmp_path: Path, people: Path) -> None:
    save_blip(tmp_path / "blip")
    images = tuple(sorted(str(path) for path in people.glob("*.png")))
    split = Split(
        name="test", images=images, image_pids=tuple(range(8)), captions=tuple(TEXTS), caption_pids=(3, 6),
        caption_images=(images[3], images[6]),
    )  # fmt: skip
    found = {}
    for depth in (0, 4):
        encoder = load_encoder(f"hf:{tmp_path / 'blip'}", RetrieverSettings(rerank=depth))
        encoded = encode_split(split, encoder, PLAIN, tmp_path / "run")
        found[depth] = text_to_image(encoded).mean_ap
        build_gallery([str(people)], tmp_path / f"gallery{depth}", encoder, PLAIN)
        gallery = open_gallery(tmp_path / f"gallery{depth}", encoder)
        ranks = [
            1 + [one.image.path for one in gallery.search(text, 8).candidates].index(images[pid])
            for text, pid in zip(TEXTS, (3, 6), strict=True)
        ]
        assert found[depth] == pytest.approx(100 * np.mean([1 / rank for rank in ranks]))
    assert found[0] != found[4]


def test_a_second_look_is_not_measured_with_a_dialogue(tmp_path: Path) -> None:
    settings = load_settings(retriever={"rerank": 5})
    with pytest.raises(CtgiError, match="orders rankings without a dialogue"):
        encoder: Any = None  # it is not asked
        asyncio.run(evaluate(DataSpec("rstp", tmp_path), encoder, settings, tmp_path, Logged(), Measuring(mti=True)))


def test_a_model_of_the_hub_is_downloaded_once_and_then_taken_from_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    here = tmp_path / "blip"
    save_blip(here)
    (here / "pytorch_model.bin").write_bytes(b"the same in another format, which nobody needs")
    with small_hub({"some/blip": here}) as (address, files):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(hf_api(), "endpoint", address)  # as it was when somebody first asked a hub
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + constants.HUGGINGFACE_CO_URL_TEMPLATE[22:]
        )
        encoder = load_encoder("hf:some/blip", PLAIN)
        assert (encoder.spec, encoder.dim) == ("hf:some/blip", 16)
        assert f"downloading some/blip from {address}" in caplog.text
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(files)
        assert "pytorch_model.bin" not in files
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    np.testing.assert_array_equal(
        load_encoder("hf:some/blip", PLAIN).encode_texts(TEXTS).vectors, encoder.encode_texts(TEXTS).vectors
    )
    with pytest.raises(
        CtgiError, match=r"hf:some/other: no such folder here, and no download is possible \(HF_HUB_OFF"
    ):
        load_encoder("hf:some/other", PLAIN)
