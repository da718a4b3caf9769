"""--profile laptop: models from a hub, told before they are downloaded; here small ones under their names."""

from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
from huggingface_hub import constants
from transformers.utils.hub import hf_api

from ctgi.bindings import Binding
from ctgi.config import load_settings
from ctgi.hub import KNOWN
from tests.support.commands import Run
from tests.support.small_hub import small_hub
from tests.support.small_vlms import FAMILIES

QWEN = "Qwen/Qwen3-VL-2B-Instruct"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that come from the hub."""
    with small_hub({QWEN: FAMILIES["Qwen3-VL"](tmp_path / "qwen")}) as (address, files):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(hf_api(), "endpoint", address)  # as it was when somebody first asked a hub
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + constants.HUGGINGFACE_CO_URL_TEMPLATE[22:]
        )
        yield files


def test_it_tells_what_it_downloads_and_downloads_it_once(
    ctgi: Run, tiny_clip: Path, downloaded: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CTGI_ENDPOINTS__HF__MAX_TOKENS", "16")  # random weights find no end
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    done = ctgi("tools", "check", "--profile", "laptop", "-b", clip, "--json")
    (line,) = caplog.messages
    assert f"downloading {QWEN} from http://127.0.0.1:" in line
    assert "(4.3 GB, 2.1 billion parameters, Apache-2.0)" in line
    assert "embedded" not in done.err
    verify = next(row for row in done.json if row["tool"] == "verify_match")
    assert (verify["backend"], verify["works"], verify["logprobs"]) == (f"hf:{QWEN}", True, True)
    assert "P(yes)" in verify["said"]

    caplog.clear()
    ctgi("tools", "check", "--profile", "laptop", "-b", clip, "--json")
    assert caplog.messages == []
    assert downloaded.count("model.safetensors") == 1


def test_offline_it_is_one_clear_line(ctgi: Run, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for command in (["caption", people], ["search", "a man", "-g", people]):
        done = ctgi(*command, "--profile", "laptop")
        assert done.code == 2
        (line,) = done.err.splitlines()
        assert "HF_HUB_OFFLINE is set" in line


def test_what_is_said_of_its_models_is_said_of_those_that_are_loaded() -> None:
    settings = load_settings(profile="laptop")
    assert settings.binding("verify_match") == Binding("hf", QWEN, None)
    model, _, tag = settings.binding("search_gallery").model.partition(",")
    assert open_clip.get_pretrained_cfg(model, tag)["hf_hub"].strip("/") in KNOWN
    assert QWEN in KNOWN


def test_the_notice_of_the_embedded_models_offers_it(ctgi: Run, people: Path) -> None:
    done = ctgi("caption", people / "0_a.png", "--turns", 0)
    assert "--profile laptop downloads better ones once (5 GB)" in done.err
