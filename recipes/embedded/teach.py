"""Makes the embedded multimodal model from nothing: pictures, a tokenizer, two lessons. Resumable at every stage."""

import argparse
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from transformers import Qwen2VLProcessor

from ctgi.synth.renderers import Render
from recipes.embedded.batches import Pictures, shard_number
from recipes.embedded.dialogues import Lessons, Speaker, dialogue_step, lessons_from, sight_step
from recipes.embedded.fit import Length, Step, fit
from recipes.embedded.lessons import corpus
from recipes.embedded.pictures import Supply, draw_scenes, read_shard
from recipes.embedded.qwen2vl import build_model, build_processor, save

logger = logging.getLogger(__name__)

LOOK_EVERY = 100
"""Steps of the first lesson between looks for pictures that have arrived."""


@dataclass(frozen=True)
class Plan:
    """How much to learn from: as the published model did. With minutes, a lesson ends when they are over."""

    pictures: int = 40_000
    render: Render = Render.MIXED
    sight_steps: int = 2548
    sight_minutes: float = 0.0
    sight_batch: int = 256
    sight_rate: float = 1.5e-3
    dialogue_steps: int = 2569
    dialogue_minutes: float = 0.0
    dialogue_batch: int = 128
    dialogue_rate: float = 1.2e-3
    seed: int = 1
    workers: int = os.cpu_count() or 1
    threads: int = 2


def teach(work: Path, out: Path, plan: Plan) -> None:
    """Write the trained checkpoint to `out`; states and logs stay in `work`, where a killed run goes on."""
    torch.set_num_threads(plan.threads)
    torch.set_float32_matmul_precision("high")
    work.mkdir(parents=True, exist_ok=True)
    processor = _processor(work / "processor")
    supply = Supply(work / "pictures", plan.pictures, plan.seed, workers=plan.workers, render=plan.render)
    with supply, torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        speaker = Speaker(build_model(processor, plan.seed))
        pictures = Pictures()
        _take_in(pictures, supply, wait=len(supply.paths) // 16 + 1)
        speaker.heads.weigh(pictures.fields())
        fit(
            speaker,
            lambda first: _watching(supply, pictures, sight_step(speaker, pictures, plan.sight_batch)),
            Length(plan.sight_steps, plan.sight_minutes or None),
            rate=plan.sight_rate,
            state=work / "sight.pt",
            log=work / "sight.jsonl",
        )
        _take_in(pictures, supply, wait=len(supply.paths))
        lessons = Lessons(supply.paths, processor, plan.dialogue_batch, "dialogue")
        workers = plan.workers - 1
        fit(
            speaker,
            lambda first: dialogue_step(speaker, lessons_from(lessons, first, plan.dialogue_steps, workers), pictures),
            Length(plan.dialogue_steps, plan.dialogue_minutes or None),
            rate=plan.dialogue_rate,
            state=work / "dialogue.pt",
            log=work / "dialogue.jsonl",
        )
        save(speaker.model, processor, out, "14MB")


def _watching(supply: Supply, pictures: Pictures, step: Step) -> Step:
    """The step, with a look now and then for pictures that have arrived; what it sees depends on when they came."""

    def watch(number: int, rng: Random) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if number % LOOK_EVERY == 0:
            _take_in(pictures, supply, wait=0)
        return step(number, rng)

    return watch


def _take_in(pictures: Pictures, supply: Supply, *, wait: int) -> None:
    """What has arrived; at least so many shards in all."""
    before = len(pictures)
    while True:
        pictures.extend([(shard_number(path), read_shard(path)) for path in supply.arrived()])
        if supply.taken >= wait:
            break
        time.sleep(0.5)
    if len(pictures) > before:
        logger.info("%d pictures", len(pictures))


def _processor(folder: Path) -> Qwen2VLProcessor:
    """Learned once: another vocabulary would make the saved states meaningless."""
    if not folder.exists():
        build_processor(corpus(draw_scenes(4000, Random(0)), Random(0))).save_pretrained(folder)
    return Qwen2VLProcessor.from_pretrained(folder)


def main() -> None:
    """The command line of `make embedded`'s first stage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures, states and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished checkpoint")
    for name, value in vars(Plan()).items():
        kind: Callable[[str], object] = type(value)
        choices = list(Render) if name == "render" else None
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value, choices=choices)
    options = vars(parser.parse_args())
    teach(options.pop("work"), options.pop("out"), Plan(**options))


if __name__ == "__main__":
    main()
