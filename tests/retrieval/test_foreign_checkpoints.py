"""The checkpoints that others publish give the vectors of the same weights in our own modules."""

import json
import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.checkpoint import load_content
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.retrieval.trained_encoder import read_model
from tests.support.foreign_files import (
    IMAGENET,
    best_pth,
    clip_like_openai,
    irra_state,
    openai_names,
    rde_state,
    torchscript,
    two_branches,
)

PLAIN = RetrieverSettings()
TEXTS = ["a man in a red coat", "a woman with a red bag, black shoes and long hair"]


def encoded(model: ClipTokens | TwoBranches, pixels: Tensor, length: int = 77) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        pair = model.encode_image(pixels), model.encode_text(CaptionTokenizer(length)(TEXTS))
    images, texts = (F.normalize(features, dim=1).numpy() for features in pair)
    return images, texts


def same(encoder: Encoder, model: ClipTokens | TwoBranches) -> bool:
    """Whether both give the same vectors of the same images and texts."""
    height, width = (model if isinstance(model, ClipTokens) else model.clip).visual.image_size
    pixels = torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(5))
    images, texts = encoded(model, pixels, encoder.context_length)
    return np.allclose(encoder.encode_images(pixels), images, atol=1e-6) and np.allclose(
        encoder.encode_texts(TEXTS).vectors, texts, atol=1e-6
    )


