"""Makes the embedded multimodal model: pictures, a tokenizer, two lessons. Resumable at every stage.

From nothing, or as one more cycle from a finished checkpoint (`--start`), whose tokenizer stays.
"""

import argparse
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import torch
from torch import nn
from transformers import Qwen2VLProcessor

from ctgi.synth.renderers import Render
from recipes.embedded.batches import Pictures, shard_number
from recipes.embedded.dialogues import Lessons, Speaker, dialogue_step, heads_step, lessons_from, sight_step
from recipes.embedded.fit import Length, Step, fit
from recipes.embedded.lessons import corpus
from recipes.embedded.pictures import Shard, Supply, draw_scenes, read_shard
from recipes.embedded.quick import compile_layers
from recipes.embedded.qwen2vl import build_model, build_processor, load_model, save, spelled

logger = logging.getLogger(__name__)

LOOK_EVERY = 100
"""Steps of the first lesson between looks for pictures that have arrived."""


@dataclass(frozen=True)
class Plan:
    """How much to learn from: as the first cycle of the published model did.

    With minutes, a lesson ends when they are over, and the second has the pictures that were there by then.
    """

    pictures: int = 40_000
    render: Render = Render.MIXED
    heads_steps: int = 200
    """Steps in which a started model's new heads find their place, before the model itself learns."""
    sight_steps: int = 2548
    sight_minutes: float = 0.0
    sight_batch: int = 256
    sight_rate: float = 1.5e-3
    dialogue_steps: int = 2569
    dialogue_minutes: float = 0.0
    dialogue_batch: int = 128
    dialogue_rate: float = 1.2e-3
    compile_seconds: float = 45.0
    """The most to spend on compiling the layers, on a GPU; 0: not at all."""
    seed: int = 1
    workers: int = os.cpu_count() or 1
    threads: int = 2


def teach(work: Path, out: Path, plan: Plan, start: Path | None = None) -> None:
    """Write the trained checkpoint to `out`; states and logs stay in `work`, where a killed run goes on.

    Args:
        work: pictures, states and logs.
        out: the checkpoint's folder.
        plan: how much to learn from.
        start: a checkpoint to begin from instead of random weights.
    """
    torch.set_num_threads(plan.threads)
    torch.set_float32_matmul_precision("high")
    work.mkdir(parents=True, exist_ok=True)
    processor = _processor(work / "processor", start)
    supply = Supply(work / "pictures", plan.pictures, plan.seed, workers=plan.workers, render=plan.render)
    with supply, torch.device("cuda" if torch.cuda.is_available() else "cpu") as device, Reader(supply) as reader:
        speaker = Speaker(load_model(start) if start else build_model(processor, plan.seed))
        pictures = Pictures()
        if device.type == "cuda" and plan.compile_seconds:
            compile_layers(speaker.model, plan.compile_seconds)  # meanwhile the first pictures are made
        reader.take_in(pictures, wait=min(len(supply.paths) // 16, 7) + 1)
        speaker.heads.weigh(pictures.fields())

        def learn(module: nn.Module, name: str, step_from: Callable[[int], Step], length: Length, rate: float) -> None:
            fit(module, step_from, length, rate=rate, state=work / f"{name}.pt", log=work / f"{name}.jsonl")

        if start:
            step = heads_step(speaker, pictures, plan.sight_batch)
            learn(speaker.heads, "heads", lambda first: step, Length(plan.heads_steps), 2 * plan.sight_rate)
        seeing = _watching(reader, pictures, sight_step(speaker, pictures, plan.sight_batch))
        length = Length(plan.sight_steps, plan.sight_minutes or None)
        learn(speaker, "sight", lambda first: seeing, length, plan.sight_rate)
        if plan.dialogue_minutes:
            supply.stop()
        reader.take_in(pictures, wait=1 if plan.dialogue_minutes else len(supply.paths))
        shards = [path for path in supply.paths if path in supply.taken]
        lessons = Lessons(shards, processor, plan.dialogue_batch, "dialogue", grouped=device.type == "cpu")

        def talking(first: int) -> Step:
            drawn = lessons_from(lessons, first, plan.dialogue_steps, plan.workers - 1)
            return dialogue_step(speaker, drawn, pictures)

        length = Length(plan.dialogue_steps, plan.dialogue_minutes or None)
        learn(speaker, "dialogue", talking, length, plan.dialogue_rate)
        save(speaker.model, processor, out, "14MB")


class Reader:
    """Reads the shards that arrive in threads of its own, so that the training need not wait for a disk."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._pool = ThreadPoolExecutor(2)
        self._read: list[tuple[int, Future[Shard]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def take_in(self, pictures: Pictures, *, wait: int) -> None:
        """What has been read by now; with `wait`, all that arrived, at least so many shards."""
        before = len(pictures)
        while True:
            self._read += [(shard_number(path), self._pool.submit(read_shard, path)) for path in self._supply.arrived()]
            enough = len(self._supply.taken) >= wait
            ready = [one for one in self._read if one[1].done() or (wait and enough)]
            self._read = [one for one in self._read if one not in ready]
            if ready:
                pictures.extend([(number, shard.result()) for number, shard in ready])
            if enough:
                break
            time.sleep(0.2)
        if len(pictures) > before:
            logger.info("%d pictures", len(pictures))


def _watching(reader: Reader, pictures: Pictures, step: Step) -> Step:
    """The step, with a look now and then for pictures that have arrived; what it sees depends on when they came."""

    def watch(number: int, rng: Random) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if number % LOOK_EVERY == 0:
            reader.take_in(pictures, wait=0)
        return step(number, rng)

    return watch


def _processor(folder: Path, start: Path | None) -> Qwen2VLProcessor:
    """Learned once, or the started model's: another vocabulary would make the weights meaningless."""
    if not folder.exists():
        texts = corpus(draw_scenes(4000, Random(0)), Random(0))
        if start:
            processor = Qwen2VLProcessor.from_pretrained(start)
            _warn_of_unknown(processor, texts)
        else:
            processor = build_processor(texts)
        processor.save_pretrained(folder)
    return Qwen2VLProcessor.from_pretrained(folder)


def _warn_of_unknown(processor: Qwen2VLProcessor, texts: list[str]) -> None:
    """Name the words of the lessons that the tokenizer never met: it spells them, and they are learned more slowly."""
    unknown = spelled(processor, texts)
    if unknown:
        logger.warning("%d words of the lessons are not in the tokenizer: %s", len(unknown), ", ".join(unknown))


def main() -> None:
    """The command line of `make embedded`'s first stage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures, states and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished checkpoint")
    parser.add_argument("--start", type=Path, help="folder of a checkpoint to begin from; default: random weights")
    for name, value in vars(Plan()).items():
        kind: Callable[[str], object] = type(value)
        choices = list(Render) if name == "render" else None
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value, choices=choices)
    options = vars(parser.parse_args())
    teach(options.pop("work"), options.pop("out"), start=options.pop("start"), plan=Plan(**options))


if __name__ == "__main__":
    main()
