from pathlib import Path

import numpy as np
import pytest
import torch

from ctgi.agents.assemble import where
from ctgi.config import Binding, RetrieverSettings, Settings
from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens, build_clip, load_clip
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.retrieval.trained_encoder import live_encoder
from ctgi.training.checkpoints import save_checkpoint
from ctgi.training.irra import Irra
from ctgi.training.rde import Rde
from tests.support.foreign_files import clip_like_openai, two_branches
from tests.support.small_models import captions, small_clip
from tests.support.tiny_clip import CONFIG

PLAIN = RetrieverSettings()


def clip_of(tiny_clip: Path, **settings) -> ClipTokens:
    return load_clip(f"open_clip:local-dir:{tiny_clip}", RetrieverSettings(**settings))


def saved(path: Path, model: Irra | Rde, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, {"kind": kind, "model": model.settings(), "state": model.state_dict()})
    return path


def models(clip: ClipTokens) -> list[tuple[str, Irra | Rde]]:
    return [("irra", Irra(clip, 3, losses=("sdm", "id"))), ("rde", Rde(TwoBranches(clip, out_dim=32)).train())]


def test_global_features_are_open_clips_own(tiny_clip: Path) -> None:
    clip = clip_of(tiny_clip)
    pixels, ids = torch.randn(2, 3, 64, 32), CaptionTokenizer()(["a man", "a woman with a red bag"])
    with torch.no_grad():
        torch.testing.assert_close(clip.encode_image(pixels), clip.model.encode_image(pixels))
        torch.testing.assert_close(clip.encode_text(ids), clip.model.encode_text(ids))


@pytest.mark.parametrize("custom_text", [False, True])
def test_a_description_builds_the_same_model(tiny_clip: Path, custom_text: bool) -> None:
    clip = clip_of(tiny_clip, image_size=(128, 64), context_length=248)
    described = clip.settings()
    described["name"] |= {"custom_text": True} if custom_text else {}
    again = build_clip(described)
    assert (again.context_length, again.dim, again.mask_id) == (248, 64, 49_405)
    assert again.settings() == described
    with torch.no_grad():
        pixels, ids = torch.randn(2, 3, 128, 64), CaptionTokenizer(248)(["a man", "red " * 200])
        if not custom_text:
            again.load_state_dict(clip.state_dict())
            assert torch.equal(again.encode_image(pixels), clip.encode_image(pixels))
        torch.testing.assert_close(again.encode_text(ids), again.model.encode_text(ids))


