"""Runs written for other programs: their names, and the same vectors when read again."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import yaml
from safetensors.torch import load_file

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.retrieval.trained_encoder import read_model
from ctgi.training.checkpoints import save_checkpoint
from ctgi.training.exported import export_model
from ctgi.training.irra import Irra
from ctgi.training.rde import Rde
from tests.support.foreign_files import IMAGENET, clip_like_openai, two_branches
from tests.support.published_weights import clip_of, clip_of_sizes, irra_names, load, tensors, weights

TEXTS = ["a man in a red coat", "a woman with a bag"]


def saved(path: Path, model: Irra | Rde, kind: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_checkpoint(path, {"kind": kind, "description": model.settings(), "state": model.state_dict()})
    return path


def irra(**options) -> Irra:
    return Irra(clip_like_openai(**options), 7, losses=("sdm", "id", "mlm"))


def vectors(binding: str) -> tuple[np.ndarray, np.ndarray]:
    encoder = load_encoder(binding, RetrieverSettings())
    pixels = torch.randn(2, 3, 96, 32, generator=torch.Generator().manual_seed(5))
    return encoder.encode_images(pixels), encoder.encode_texts(TEXTS).vectors


def names(state) -> set[str]:
    return {re.sub(r"resblocks\.\d+", "resblocks.N", str(name)) for name in state}


@pytest.mark.parametrize("kind", ["irra", "rde"])
def test_the_official_codes_get_their_names_and_the_same_vectors(golden: Callable, tmp_path: Path, kind: str) -> None:
    model = irra() if kind == "irra" else Rde(two_branches(clip_like_openai(), 0.4))
    run = saved(tmp_path / "last.pt", model, kind)
    files = export_model(str(run), kind, tmp_path / "out")
    assert [file.name for file in files] == ["best.pth", "configs.yaml"]
    state = torch.load(files[0], weights_only=True)["model"]
    published = names(golden(f"param_groups_{kind}")[0]["names"])
    statistics = {name for name in names(state) if "running_" in name or "num_batches" in name}
    assert names(state) - statistics == published
    assert state["base_model.visual.conv1.weight"].shape == (64, 3, 16, 16)
    for theirs, ours in zip(vectors(f"trained:{files[0]}"), vectors(f"trained:{run}"), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6)
    assert not read_model(str(files[0])).assumed


GOLDEN = Path(__file__).parents[1] / "golden"


def of_shapes(family: str) -> tuple[ClipTokens, dict[str, list[int]]]:
    """A model of the sizes of a reference model of the official code, and the shapes of that one's weights."""
    found = json.loads((GOLDEN / "shapes.json").read_text())[family]
    return clip_of_sizes(found["cfg"]), found["shapes"]


def shapes(file: Path) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in torch.load(file, weights_only=True)["model"].items()}


def test_irra_gets_its_names_and_shapes_and_the_options_of_its_test(tmp_path: Path) -> None:
    clip, published = of_shapes("irra_e2e")
    run = saved(tmp_path / "last.pt", Irra(clip, 9, losses=("sdm", "id", "mlm")), "irra")
    weights_file, options_file = export_model(str(run), "irra")
    assert weights_file == tmp_path / "last-irra" / "best.pth"
    assert shapes(weights_file) == published
    options = yaml.safe_load(options_file.read_text())
    assert options["loss_names"] == "sdm+id+mlm"
    assert options["output_dir"] == str(tmp_path / "last-irra")
    assert (options["img_size"], options["stride_size"], options["text_length"]) == ([96, 32], 16, 77)
    assert "pretrain_choice" not in options  # its code has no model of these sizes


def test_rde_gets_its_names_and_shapes(tmp_path: Path, golden: Callable) -> None:
    clip, published = of_shapes("rde_clip_attention")
    model = Rde(TwoBranches(clip, out_dim=64, max_words=None))
    files = export_model(str(saved(tmp_path / "best.pt", model, "rde")), "rde", tmp_path / "out")
    found = shapes(files[0])
    assert {name.removeprefix("base_model."): found.pop(name) for name in list(found) if "base_model" in name} == (
        published
    )
    for modality, theirs in (("img", "visul_emb_layer."), ("txt77", "texual_emb_layer.")):
        selection = weights(golden("tse")[0], f"{modality}_w_")
        mine = {name: found.pop(name) for name in list(found) if name.startswith(theirs)}
        assert mine.keys() == {theirs + name for name in selection}
        assert mine[f"{theirs}mlp.layers.1.weight"] == [64, 32]
    assert not found


