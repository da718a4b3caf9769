"""Makes the embedded multimodal model from nothing: pictures, a tokenizer, two lessons. Resumable at every stage."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from transformers import Qwen2VLProcessor

from recipes.embedded.batches import Batches
from recipes.embedded.dialogues import Speaker, dialogue_step, sight_step
from recipes.embedded.fit import fit
from recipes.embedded.lessons import corpus
from recipes.embedded.packing import Packer
from recipes.embedded.pictures import Sample, load_samples
from recipes.embedded.qwen2vl import build_model, build_processor, save


@dataclass(frozen=True)
class Plan:
    """How much to learn from; docs/embedded.md says where the run of the published model differed."""

    pictures: int = 36_000
    sight_steps: int = 4500
    sight_batch: int = 32
    dialogue_steps: int = 3000
    dialogue_batch: int = 24
    rate: float = 1e-3
    seed: int = 1
    threads: int = 2


def teach(work: Path, out: Path, plan: Plan) -> None:
    """Write the trained checkpoint to `out`; states and logs stay in `work`, where a killed run goes on."""
    torch.set_num_threads(plan.threads)
    samples = load_samples(work / "pictures", plan.pictures, plan.seed, plan.threads)
    processor = _processor(work / "processor", samples)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        speaker = Speaker(build_model(processor, plan.seed))
        batches = Batches(samples)
        fit(
            speaker,
            sight_step(speaker, batches, plan.sight_batch),
            steps=plan.sight_steps,
            rate=plan.rate,
            state=work / "sight.pt",
            log=work / "sight.jsonl",
        )
        fit(
            speaker,
            dialogue_step(speaker, Packer(processor, speaker.model), batches, plan.dialogue_batch),
            steps=plan.dialogue_steps,
            rate=plan.rate,
            state=work / "dialogue.pt",
            log=work / "dialogue.jsonl",
        )
        save(speaker.model, processor, out, "14MB")


def _processor(folder: Path, samples: Sequence[Sample]) -> Qwen2VLProcessor:
    """Learned once: another vocabulary would make the saved states meaningless."""
    if not folder.exists():
        build_processor(corpus([sample.scene for sample in samples[:4000]], Random(0))).save_pretrained(folder)
    return Qwen2VLProcessor.from_pretrained(folder)


def main() -> None:
    """The command line of `make embedded`'s first stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures, states and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished checkpoint")
    for name, value in vars(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    teach(options.pop("work"), options.pop("out"), Plan(**options))


if __name__ == "__main__":
    main()
