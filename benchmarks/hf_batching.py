"""Our batched in-process backend against a plain loop over `generate`, and with against without reuse in dialogues.

python -m benchmarks.hf_batching [--model FOLDER] [--images 24] [--rounds 3]

All sides answer the same requests with the same weights in one process, in turn; the fastest round of each counts, by
the clock and by the processor's time. In dialogues, first nothing is kept, then the features of the images, then also
what was computed for the earlier turns. Without --model the embedded model answers: so small a model shows the overhead
around it more than a large one does.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image

from ctgi.config import Endpoint
from ctgi.embedded import MLLM
from ctgi.retrieval.images import ImageRef, read_image, ref
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.hf import HfMllm, open_hf
from ctgi.tools.backends.hf_checkpoint import load_checkpoint
from ctgi.tools.backends.hf_model import Checkpoint

QUESTIONS = (
    *("What color is the upper clothing?", "What color is the lower clothing?", "What shoes are worn?"),
    *("Is a bag carried?", "What does the hair look like?", "Is there a hat?", "Are there glasses?"),
)
ANSWER_TOKENS = 16
Spent = tuple[float, ...]
"""Seconds by the clock and of the processor."""
Side = Callable[[HfMllm], Awaitable[Any]]
_WHOLE = ("nothing kept", "features kept")
"""Sides that compute the earlier turns again."""


def draw(folder: Path, count: int, variants: int) -> list[list[ImageRef]]:
    """`count` figures of 128 x 384 px, each in `variants` files that differ in one pixel."""
    figures = []
    for i in range(count):
        image = Image.new("RGB", (128, 384), "grey")
        image.paste((i * 37 % 256, i * 91 % 256, i * 53 % 256), (40, 80, 90, 200))
        figures.append([_saved(image, folder / f"{i}-{j}.png", j) for j in range(variants)])
    return figures


def _saved(image: Image.Image, path: Path, variant: int) -> ImageRef:
    image.putpixel((0, 0), (variant, 0, 0))
    image.save(path)
    return ref(str(path))


def mixed(images: Sequence[ImageRef]) -> list[ChatRequest]:
    """A caption and a yes-or-no verdict for each image."""
    captions = (ChatRequest("Describe the person in the image.", image, max_tokens=32) for image in images)
    verdicts = (ChatRequest("Is it a woman? Answer yes or no.", i, choices=("yes", "no")) for i in images)
    return [*captions, *verdicts]


def plain_loop(checkpoint: Checkpoint, requests: Sequence[ChatRequest]) -> None:
    """What one writes by hand: one request after the other through the processor and `generate`."""
    for request in requests:
        assert request.image
        content = [{"type": "image", "image": read_image(request.image.path)}, {"type": "text", "text": request.prompt}]
        inputs = checkpoint.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True,
        ).to(checkpoint.network.device)  # fmt: skip
        with torch.inference_mode():
            checkpoint.network.generate(**inputs, max_new_tokens=1 if request.choices else request.max_tokens)


async def dialogues(mllm: HfMllm, figures: Sequence[Sequence[ImageRef]], *, reuse: bool) -> None:
    """All questions about each image, each after the reply to the last; the images concurrently.

    Without `reuse` every question is about a file of its own, equal but for one pixel.
    """

    async def dialogue(files: Sequence[ImageRef]) -> None:
        history: list[tuple[str, str]] = []
        for question, file in zip(QUESTIONS, itertools.cycle(files[:1] if reuse else files), strict=False):
            reply = await mllm.chat(ChatRequest(question, file, tuple(history), max_tokens=ANSWER_TOKENS))
            history.append((question, reply.text))

    await asyncio.gather(*map(dialogue, figures))


async def measure(model: Path, folder: Path, count: int, rounds: int, batch_size: int) -> None:
    """Run all sides in turn, `rounds` times, and print the fastest of each."""
    figures = draw(folder, count, len(QUESTIONS))
    requests = mixed([files[0] for files in figures])
    checkpoint = load_checkpoint(str(model), "cuda" if torch.cuda.is_available() else "cpu", "auto")
    sides: dict[str, Side] = {
        "one by one": lambda _: asyncio.to_thread(plain_loop, checkpoint, requests),
        f"batches of {batch_size}": lambda mllm: asyncio.gather(*map(mllm.chat, requests)),
        "nothing kept": lambda mllm: dialogues(mllm, figures, reuse=False),
        "features kept": lambda mllm: dialogues(mllm, figures, reuse=True),
        "turns kept": lambda mllm: dialogues(mllm, figures, reuse=True),
    }
    spent: dict[str, list[Spent]] = {name: [] for name in sides}
    for _, (name, work) in itertools.product(range(rounds), sides.items()):
        mllm = open_hf(str(model), Endpoint(batch_size=batch_size))
        whole = patch("ctgi.tools.backends.hf_model.can_continue", return_value=False)
        with whole if name in _WHOLE else nullcontext():
            spent[name].append(await timed(work, mllm))
    best = {name: tuple(map(min, zip(*times, strict=True))) for name, times in spent.items()}
    plain, batched, *rest = best
    report((plain, batched), best, len(requests))
    report(rest, best, count * len(QUESTIONS))


async def timed(work: Side, mllm: HfMllm) -> Spent:
    """Seconds of `work` on a loaded backend that remembers nothing yet."""
    await mllm.chat(ChatRequest("Load.", max_tokens=1))
    start, worked = time.perf_counter(), time.process_time()
    await work(mllm)
    spent = time.perf_counter() - start, time.process_time() - worked
    await mllm.aclose()
    return spent


def report(names: Sequence[str], best: dict[str, Spent], requests: int) -> None:
    """A line for each side: requests per second of the clock and of the processor, and how many times the first's."""
    for name in names:
        speeds = [
            f"{requests / seconds:8.1f} ({first / seconds:.2f})"
            for seconds, first in zip(best[name], best[names[0]], strict=True)
        ]
        print(f"{name:>16}: {speeds[0]} requests/s, {speeds[1]} per second of the processor")


def main() -> None:
    """Parse the command line, build the inputs, measure."""
    parser = argparse.ArgumentParser(description="in-process backend: batching and reuse in dialogues")
    parser.add_argument("--model", type=Path, default=MLLM)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options.model, Path(folder), options.images, options.rounds, options.batch_size))


if __name__ == "__main__":
    main()
