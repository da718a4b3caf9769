"""Runs as checkpoints of other programs: their names, and the same vectors when read again."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.retrieval.trained_encoder import read_model
from ctgi.training.checkpoints import save_checkpoint
from ctgi.training.converted import convert_checkpoint
from ctgi.training.irra import Irra
from ctgi.training.rde import Rde
from tests.support.foreign_files import IMAGENET, clip_like_openai, two_branches

TEXTS = ["a man in a red coat", "a woman with a bag"]


def saved(path: Path, model: Irra | Rde, kind: str) -> Path:
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
    files = convert_checkpoint(str(run), kind, tmp_path / "out")
    assert [file.name for file in files] == ["best.pth", "configs.yaml"]
    state = torch.load(files[0], weights_only=True)["model"]
    published = names(golden(f"param_groups_{kind}")[0]["names"])
    statistics = {name for name in names(state) if "running_" in name or "num_batches" in name}
    assert names(state) - statistics == published
    assert state["base_model.visual.conv1.weight"].shape == (64, 3, 16, 16)
    for theirs, ours in zip(vectors(f"trained:{files[0]}"), vectors(f"trained:{run}"), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6)
    assert not read_model(str(files[0])).assumed


def test_open_clip_loads_its_folder_with_the_same_vectors(tmp_path: Path) -> None:
    run = saved(tmp_path / "best.pt", irra(), "irra")
    convert_checkpoint(str(run), "open_clip", tmp_path / "out")
    for theirs, ours in zip(vectors(f"open_clip:local-dir:{tmp_path / 'out'}"), vectors(f"trained:{run}"), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6)
    with pytest.raises(CtgiError, match="is there already"):
        convert_checkpoint(str(run), "open_clip", tmp_path / "out")


def test_a_gallery_of_one_door_is_refused_at_another_that_resizes_otherwise(tmp_path: Path, people: Path) -> None:
    run = saved(tmp_path / "best.pt", irra(), "irra")
    convert_checkpoint(str(run), "irra", tmp_path / "official")
    convert_checkpoint(str(tmp_path / "official"), "open_clip", tmp_path / "out")
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
        (rde, "irra", "convert it with --to rde"),
        (rde, "rde", "selects 5 words, but RDE's code 22"),
    ):
        with pytest.raises(CtgiError, match=f"{run.name}: .*{message}"):
            convert_checkpoint(str(run), to, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_others_find_no_weights_by_name_in_our_own_checkpoint(tmp_path: Path) -> None:
    from ctgi.training.checkpoints import load_checkpoint

    content = load_checkpoint(saved(tmp_path / "best.pt", irra(), "irra"))
    assert content.keys() & {"model", "state_dict", "model_state_dict"} == set()


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