def test_irra(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = clip_like_openai()
    options = "img_size: !!python/tuple\n- 96\n- 32\ntemperature: 0.02\nstride_size: 16\nx: !!python/object:a.B {}\n"
    half = {name: value.half() for name, value in irra_state(clip).items()}
    wrapped = {f"module.{name}": value for name, value in irra_state(clip).items()}
    for number, (state, text) in enumerate(((irra_state(clip), options), (wrapped, None), (half, None))):
        file = best_pth(tmp_path / str(number) / "best.pth", state, text)
        for path in (file, file.parent):
            caplog.clear()
            encoder = load_encoder(f"trained:{path}", PLAIN)
            assert same(encoder, clip)
            assert "IRRA, QuickGELU" in caplog.text
            assert "not used: classifier, mlm_head, ln_post" in caplog.text
            assert ("assumed: images of 96 x 32 px" in caplog.text) == (text is None)
    assert not same(encoder, clip_like_openai(quick_gelu=False))


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state_dict", "module", None])
def test_containers_of_training_loops_make_no_difference(tmp_path: Path, wrapper: str | None) -> None:
    model = two_branches(clip_like_openai())
    halves = {
        f"module.{name}": value.half() if value.is_floating_point() else value
        for name, value in rde_state(model).items()
    }
    for selection in (model.image_selection, model.text_selection):  # its statistics fit half precision
        selection.norm.running_mean.copy_(selection.norm.running_mean.half().float())
        selection.norm.running_var.copy_(selection.norm.running_var.half().float())
        for value in selection.parameters():
            value.data = value.data.half().float()
    loop = {"epoch": np.int64(60), "best": np.float32(0.7), "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5}]}}
    torch.save(halves if wrapper is None else {wrapper: halves, **loop}, tmp_path / "best.pth")
    assert same(load_encoder(f"trained:{tmp_path / 'best.pth'}", PLAIN), model)


def test_irra_gives_the_features_of_the_official_code(golden: Callable, tmp_path: Path) -> None:
    for case in golden("irra_e2e"):
        state = {name[2:]: torch.from_numpy(value) for name, value in case.items() if name.startswith("w_")}
        model = read_model(str(best_pth(tmp_path / "best.pth", state))).encoder
        with torch.no_grad():
            for ours, theirs in (
                (model.encode_image(torch.from_numpy(case["in_images"])), "out_encode_image"),
                (model.encode_text(torch.from_numpy(case["in_caption_ids"])), "out_encode_text"),
            ):
                np.testing.assert_allclose(ours.numpy(), case[theirs], atol=1e-4)


@pytest.mark.parametrize(("options", "ratio"), [(None, 0.3), ("select_ratio: 0.5\nimg_size: [96, 32]\n", 0.5)])
def test_rde_and_icl(tmp_path: Path, caplog: pytest.LogCaptureFixture, options: str | None, ratio: float) -> None:
    model = two_branches(clip_like_openai(), ratio)
    file = best_pth(tmp_path / "best.pth", rde_state(model), options)
    encoder = load_encoder(f"trained:{file}", PLAIN)
    assert encoder.dim == 64 + 32
    assert same(encoder, model)
    assert ("select_ratio 0.3, as published" in caplog.text) == (options is None)
    assert "not used" not in caplog.text  # its idle layers are nothing to tell
    other = two_branches(clip_like_openai(), 0.8 - ratio)
    assert not same(encoder, other)
    best_pth(file, rde_state(model) | {"visul_emb_layer.mlp.layers.2.weight": torch.ones(2)})
    with pytest.raises(CtgiError, match=r"does not have: visul_emb_layer.mlp.layers.2.weight"):
        load_encoder(f"trained:{file}", PLAIN)


def test_tbps_clip(tmp_path: Path) -> None:
    clip = clip_like_openai((64, 64), **IMAGENET, interpolation="bicubic")
    state = {
        name if name.startswith("visual.") or name == "logit_scale" else f"encode_text.{name}": value
        for name, value in openai_names(clip).items()
    }
    torch.save({"model": state | {"simclr_mlp.0.weight": torch.ones(2, 2)}, "config": {"epoch": 5}}, tmp_path / "t.pth")
    read = read_model(str(tmp_path / "t.pth"))
    assert read.described == clip.settings()
    assert same(load_encoder(f"trained:{tmp_path / 't.pth'}", PLAIN), clip)
    open_clip.add_model_config(_config(tmp_path / "Square-person.json", clip.config))
    named = load_encoder(f"open_clip:Square-person,{tmp_path / 't.pth'}", PLAIN)
    assert same(named, clip)
    white = Image.new("RGB", (64, 64), "white")
    assert named.preprocess(white)[0, 0, 0] == pytest.approx((1 - IMAGENET["mean"][0]) / IMAGENET["std"][0])


def _config(path: Path, config: dict) -> Path:
    path.write_text(json.dumps(config))
    return path


def test_long_clip_reads_both_of_its_tables(tmp_path: Path) -> None:
    clip = clip_like_openai((64, 64), 248)
    state = openai_names(clip)
    table = state["positional_embedding"]
    kept, trained = torch.randn_like(table), torch.randn_like(table)
    kept[:20], trained[20:] = table[:20], table[20:]
    torch.save(state | {"positional_embedding": kept, "positional_embedding_res": trained}, tmp_path / "longclip-B.pt")
    encoder = load_encoder(f"trained:{tmp_path / 'longclip-B.pt'}", PLAIN)
    assert encoder.context_length == 248
    assert same(encoder, clip)


def test_openais_archive_is_read_without_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_like_openai((64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out, but what was published stays
        file = torchscript(tmp_path / "ViT-B-16.pt", clip, 64)
    monkeypatch.setattr(torch.jit, "load", None)
    encoder = load_encoder(f"trained:{file}", PLAIN)
    assert same(encoder, clip)
    assert not same(encoder, clip_like_openai((64, 64), quick_gelu=False))
    state = openai_names(clip) | {"input_resolution": torch.tensor(64), "context_length": torch.tensor(77)}
    torch.save(state | {"vocab_size": torch.tensor(49_408)}, tmp_path / "state.pt")
    assert same(load_encoder(f"trained:{tmp_path / 'state.pt'}", PLAIN), clip)


def test_what_tells_no_activation_is_asked_for_it(tmp_path: Path) -> None:
    file = tmp_path / "plain.pt"
    torch.save(openai_names(clip_like_openai((64, 64))), file)
    with pytest.raises(CtgiError, match=r"nothing in it says which activation.*--activation quickgelu"):
        load_encoder(f"trained:{file}", PLAIN)
    for quick in (True, False):
        clip = clip_like_openai((64, 64), quick_gelu=quick)
        model = read_model(str(file), quick_gelu=quick).encoder
        pixels = torch.randn(2, 3, 64, 64)
        np.testing.assert_allclose(encoded(model, pixels)[1], encoded(clip, pixels)[1], atol=1e-6)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_clip_of_hugging_face_gives_the_vectors_of_transformers(tmp_path: Path, activation: str) -> None:
    from transformers import CLIPConfig, CLIPModel

    tower = {"intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": activation}
    torch.manual_seed(0)
    config = CLIPConfig(
        vision_config=tower | {"hidden_size": 64, "image_size": 32, "patch_size": 16},
        text_config=tower | {"hidden_size": 32, "intermediate_size": 128, "vocab_size": 49_408},
        projection_dim=16,
    )
    theirs = CLIPModel(config).eval()
    for value in theirs.parameters():
        value.data += 0.1 * torch.randn_like(value)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    encoder = load_encoder(f"trained:{tmp_path}", PLAIN)
    pixels, ids = torch.randn(2, 3, 32, 32), CaptionTokenizer()(TEXTS)
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=pixels)
    np.testing.assert_allclose(encoder.encode_images(pixels), out.image_embeds, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS).vectors, out.text_embeds, atol=1e-5)
    assert read_model(str(tmp_path)).described["mean"] == [0.5] * 3


def _without(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("base_model.visual.ln_post.bias"), "vectors depend on are missing: .*visual.ln_post.bias"),
        (_without("base_model.text_projection"), "missing: 'text_projection'"),
        (
            lambda state: state | {"base_model.visual.transformer.resblocks.0.adapter.down": torch.ones(2)},
            "no place for: .*adapter.down",
        ),
        (lambda state: state | {"base_model.ln_final.bias": torch.ones(3)}, "of other shapes: .*ln_final.bias"),
        (lambda state: {"backbone.weight": torch.ones(2)}, "no known layout"),
        (lambda state: state | {"base_model.visual.positional_embedding": torch.ones(8, 64)}, "tell no image size"),
    ],
)
def test_what_would_give_other_vectors_is_refused(tmp_path: Path, change: Callable, message: str) -> None:
    file = best_pth(tmp_path / "best.pth", change(irra_state(clip_like_openai())))
    with pytest.raises(CtgiError, match=f"best.pth: .*{message}"):
        load_encoder(f"trained:{file}", PLAIN)


