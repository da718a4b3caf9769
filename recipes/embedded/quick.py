"""Compiled forms of the layers, kept where they were seen to be right and faster; else the plain ones go on."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from recipes.embedded import layers

logger = logging.getLogger(__name__)

Layer = Callable[..., Tensor]
_COMPILED: dict[Layer, Layer] = {}
_ALIKE = 0.02
"""The most that a compiled layer's values and gradients differ, as a share of their size; bfloat16 rounds to 0.004."""
_FASTER = 0.97


def quick(layer: Layer, x: Tensor) -> Layer:
    """The compiled form, where there is one and gradients are wanted; a batch of one would compile it once more."""
    return _COMPILED.get(layer, layer) if torch.is_grad_enabled() and len(x) > 1 else layer


def compile_layers(model: Any, seconds: float, sizes: tuple[tuple[int, int], ...] = ((256, 280), (96, 240))) -> None:
    """Compile what gets faster by it, in so many seconds at the most.

    Args:
        model: the model whose first layers are tried.
        seconds: when they are over, what is not compiled stays plain.
        sizes: pictures, and patches or tokens of each, to try; other sizes need no new compilation.
    """
    block, layer = model.model.visual.blocks[0], model.model.language_model.layers[0]
    seeing = _leaves(layers.weights_of_sight(block, torch.bfloat16))
    reading = _leaves(layers.weights_of_reading(layer, torch.bfloat16))
    trials: list[tuple[Layer, list[Tensor], bool, bool]] = [
        (layers.after_sight, seeing[4:], False, False),
        (layers.before_sight, seeing[:4], True, False),
        (layers.after_reading, reading[3:], False, True),
        (layers.before_reading, reading[:3], True, True),
    ]
    device, began = torch.get_default_device().type, time.monotonic()
    try:
        # In the very state in which they run, or they would be compiled again.
        with _at_most(seconds), torch.autocast(device, torch.bfloat16), torch.autocast(device, enabled=False):
            for function, weights, turns, each in trials:
                compiled = torch.compile(function)
                inputs = [_inputs(size, weights, turns=turns, each=each) for size in sizes]
                if all(_alike(function, compiled, one) for one in inputs):
                    plain, other = _seconds(function, inputs[0]), _seconds(compiled, inputs[0])
                    if other < _FASTER * plain:
                        _COMPILED[function] = compiled
                    logger.info("%s: %.2f ms, compiled %.2f", function.__name__, plain * 1e3, other * 1e3)
                else:
                    logger.warning("%s: compiled it differs, so it stays plain", function.__name__)
    except Exception as error:  # whatever a compiler raises: what is compiled so far stays, the rest is plain
        logger.warning("not all layers were compiled: %s", (str(error) or type(error).__name__).splitlines()[0])
    logger.info("%d layers compiled in %.0f s", len(_COMPILED), time.monotonic() - began)


def _leaves(weights: list[Tensor]) -> list[Tensor]:
    return [weight.detach().requires_grad_() for weight in weights]


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _inputs(size: tuple[int, int], weights: list[Tensor], *, turns: bool, each: bool) -> tuple[Any, ...]:
    """States and, where the layer `turns`, angles (of `each` picture or of all alike), else what attention mixed."""
    width = weights[0].shape[0]
    x = torch.randn(*size, width, dtype=torch.bfloat16, requires_grad=True)
    other: Any = torch.randn(*size, width, dtype=torch.bfloat16, requires_grad=True)
    marked = [(x, 2), (other, 2)]
    if turns:
        places = (*size, 1, layers.HEAD) if each else (size[1], 1, layers.HEAD)
        other = torch.randn(places, dtype=torch.bfloat16), torch.randn(places, dtype=torch.bfloat16)
        marked = [(x, 2), *((part, 2 if each else 1) for part in other)]
    for tensor, dimensions in marked:
        for dimension in range(dimensions):
            torch._dynamo.maybe_mark_dynamic(tensor, dimension)
    return x, other, weights


def _run(layer: Layer, inputs: tuple[Any, ...]) -> list[Tensor]:
    """Values, and the gradients of the states and weights."""
    x, _, weights = inputs
    out = layer(*inputs)
    return [out.detach(), *torch.autograd.grad(out.float().square().mean(), [x, *weights])]


def _alike(layer: Layer, compiled: Layer, inputs: tuple[Any, ...]) -> bool:
    pairs = zip(_run(layer, inputs), _run(compiled, inputs), strict=True)
    return all(bool((a - b).float().norm() <= _ALIKE * a.float().norm()) for a, b in pairs)


def _seconds(layer: Layer, inputs: tuple[Any, ...]) -> float:
    _run(layer, inputs)
    _wait()
    began = time.monotonic()
    for _ in range(8):
        _run(layer, inputs)
    _wait()
    return (time.monotonic() - began) / 8


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
