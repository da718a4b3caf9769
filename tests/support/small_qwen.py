"""A small Qwen2-VL with random weights (float32, CPU), figures for it to look at, and how to ask it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import AutoProcessor

from ctgi.config import Endpoint
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.hf import HfMllm, open_hf
from recipes.embedded.qwen2vl import build_model, build_processor

COLORS = ("red", "green", "blue", "black", "white", "orange")


Ask = Callable[[HfMllm], Awaitable[Any]]


VISION_TOWER, LANGUAGE_MODEL = "Qwen2VisionTransformerPretrainedModel", "Qwen2VLTextModel"


def save_small_qwen(folder: Path) -> Path:
    """The embedded model's architecture with random weights, so large that the replies differ from prompt to prompt."""
    processor = build_processor(["yes no", "Describe the person in this image."], vocabulary=1600, cells=(12, 24))
    network = build_model(processor)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight *= 5
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_figures(folder: Path) -> list[ImageRef]:
    """Two-colored figures of different sizes, so that prompts differ in length."""
    paths = []
    for i, color in enumerate(COLORS):
        image = Image.new("RGB", (96 + 16 * i, 384 - 32 * i), "grey")
        image.paste(color, (24, 60, 72, 150))
        paths.append(str(folder / f"{color}.png"))
        image.save(paths[-1])
    return [ref(path) for path in paths]


def run(model: Path, ask: Ask, **endpoint: Any) -> Any:
    """What `ask` returns on a freshly opened backend, which is closed again."""

    async def session() -> Any:
        mllm = open_hf(str(model), Endpoint(device="cpu", **endpoint))
        try:
            return await ask(mllm)
        finally:
            await mllm.aclose()

    return asyncio.run(session())


def together(requests: list[ChatRequest]) -> Ask:
    return lambda mllm: asyncio.gather(*map(mllm.chat, requests), return_exceptions=True)


def one_by_one(requests: list[ChatRequest]) -> Ask:
    async def ask(mllm: HfMllm) -> list[ChatReply]:
        return [await mllm.chat(request) for request in requests]

    return ask


@contextmanager
def before_each(module: str, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` whenever a torch module of that class is about to run."""
    handle = register_module_forward_pre_hook(lambda m, _: act() if type(m).__name__ == module else None)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def counted(module: str) -> Iterator[list[int]]:
    calls = [0]

    def count() -> None:
        calls[0] += 1

    with before_each(module, count):
        yield calls


@contextmanager
def computing_all() -> Iterator[None]:
    """Whole prompts are computed by the models that are loaded inside, whatever was computed before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctgi.tools.backends.hf_model.can_continue", lambda _: False)
        yield


@contextmanager
def counted_tokens() -> Iterator[list[int]]:
    """Counts tokens that pass through the layers of the language model, padding included."""
    tokens = [0]

    def count(module: Any, inputs: tuple[Any, ...]) -> None:
        if type(module).__name__ == "Qwen2VLDecoderLayer":
            tokens[0] += inputs[0].shape[0] * inputs[0].shape[1]

    handle = register_module_forward_pre_hook(count)
    try:
        yield tokens
    finally:
        handle.remove()


def plain_inputs(model: Path, image: ImageRef, messages: list[dict[str, Any]]) -> Any:
    processor = AutoProcessor.from_pretrained(model)
    return processor, processor.apply_chat_template(
        [{**m, "content": [({**p, "image": Image.open(image.path)} if p["type"] == "image" else p)
                           for p in m["content"]]} for m in messages],
        tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True,
    )  # fmt: skip


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