def test_overlapping_patches_and_other_sizes_are_refused(tmp_path: Path) -> None:
    file = best_pth(tmp_path / "best.pth", irra_state(clip_like_openai()), "stride_size: 12\n")
    with pytest.raises(CtgiError, match="stride_size 12"):
        load_encoder(f"trained:{file}", PLAIN)
    file.with_name("configs.yaml").write_text("img_size: [384, 128]\n")
    with pytest.raises(CtgiError, match="not those of images of 384 x 128"):
        load_encoder(f"trained:{file}", PLAIN)


class _Evil:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": irra_state(clip_like_openai()), "args": _Evil()}, "best.pth")
    _archive(Path("archive.pt"), pickle.dumps(_Evil()))
    for name in ("best.pth", "archive.pt"):
        with pytest.raises(CtgiError, match=f"{name}: not a checkpoint of tensors and plain values: it holds"):
            load_encoder(f"trained:{name}", PLAIN)
    assert not Path("ran").exists()


def _archive(path: Path, pickled: bytes | None, compression: int = ZIP_STORED) -> Path:
    with ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/constants.pkl", b"")
        if pickled is not None:
            archive.writestr("archive/data.pkl", pickled)
    return path


def test_an_archive_changes_nothing_for_those_read_after_it(tmp_path: Path) -> None:
    deaf = b"c__torch__\nModule\nN}\x8c\x0c__setstate__ctorch._utils\n_rebuild_parameter\ns\x86b."
    assert load_content(_archive(tmp_path / "deaf.pt", deaf)) == {}
    clip = clip_like_openai((64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = torchscript(tmp_path / "ViT-B-16.pt", clip, 64)
    assert load_content(file).keys() >= openai_names(clip).keys()


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    packed = _archive(tmp_path / "packed.pt", b"K\x01." * 500, ZIP_DEFLATED)
    content = bytearray(packed.read_bytes())
    start = content.index(b"archive/data.pkl") + len("archive/data.pkl")
    content[start : start + 6] = b"\xff" * 6
    packed.write_bytes(content)
    for file in (packed, _archive(tmp_path / "hollow.pt", None), _archive(tmp_path / "empty.pt", b"")):
        with pytest.raises(CtgiError, match=f"{file.name}: not a checkpoint of tensors and plain values"):
            load_content(file)


def test_a_named_architecture_takes_the_same_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = clip_like_openai(quick_gelu=False)
    for name in ("Small-person", "Both-person", "Both-person-quickgelu"):
        config = clip.config | {"quick_gelu": name.endswith("-quickgelu")}
        open_clip.add_model_config(_config(tmp_path / f"{name}.json", config))
    quick = clip_like_openai()
    irra, plain = best_pth(tmp_path / "best.pth", irra_state(clip)), tmp_path / "stripped.pth"
    torch.save(_without("logit_scale")(openai_names(clip)), plain)
    caplog.set_level(logging.WARNING)
    for model, file, expected, said in (
        ("Small-person", irra, clip, "GELU as Small-person says (its own code has QuickGELU: for that, trained:"),
        ("Both-person", irra, quick, "read as IRRA; QuickGELU; not used: classifier"),
        ("Small-person", plain, clip, ""),
        ("Both-person", plain, clip, "need Both-person-quickgelu"),
        ("Both-person-quickgelu", plain, quick, ""),
    ):
        caplog.clear()
        assert same(load_encoder(f"open_clip:{model},{file}", PLAIN), expected), (model, file)
        assert said in caplog.text
        assert bool(said) == bool(caplog.records)


def test_a_text_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "notes.pth").write_text("hello")
    with pytest.raises(CtgiError, match=r"notes.pth: not a checkpoint .*: neither torch nor safetensors wrote it"):
        load_content(tmp_path / "notes.pth")
