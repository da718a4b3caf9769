"""Folders and names that are no checkpoint, or a damaged one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ctgi.config import Endpoint
from ctgi.errors import CtgiError
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.hf import open_hf
from tests.support.small_qwen import run, together


def test_what_is_no_checkpoint_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(CtgiError, match=rf"{path.name}: no .*config\.json"):
            open_hf(str(path), Endpoint(device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error(model: Path) -> None:
    with pytest.raises(CtgiError, match=r"device 'cuda:0'.*auto or cpu"):
        open_hf(str(model), Endpoint(device="cuda:0"))
    assert open_hf(str(model), Endpoint()).endpoint == "this process (cpu)"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def drop_a_weight(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    del weights["visual.blocks.0.norm1.bias"]
    save_file(weights, path, metadata={"format": "pt"})


def make_deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def make_a_number(path: Path) -> None:
    path.write_text("5")


def make_bert(path: Path) -> None:
    path.write_text(json.dumps({"model_type": "bert"}))


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("model.safetensors", cut, r"not a checkpoint that can be used"),
        ("model.safetensors", Path.unlink, r"expected config\.json, the weights"),
        ("model.safetensors", drop_a_weight, r"lacks 1 of its weights"),
        ("config.json", make_bert, r"'bert' model does not look at images"),
        ("chat_template.jinja", Path.unlink, r"no chat template"),
        ("processor_config.json", Path.unlink, r"the processor's files"),
        ("config.json", make_deep, r"not a checkpoint that can be used"),
        ("config.json", make_a_number, r"not a checkpoint that can be used"),
        ("tokenizer.json", make_a_number, r"not a checkpoint that can be used"),
        ("processor_config.json", make_deep, r"not a checkpoint that can be used"),
    ],
)
def test_a_damaged_checkpoint_is_an_error_for_every_caller(
    model: Path, tmp_path: Path, file: str, damage: Callable[[Path], None], said: str
) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    damage(copy / file)
    errors = run(copy, together([ChatRequest("What?"), ChatRequest("Who?")]))
    for error in errors:
        with pytest.raises(CtgiError, match=said):
            raise error


def test_a_home_of_nobody_is_no_folder() -> None:
    with pytest.raises(CtgiError, match="hf:~nobody-of-that-name/model: no such folder"):
        open_hf("~nobody-of-that-name/model", Endpoint())


def test_a_hub_name_without_a_network_asks_for_a_local_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    [error] = run(Path("no-such-owner/no-such-model"), together([ChatRequest("What?")]))
    assert isinstance(error, CtgiError)
    assert "no download is possible" in str(error)
    assert "local folder" in str(error)
