"""Compiled layers are used where they are right and faster; whatever else happens, the plain ones go on."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers import Qwen2VLProcessor

from ctgi.embedded import MLLM
from recipes.embedded import quick as quick_module
from recipes.embedded.layers import after_reading, after_sight, before_reading, before_sight
from recipes.embedded.quick import compile_layers, quick
from recipes.embedded.qwen2vl import build_model

LAYERS = (before_sight, after_sight, before_reading, after_reading)
Compiler = Callable[..., Any]


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model(Qwen2VLProcessor.from_pretrained(MLLM))


@pytest.fixture
def compile_with(model: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Compiler, float], None]]:
    """Compile by a compiler of the test, in so many seconds; every form counts as faster."""
    monkeypatch.setattr(quick_module, "_FASTER", 1e9)

    def run(compiler: Compiler, seconds: float) -> None:
        monkeypatch.setattr(torch, "compile", compiler)
        compile_layers(model, seconds, sizes=((3, 8), (2, 4)))

    yield run
    quick_module._COMPILED.clear()


def chosen() -> list[bool]:
    """Which layers run in another form."""
    return [quick(layer, torch.zeros(2, 4, 8)) is not layer for layer in LAYERS]


def same(layer: Compiler) -> Compiler:
    return lambda *inputs: layer(*inputs)


def test_what_is_right_and_faster_is_used(compile_with: Callable[[Compiler, float], None]) -> None:
    compile_with(same, 30)
    assert chosen() == [True] * 4
    with torch.no_grad():
        assert chosen() == [False] * 4
    assert quick(after_sight, torch.zeros(1, 4, 8)) is after_sight


def test_what_is_wrong_is_not_used(compile_with: Callable[[Compiler, float], None]) -> None:
    compile_with(lambda layer: lambda *inputs: 1.1 * layer(*inputs), 30)
    assert chosen() == [False] * 4


def test_a_compiler_that_fails_or_takes_long_ends_nothing(compile_with: Callable[[Compiler, float], None]) -> None:
    def failing(layer: Compiler) -> Compiler:
        if layer is after_reading:
            raise RuntimeError("no such compiler")
        return same(layer)

    compile_with(failing, 30)
    assert chosen() == [True, True, False, False]  # what came before stays

    quick_module._COMPILED.clear()
    compile_with(lambda layer: time.sleep(60), 0.05)
    assert chosen() == [False] * 4
