import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.positions import resize_positions
from tests.support.tiny_clip import CONFIG, save_tiny_clip, tiny_model

PLAIN = RetrieverSettings()


def spec(folder: Path) -> str:
    return f"open_clip:local-dir:{folder}"


def test_vectors_are_those_of_the_model_and_normalized(encoder: Encoder) -> None:
    image = Image.new("RGB", (30, 70), "red")
    pixels = encoder.preprocess(image)
    assert pixels.shape == (3, 64, 32)
    vectors = encoder.encode_images(torch.stack([pixels, pixels]))
    with torch.inference_mode():
        wanted = tiny_model().eval().encode_image(pixels[None], normalize=True)
    np.testing.assert_allclose(vectors, wanted.numpy().repeat(2, axis=0), atol=1e-6)
    assert vectors.dtype == np.float32
    texts = encoder.encode_texts(["a woman", "a man with a hat"])
    assert texts.vectors.shape == (2, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(texts.vectors, axis=1), 1, atol=1e-5)


def test_the_text_tower_reads_no_padding_and_gives_the_same_vectors(encoder: Encoder) -> None:
    texts, lengths = ["x", "a woman with a red bag", "red " * 100], []
    model = encoder._model  # type: ignore[attr-defined]
    with torch.inference_mode():
        wanted = model.encode_text(encoder._tokenizer(texts), normalize=True).numpy()  # type: ignore[attr-defined]
    hook = model.ln_final.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    alone = [encoder.encode_texts([text]).vectors[0] for text in texts]
    together = encoder.encode_texts(texts[:2]).vectors
    hook.remove()
    assert lengths == [3, 8, 77, 8]  # tokens with both ends
    np.testing.assert_allclose(np.stack(alone), wanted, atol=1e-6)
    np.testing.assert_allclose(together, wanted[:2], atol=1e-6)


def test_crops_are_squashed_so_that_nothing_is_cut_off(encoder: Encoder) -> None:
    image = Image.new("RGB", (32, 640), "black")
    image.paste("white", (0, 0, 32, 64))  # the head
    assert encoder.preprocess(image)[:, 2].min() > 1.5


def test_tokens_beyond_the_context_are_counted_and_the_end_token_kept(encoder: Encoder) -> None:
    long = encoder.encode_texts(["red " * 75, "red " * 76, "red " * 5000])
    assert long.truncated == (0, 1, 4925)
    np.testing.assert_allclose(long.vectors[1], long.vectors[0], atol=1e-6)
    np.testing.assert_allclose(long.vectors[2], long.vectors[0], atol=1e-6)


@pytest.mark.parametrize(
    "text", ["穿红色外套的女人", "🧑‍🦰👜", "caf\udce9 \ud83d", "\x1b[31mred\x00", "!", "<end_of_text>"]
)
def test_any_script_is_read(encoder: Encoder, text: str) -> None:
    features = encoder.encode_texts([text])
    assert np.isfinite(features.vectors).all()
    assert features.truncated == (0,)


def test_control_tokens_in_a_text_do_not_end_it(encoder: Encoder) -> None:
    first, second = encoder.encode_texts(["<end_of_text> red", "<end_of_text> blue"]).vectors
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_is_refused(encoder: Encoder, text: str) -> None:
    with pytest.raises(CtgiError, match="empty"):
        encoder.encode_texts([text])


def test_another_image_size_resizes_positions_as_irra_does(tiny_clip: Path) -> None:
    larger = load_encoder(spec(tiny_clip), RetrieverSettings(image_size=(128, 64)))
    pixels = larger.preprocess(Image.new("RGB", (30, 70), "red"))
    assert pixels.shape == (3, 128, 64)
    model = tiny_model()
    wide = type(model)(**CONFIG | {"vision_cfg": CONFIG["vision_cfg"] | {"image_size": [128, 64]}})
    state = model.state_dict()
    state["visual.positional_embedding"] = resize_positions(state["visual.positional_embedding"], (8, 4), (4, 2))
    wide.load_state_dict(state)
    with torch.inference_mode():
        wanted = wide.eval().encode_image(pixels[None], normalize=True).numpy()
    np.testing.assert_allclose(larger.encode_images(pixels[None]), wanted, atol=1e-6)


def test_a_longer_context_reads_what_the_short_one_cuts(tiny_clip: Path, encoder: Encoder) -> None:
    longer = load_encoder(spec(tiny_clip), RetrieverSettings(context_length=248))
    assert longer.context_length == 248
    features = longer.encode_texts(["red " * 200, "red " * 300])
    assert features.truncated == (0, 54)
    short = "a man in red"  # within the rows that are kept
    np.testing.assert_allclose(longer.encode_texts([short]).vectors, encoder.encode_texts([short]).vectors, atol=1e-5)