def test_what_the_official_codes_computed_comes_out_of_what_is_exported(golden: Callable, tmp_path: Path) -> None:
    for number, case in enumerate(golden("irra_e2e")):
        model = Irra(clip_of(case), 9, losses=("sdm", "id", "mlm"))
        load(model, {irra_names(name): value for name, value in weights(case, "w_").items()})
        run = saved(tmp_path / f"irra{number}.pt", model, "irra")
        file = export_model(str(run), "irra")[0]
        state = torch.load(file, weights_only=True)["model"]
        assert state.keys() == weights(case, "w_").keys()
        assert all(torch.equal(state[name], value) for name, value in weights(case, "w_").items())
        encoder = read_model(str(file)).encoder
        pixels, ids = tensors(case, "in_images", "in_caption_ids")
        with torch.no_grad():
            np.testing.assert_allclose(encoder.encode_image(pixels), case["out_encode_image"], atol=1e-4)
            np.testing.assert_allclose(encoder.encode_text(ids), case["out_encode_text"], atol=1e-4)
    for number, case in enumerate(golden("rde_clip_attention")):
        clip = clip_of(case)
        load(clip.model, weights(case, "w_"))
        run = saved(tmp_path / f"rde{number}.pt", Rde(TwoBranches(clip, out_dim=64, max_words=None)), "rde")
        encoder = read_model(str(export_model(str(run), "rde")[0])).encoder
        assert isinstance(encoder, TwoBranches)
        pixels, ids = tensors(case, "in_images", "in_caption_ids")
        with torch.no_grad():
            seen, read = encoder.clip.image_tokens(pixels), encoder.clip.text_tokens(ids)
        np.testing.assert_allclose(seen.tokens, case["out_image_tokens"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(read.tokens, case["out_text_tokens"], rtol=1e-4, atol=1e-4)


def test_safetensors_hold_the_checkpoint_with_its_heads_and_run_nothing(tmp_path: Path) -> None:
    for kind, model in (("irra", irra()), ("rde", Rde(two_branches(clip_like_openai(), 0.4)))):
        run = saved(tmp_path / kind / "last.pt", model, kind)
        (file,) = export_model(str(run), "safetensors")
        assert file.name == "model.safetensors"
        assert load_file(file).keys() == model.state_dict().keys()
        for path in (file, file.parent):
            again = read_model(str(path))
            assert (again.layout, again.described) == ("ctgi train", model.settings())
            for theirs, ours in zip(vectors(f"trained:{path}"), vectors(f"trained:{run}"), strict=True):
                np.testing.assert_array_equal(theirs, ours)


def test_open_clip_loads_its_folder_with_the_same_vectors(tmp_path: Path) -> None:
    run = saved(tmp_path / "best.pt", irra(), "irra")
    export_model(str(run), "open_clip", tmp_path / "out")
    for theirs, ours in zip(vectors(f"open_clip:local-dir:{tmp_path / 'out'}"), vectors(f"trained:{run}"), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6)
    with pytest.raises(CtgiError, match="is there already"):
        export_model(str(run), "open_clip", tmp_path / "out")


def test_a_gallery_of_one_door_is_refused_at_another_that_resizes_otherwise(tmp_path: Path, people: Path) -> None:
    run = saved(tmp_path / "best.pt", irra(), "irra")
    export_model(str(run), "irra", tmp_path / "official")
    export_model(str(tmp_path / "official"), "open_clip", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "Door-person.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Door-person.json")
    bilinear, bicubic = (
        load_encoder(f"open_clip:{name}", RetrieverSettings())
        for name in (f"local-dir:{tmp_path / 'out'}", f"Door-person,{tmp_path / 'official' / 'best.pth'}")
    )
    build_gallery([str(people)], tmp_path / "gallery", bilinear, RetrieverSettings())
    with pytest.raises(CtgiError, match=r"made with .*, opened with .*resizing or context length differ"):
        open_gallery(tmp_path / "gallery", bicubic)


def test_what_would_give_other_vectors_elsewhere_is_refused(tmp_path: Path) -> None:
    gelu = saved(tmp_path / "gelu.pt", irra(quick_gelu=False), "irra")
    bicubic = saved(tmp_path / "bicubic.pt", irra(interpolation="bicubic"), "irra")
    other_colors = saved(tmp_path / "colors.pt", Rde(two_branches(clip_like_openai(**IMAGENET))), "rde")
    heads = saved(tmp_path / "heads.pt", irra(channels=32), "irra")
    fewer = TwoBranches(clip_like_openai(), out_dim=32, max_words=5)
    rde = saved(tmp_path / "rde.pt", Rde(fewer), "rde")
    for run, to, message in (
        (gelu, "irra", "has GELU, but"),
        (bicubic, "irra", "prepares images in another way"),
        (other_colors, "rde", "prepares images in another way"),
        (heads, "irra", "heads of 32 channels"),
        (gelu, "rde", "no token selection"),
        (rde, "irra", "export it with --to rde"),
        (rde, "rde", "selects 5 words, but RDE's code 22"),
    ):
        with pytest.raises(CtgiError, match=f"{run.name}: .*{message}"):
            export_model(str(run), to, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_other_loaders_stop_at_our_own_checkpoint(tmp_path: Path) -> None:
    model = irra()
    run = saved(tmp_path / "best.pt", model, "irra")
    (packed,) = export_model(str(run), "safetensors")
    theirs = clip_like_openai(seed=1).model
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    for file in (run, packed):
        with pytest.raises(RuntimeError, match="Missing key"):
            open_clip.load_checkpoint(theirs, str(file))
    with pytest.raises(KeyError, match="model"):
        torch.load(run, weights_only=True)["model"]  # the first thing that the official codes do
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, before[name])
    shared = {name for name in model.state_dict() if name in before or f"base_model.{name}" in before}
    assert not shared


def test_a_checkpoint_of_the_first_format_is_still_read(tmp_path: Path) -> None:
    model = irra()
    now = saved(tmp_path / "now.pt", model, "irra")
    content = {"format": 1, "kind": "irra", "model": model.settings(), "state": model.state_dict()}
    del content["model"]["interpolation"]
    torch.save(content, tmp_path / "then.pt")
    for then, ours in zip(vectors(f"trained:{tmp_path / 'then.pt'}"), vectors(f"trained:{now}"), strict=True):
        np.testing.assert_array_equal(then, ours)


def test_a_checkpoint_of_a_later_format_is_named(tmp_path: Path) -> None:
    torch.save({"format": 3, "kind": "irra", "state": {}}, tmp_path / "later.pt")
    with pytest.raises(CtgiError, match=r"later.pt: expected .* in format 2, got 3"):
        read_model(str(tmp_path / "later.pt"))