@pytest.mark.parametrize("length", [77, 248])
def test_a_checkpoint_encodes_by_its_path_alone_what_the_model_encoded(
    tmp_path: Path, tiny_clip: Path, length: int
) -> None:
    clip = clip_of(tiny_clip, image_size=(128, 64), context_length=length)
    text = "a man in a red coat " * (length // 5)
    for kind, model in models(clip):
        if kind == "rde":
            model.encoder.text_selection.norm.running_mean.normal_()
        run = tmp_path / kind
        file = saved(run / "checkpoints" / "best.pt", model, kind)
        pixels, ids = torch.randn(3, 3, 128, 64), CaptionTokenizer(length)([text, "a girl"])
        with torch.no_grad():
            model.eval()
            images, texts = model.encode_images(pixels), model.encode_texts(ids)
        loaded = [load_encoder(f"trained:{path}", PLAIN) for path in (run, file, file.parent)]
        for encoder in loaded:
            assert encoder.context_length == length
            wanted = torch.nn.functional.normalize(images, dim=1)
            np.testing.assert_allclose(encoder.encode_images(pixels), wanted, atol=1e-5)
            features = encoder.encode_texts([text, "a girl"])
            np.testing.assert_allclose(features.vectors, torch.nn.functional.normalize(texts, dim=1), atol=1e-5)
            np.testing.assert_allclose(np.linalg.norm(features.vectors, axis=1), 1, atol=1e-5)
            assert (features.truncated[0] > 0, features.truncated[1]) == (True, 0)
        assert len({encoder.fingerprint for encoder in loaded}) == 1


def test_the_fingerprint_follows_weights_and_token_selection(tmp_path: Path, tiny_clip: Path) -> None:
    prints = set()
    for number, options in enumerate(({}, {}, {"max_words": 10}, {"ratio": 0.5})):
        torch.manual_seed(min(number, 1))
        model = Rde(TwoBranches(clip_of(tiny_clip), out_dim=32, **options))
        prints.add(load_encoder(f"trained:{saved(tmp_path / f'{number}.pt', model, 'rde')}", PLAIN).fingerprint)
    assert len(prints) == 4


def test_the_fingerprint_tells_ways_of_resizing_apart_and_leaves_the_usual_one_out() -> None:
    from ctgi.retrieval.open_clip_encoder import _fingerprint

    usual, other = (clip_like_openai(interpolation=name) for name in ("bilinear", "bicubic"))
    described = usual.settings()
    sizes = described["image_size"], described["mean"], described["std"], 77
    for wrap, options in ((lambda clip: clip, ()), (two_branches, (0.3, 22))):
        ours = live_encoder(wrap(usual), "live", "cpu").fingerprint
        assert ours == _fingerprint(wrap(usual), (*sizes, *options))  # galleries of earlier versions open
        assert ours != live_encoder(wrap(other), "live", "cpu").fingerprint


def test_images_are_resized_as_in_training(tmp_path: Path, tiny_clip: Path) -> None:
    from random import Random

    from PIL import Image

    from ctgi.training.augment import Preprocess

    model = Irra(clip_of(tiny_clip), 0, losses=("sdm",))
    loaded = load_encoder(f"trained:{saved(tmp_path / 'a.pt', model, 'irra')}", PLAIN)
    noise = np.random.default_rng(0).integers(0, 255, (90, 41, 3), np.uint8)
    described = model.settings()
    training = Preprocess((64, 32), tuple(described["mean"]), tuple(described["std"]))
    for encoder in (loaded, live_encoder(model.encoder, "live", "cpu")):
        assert encoder.fingerprint == loaded.fingerprint
        ours = encoder.preprocess(Image.fromarray(noise))
        torch.testing.assert_close(ours, training(Image.fromarray(noise), Random(0)), rtol=0, atol=1e-5)


def test_it_answers_in_this_process() -> None:
    assert where(Binding.parse("trained:runs/irra"), Settings()) == "this process"


def test_wrong_paths_settings_and_files_say_what_is_right(tmp_path: Path, tiny_clip: Path) -> None:
    model = Irra(clip_of(tiny_clip), 0, losses=("sdm",))
    good = saved(tmp_path / "good.pt", model, "irra")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.pt").write_bytes(b"noise" * 100)
    torch.save({"format": 1, "state": model}, tmp_path / "code.pt")
    other = saved(tmp_path / "other.pt", model, "blip")
    fewer = tmp_path / "fewer.pt"
    save_checkpoint(fewer, {"kind": "irra", "model": model.settings(), "state": {}})
    torch.save({"format": 1}, tmp_path / "bare.pt")
    for name, settings, message in (
        (tmp_path / "none.pt", {}, "no such checkpoint"),
        (tmp_path / "empty", {}, r"checkpoints/best\.pt"),
        (tmp_path / "noise.pt", {}, "not a checkpoint"),
        (tmp_path / "code.pt", {}, "not a checkpoint of tensors and plain values"),
        (other, {}, "expected irra or rde"),
        (fewer, {}, "do not fit their description: .*Missing"),
        (tmp_path / "bare.pt", {}, "do not fit their description"),
        (good, {"context_length": 248}, r"context_length 77, but the settings say 248"),
        (good, {"image_size": (384, 128)}, r"image_size \[64, 32\]"),
    ):
        with pytest.raises(CtgiError, match=message):
            load_encoder(f"trained:{name}", RetrieverSettings(**settings))
    load_encoder(f"trained:{good}", RetrieverSettings(image_size=(64, 32), context_length=77))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"vision_cfg": CONFIG["vision_cfg"] | {"pool_type": "avg"}}, "image tower .* class token and patches"),
        ({"text_cfg": CONFIG["text_cfg"] | {"pool_type": "last"}}, "text tower .* end token"),
        ({"text_cfg": CONFIG["text_cfg"] | {"no_causal_mask": True}}, "text tower .* end token"),
        ({"vision_cfg": {"wrong": 1}}, "not an open_clip configuration"),
    ],
)
def test_towers_without_tokens_are_refused(cfg, message: str) -> None:
    plain = {"image_size": [64, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(CtgiError, match=message):
        build_clip({"name": CONFIG | cfg} | plain)


def test_any_name_but_open_clips_is_refused() -> None:
    with pytest.raises(CtgiError, match="expected open_clip:MODEL,PRETRAINED"):
        load_clip("timm:x", PLAIN)


def test_weights_of_attention_are_made_only_when_asked() -> None:
    clip, ids = small_clip(), captions(5, 9)
    assert clip.text_tokens(ids).attention is None
    assert clip.image_tokens(torch.randn(1, 3, 64, 32)).attention is None
    asked = clip.text_tokens(ids, attention=True).attention
    assert asked is not None and not asked.requires_grad
    torch.testing.assert_close(asked.sum(dim=1), torch.ones(2))
    assert not asked[0, 7:].any()  # padding


@pytest.mark.parametrize("branches", [False, True])
def test_the_text_tower_is_exported_as_a_graph_for_any_batch(branches: bool) -> None:
    class Texts(torch.nn.Module):
        def __init__(self, model: ClipTokens | TwoBranches) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.model.encode_text(ids, normalize=True)

    clip = small_clip()
    texts = Texts(TwoBranches(clip, out_dim=32) if branches else clip).eval()
    padded = torch.nn.functional.pad(captions(5, 9, 3), (0, 66))
    graph = torch.export.export(texts, (padded,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    others = torch.nn.functional.pad(captions(1, 40, 7), (0, 35))
    with torch.no_grad():
        torch.testing.assert_close(graph.module()(others), texts(others))