def test_a_checkpoint_file_gives_the_same_vectors_as_the_model_it_was_saved_from(tmp_path: Path) -> None:
    (tmp_path / "tiny-person.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "tiny-person.json")
    model = tiny_model(seed=3).eval()
    torch.save(model.state_dict(), tmp_path / "trained.pt")
    loaded = load_encoder(f"open_clip:tiny-person,{tmp_path / 'trained.pt'}", PLAIN)
    with torch.inference_mode():
        wanted = model.encode_text(open_clip.get_tokenizer("ViT-B-16")(["a man"]), normalize=True).numpy()
    np.testing.assert_allclose(loaded.encode_texts(["a man"]).vectors, wanted, atol=1e-6)


def test_the_fingerprint_follows_everything_that_changes_vectors(
    tmp_path: Path, tiny_clip: Path, encoder: Encoder
) -> None:
    other_weights = save_tiny_clip(tmp_path / "other", seed=1)
    moved = save_tiny_clip(tmp_path / "moved")
    prints = [
        load_encoder(spec(folder), RetrieverSettings(**settings)).fingerprint
        for folder, settings in (
            (tiny_clip, {"image_size": (128, 64)}),
            (tiny_clip, {"context_length": 248}),
            (other_weights, {}),
        )
    ]
    assert len({encoder.fingerprint, *prints}) == 4
    assert load_encoder(spec(moved), PLAIN).fingerprint == encoder.fingerprint


def test_the_fingerprint_tells_ways_of_resizing_apart_and_leaves_the_usual_one_out(
    tmp_path: Path, encoder: Encoder
) -> None:
    from ctgi.retrieval.open_clip_encoder import _fingerprint

    folder = save_tiny_clip(tmp_path / "bilinear")
    file = folder / "open_clip_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"preprocess_cfg": {"interpolation": "bilinear"}}))
    assert load_encoder(spec(folder), PLAIN).fingerprint != encoder.fingerprint
    cfg = open_clip.transform.PreprocessCfg()
    as_before = _fingerprint(tiny_model(), ([64, 32], cfg.mean, cfg.std, encoder.context_length))
    assert encoder.fingerprint == as_before  # galleries of earlier versions open


def test_openai_weights_get_their_activation() -> None:
    from ctgi.retrieval.open_clip_encoder import _wants_quick_gelu

    assert _wants_quick_gelu("ViT-B-16", "openai")
    assert not _wants_quick_gelu("ViT-B-16", "datacomp_xl_s13b_b90k")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qdrant:x", "expected open_clip:MODEL,PRETRAINED"),
        ("open_clip", "expected open_clip:MODEL,PRETRAINED"),
        ("open_clip:ViT-B-61,openai", "did you mean ViT-B-16"),
        ("open_clip:ViT-B-16", "names no weights.*openai"),
        ("open_clip:ViT-B-16,/no/such/file.pt", "neither a checkpoint file nor one of the tags openai"),
        ("open_clip:local-dir:/no/such/folder", "expected a folder with open_clip_config.json"),
    ],
)
def test_a_wrong_name_says_what_is_right(name: str, message: str) -> None:
    with pytest.raises(CtgiError, match=message):
        load_encoder(name, PLAIN)


def test_weights_that_do_not_fit_say_so(tmp_path: Path, tiny_clip: Path) -> None:
    weights = tiny_clip / "open_clip_model.safetensors"
    with pytest.raises(CtgiError, match=r"another architecture: .*(Missing|mismatch)"):
        load_encoder(f"open_clip:ViT-S-32-alt,{weights}", PLAIN)
    torch.save({"model": tiny_model()}, tmp_path / "pickled.pt")
    with pytest.raises(CtgiError, match="plain weights"):
        load_encoder(f"open_clip:ViT-S-32-alt,{tmp_path / 'pickled.pt'}", PLAIN)
    (tmp_path / "noise.pt").write_bytes(b"noise" * 100)
    with pytest.raises(CtgiError, match=r"noise\.pt"):
        load_encoder(f"open_clip:ViT-S-32-alt,{tmp_path / 'noise.pt'}", PLAIN)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff" * 100, b"[" * 100_000])
@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "open_clip_config.json"])
def test_a_damaged_file_of_a_folder_is_one_message(tmp_path: Path, file: str, content: bytes) -> None:
    (save_tiny_clip(tmp_path) / file).write_bytes(content)
    with pytest.raises(CtgiError, match="open_clip:local-dir"):
        load_encoder(spec(tmp_path), PLAIN)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    (save_tiny_clip(tmp_path) / "open_clip_model.safetensors").unlink()
    with pytest.raises(CtgiError, match="weights"):
        load_encoder(spec(tmp_path), PLAIN)


def test_without_a_network_the_message_names_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CtgiError, match="go online once, or name a local checkpoint"):
        load_encoder("open_clip:ViT-B-16,openai", PLAIN)


def test_weights_for_longer_texts_are_not_cut_in_silence(tmp_path: Path, tiny_clip: Path) -> None:
    from safetensors.torch import load_file, save_file

    from ctgi.retrieval.long_text import stretch_positions

    folder = save_tiny_clip(tmp_path)
    state = load_file(folder / "open_clip_model.safetensors")
    state["positional_embedding"] = stretch_positions(state["positional_embedding"], 248)
    save_file(state, folder / "open_clip_model.safetensors")
    with pytest.raises(CtgiError, match="set context_length = 248"):
        load_encoder(spec(folder), PLAIN)
    wanted = load_encoder(spec(tiny_clip), RetrieverSettings(context_length=248)).fingerprint
    assert load_encoder(spec(folder), RetrieverSettings(context_length=248)).fingerprint == wanted
