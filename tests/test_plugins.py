"""Backends and encoders of other people: installed plug-ins, and code named by `python:`."""

import asyncio
import sys
from pathlib import Path

import pytest
from PIL import Image

from ctgi.config import Binding, load_settings
from ctgi.errors import CtgiError, ToolError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.images import ref
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, open_mllm

CODE = """
import numpy as np
import torch

def answer(image, prompt):
    return f"a person in a {image.width} x {image.height} px picture"

async def slow(image, prompt):
    return prompt

def broken(image, prompt):
    raise KeyError("no such layer")

def silent(image, prompt):
    return None

class Model:
    endpoint = "my own model"
    async def chat(self, request):
        from ctgi.tools.backends import ChatReply
        return ChatReply("yes", choices={"yes": 0.7, "no": 0.3})
    async def aclose(self):
        pass

class OnlyChat:
    async def chat(self, request):
        from ctgi.tools.backends import ChatReply
        return ChatReply("yes", confidence=0.9) if "yes" in request.prompt else {"color": "red"}[request.prompt]

class NoReply:
    async def chat(self, request):
        return "yes"

class Encoder:
    def preprocess(self, image):
        return np.asarray(image.resize((4, 4)), np.float32).transpose(2, 0, 1)
    def encode_images(self, images):
        return images.mean(dim=(2, 3)) * 3
    def encode_texts(self, texts):
        return torch.tensor([[("red" in t) + 1e-3, ("green" in t) + 0.0, ("blue" in t) + 0.0] for t in texts])

class Half:
    def preprocess(self, image):
        return image
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a module of the user's, which Python has not seen before."""
    (tmp_path / "my_models.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    Image.new("RGB", (60, 160), "red").save(tmp_path / "red.png")
    return tmp_path


def said(name: str, request: ChatRequest) -> ChatReply:
    async def ask() -> ChatReply:
        model = open_mllm(Binding.parse(f"python:my_models:{name}"), load_settings())
        try:
            return await model.chat(request)
        finally:
            await model.aclose()

    return asyncio.run(ask())


def looking() -> ChatRequest:
    return ChatRequest("What color?", ref("red.png"), history=(("Describe.", "A man."),), system="Be brief.")


def test_a_function_sees_the_image_and_all_that_was_said() -> None:
    assert said("answer", looking()).text == "a person in a 60 x 160 px picture"
    assert said("slow", looking()).text == "Be brief.\n\nDescribe.\n\nA man.\n\nWhat color?"
    assert said("slow", ChatRequest("Join these.")).text == "Join these."


def test_a_class_may_offer_more() -> None:
    assert said("Model", looking()).choices == {"yes": 0.7, "no": 0.3}


def test_a_class_need_offer_no_more_than_chat() -> None:
    async def probe() -> tuple[str, Abilities]:
        model = open_mllm(Binding.parse("python:my_models:OnlyChat"), load_settings())
        try:
            return model.endpoint, await model.probe()
        finally:
            await model.aclose()

    assert asyncio.run(probe()) == (
        "this process (my_models:OnlyChat)",
        Abilities(images=True, logprobs=True, structured=False),
    )
    assert said("OnlyChat", ChatRequest("yes or no?")).text == "yes"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "my_models:broken raised KeyError: 'no such layer'"),
        ("silent", "my_models:silent returned None: expected a text"),
        ("OnlyChat", "my_models:OnlyChat raised KeyError: 'What color?'"),
        ("NoReply", "my_models:NoReply returned 'yes': expected a ctgi.tools.backends.ChatReply"),
    ],
)
def test_a_fault_in_it_is_the_call_s_and_names_the_function(name: str, message: str) -> None:
    with pytest.raises(ToolError) as error:
        said(name, looking())
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("python:my_modls:answer", "no module 'my_modls'"),
        ("python:my_models:anser", "my_models has no 'anser'"),
        ("python:my_models", "expected python:MODULE:NAME"),
        ("python:needs_more:f", "its import needs not_there_at_all"),
        ("nobody:model", "providers? among embedded, hf, openai, python, vllm"),
    ],
)
def test_what_cannot_be_found_is_said(spec: str, message: str, mine: Path) -> None:
    (mine / "needs_more.py").write_text("import not_there_at_all")
    with pytest.raises(CtgiError, match=message):
        open_mllm(Binding.parse(spec), load_settings())


def test_three_methods_make_an_encoder() -> None:
    encoder = load_encoder("python:my_models:Encoder", load_settings().retriever)
    assert encoder.dim == 3
    picture = encoder.encode_images(encoder.preprocess(Image.open("red.png"))[None])
    assert picture[0].tolist() == pytest.approx([1, 0, 0])
    assert (encoder.encode_texts(["a red coat", "a blue coat"]).vectors @ picture[0]).tolist() == pytest.approx(
        [1, 0.001], abs=1e-4
    )
    again = load_encoder("python:my_models:Encoder", load_settings().retriever)
    assert again.fingerprint == encoder.fingerprint
    with pytest.raises(CtgiError, match="has no method encode_images"):
        load_encoder("python:my_models:Half", load_settings().retriever)


def test_an_installed_package_adds_a_backend_and_cannot_take_over_ours(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = mine / "site" / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ctgi.backends]\ntheirs = my_models:Model\nopenai = my_models:Model\n")
    monkeypatch.syspath_prepend(mine / "site")
    monkeypatch.syspath_prepend(mine)
    settings = load_settings()
    monkeypatch.setattr("my_models.Model.__init__", lambda self, model, endpoint: None, raising=False)
    theirs = open_mllm(Binding.parse("theirs:big"), settings)
    assert theirs.endpoint == "my own model"
    with pytest.raises(CtgiError, match="OPENAI_API_KEY"):
        open_mllm(Binding.parse("openai:gpt-4o"), settings)


def test_code_named_by_a_file_that_was_only_found_is_not_run(mine: Path) -> None:
    for spelt in (" python:my_models:answer", "python:my_models:answer"):
        (mine / "ctgi.toml").write_text(f'[bindings]\nverify_match = "{spelt}"\n')
        with pytest.raises(CtgiError, match="only found, not chosen"):
            load_settings()
    assert str(load_settings(config=Path("ctgi.toml")).binding("verify_match")) == "python:my_models:answer"
    (mine / "ctgi.toml").write_text('[endpoints.lab]\nprovider = "python"\n')
    with pytest.raises(CtgiError, match="only found, not chosen"):
        load_settings()
