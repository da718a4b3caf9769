"""Train the tiny Qwen2-VL on drawn people, in the words of agents/prompts, and measure it on others. Test support.

python tests/servers/train_tiny.py --out tests/assets/tiny_qwen2vl      (a quarter of an hour on an idle core)
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from figures import NOT_VISIBLE, Figure, answer, caption, claim, draw, random_figure
from tiny_qwen2vl import CELLS, IMAGE, VOCABULARY, build_model, build_processor, save
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

from ctgi.agents.pool import load_pool
from ctgi.agents.prompts import prompt

VISIBLE = ("upper_color", "lower_type", "lower_color", "carried_objects", "bag", "bag_color", "hand_held", "upper_type")
CAPTION_WORDINGS = ("Describe the person in the image.", "Describe this person.", "What does this person look like?")
THREADS = 1
POOL = 2500
"""Training images."""
HELD_OUT = 100

Turn = tuple[str, str]
"""(prompt, reply)."""
Lesson = Callable[[Figure, "Wording", Random], list[Turn]]


@dataclass(frozen=True)
class Wording:
    """The texts that ctgi sends."""

    system: str
    caption: str
    answer: str
    verify: str
    questions: dict[str, str]
    """By attribute."""

    @classmethod
    def load(cls) -> "Wording":
        prompts = (prompt(name) for name in ("system", "caption", "answer", "verify"))
        return cls(*prompts, {question.attribute: question.question for question in load_pool(None).questions})

    def asked(self, attribute: str) -> str:
        return self.answer.format(question=self.questions[attribute])

    def corpus(self, rng: Random) -> Iterator[str]:
        yield from (self.system, self.caption, self.answer, self.verify, *self.questions.values(), *CAPTION_WORDINGS)
        yield from ("system", "user", "assistant", "yes", "no")
        for _ in range(300):
            figure = random_figure(rng)
            yield from (caption(figure), claim(figure, rng)[0], *(answer(figure, name) for name in VISIBLE))


def describing(figure: Figure, wording: Wording, rng: Random) -> list[Turn]:
    """The shortest dialogue that names both colors: the image part learns colors from it in 300 steps."""
    return [(CAPTION_WORDINGS[0], caption(figure))]


def asking(figure: Figure, wording: Wording, rng: Random) -> list[Turn]:
    """Three of the questions that differ in few words: what the model must learn to listen for."""
    attributes = rng.sample(("upper_color", "lower_color", "lower_type", "carried_objects"), 3)
    return [(wording.asked(attribute), answer(figure, attribute)) for attribute in attributes]


def claiming(figure: Figure, wording: Wording, rng: Random) -> list[Turn]:
    """Claims about one attribute each, true or not."""
    claims = [claim(figure, rng, simple=True) for _ in range(4)]
    return [(wording.verify.format(description=text), truth) for text, truth in claims]


def conversing(figure: Figure, wording: Wording, rng: Random) -> list[Turn]:
    """A dialogue as ctgi holds it: a caption and questions, or questions alone; or verdicts, several for practice."""
    if rng.random() < 0.35:
        claims = [claim(figure, rng) for _ in range(rng.randint(1, 4))]
        return [(wording.verify.format(description=text), truth) for text, truth in claims]
    turns = []
    if rng.random() < 0.5:
        first = wording.caption if rng.random() < 0.7 else rng.choice(CAPTION_WORDINGS)
        turns.append((first, caption(figure)))
    for _ in range(rng.randint(0 if turns else 1, 5)):
        attribute = rng.choice(VISIBLE if rng.random() < 0.75 else tuple(wording.questions))
        asked = wording.questions[attribute] if rng.random() < 0.15 else wording.asked(attribute)
        turns.append((asked, answer(figure, attribute)))
    return turns


def messages(turns: list[Turn], system: str) -> list[dict[str, Any]]:
    """Chat messages as ctgi sends them: the image before the first prompt."""
    said: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for index, (asked, reply) in enumerate(turns):
        image = [] if index else [{"type": "image"}]
        said.append({"role": "user", "content": [*image, {"type": "text", "text": asked}]})
        said.append({"role": "assistant", "content": reply})
    return said


@dataclass(frozen=True)
class Seen:
    """A figure and its image as the model takes it."""

    figure: Figure
    pixels: torch.Tensor
    """[patches, 1176] float16."""
    grid: torch.Tensor
    """[1, 3]: frames, rows and columns of patches."""


def draw_pool(processor: Qwen2VLProcessor, rng: Random, size: int) -> list[Seen]:
    pool = []
    for _ in range(size):
        figure = random_figure(rng)
        image = draw(figure, rng, height=rng.randrange(200, 500))
        taken = processor.image_processor(image, return_tensors="pt")
        pool.append(Seen(figure, taken["pixel_values"].half(), taken["image_grid_thw"]))
    return pool


def encode(processor: Qwen2VLProcessor, said: list[dict[str, Any]], seen: Seen) -> tuple[list[int], list[int]]:
    """Token ids and labels; only the replies are labels, everything else is -100."""
    text = processor.tokenizer.apply_chat_template(said, tokenize=False)
    text = text.replace(IMAGE, IMAGE * (int(seen.grid.prod()) // 4))
    ids: list[int] = []
    labels: list[int] = []
    for index, part in enumerate(re.split(r"(?<=<\|im_start\|>assistant\n)(.*?<\|im_end\|>)", text)):
        tokens = processor.tokenizer(part)["input_ids"]
        ids += tokens
        labels += tokens if index % 2 else [-100] * len(tokens)
    return ids, labels


def collate(processor: Qwen2VLProcessor, batch: list[tuple[list[dict[str, Any]], Seen]]) -> dict[str, torch.Tensor]:
    coded = [encode(processor, said, seen) for said, seen in batch]
    longest = max(len(ids) for ids, _ in coded)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in coded])  # [B, L]
    labels = torch.tensor([row + [-100] * (longest - len(row)) for _, row in coded])  # [B, L]
    lengths = torch.tensor([len(row) for row, _ in coded])
    return {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        "pixel_values": torch.cat([seen.pixels for _, seen in batch]).float(),
        "image_grid_thw": torch.cat([seen.grid for _, seen in batch]),
        "mm_token_type_ids": (ids == processor.tokenizer.convert_tokens_to_ids(IMAGE)).long(),
    }


def choose_lesson(progress: float, rng: Random) -> Lesson:
    """Simple lessons first: mixed from the start, the colors are not learned in ten times as long."""
    if progress < 0.12:
        return describing
    if progress < 0.3:
        return rng.choice((describing, asking, asking))
    if progress < 0.7:
        return rng.choice((asking, asking, claiming, claiming, claiming))
    return rng.choice((conversing, conversing, claiming))


def train(
    model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, wording: Wording, rng: Random, steps: int
) -> None:
    """AdamW with one learning-rate cycle, over lessons of growing length."""
    pool = draw_pool(processor, rng, POOL)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    model.train()
    began = time.monotonic()
    for step in range(steps):
        lesson = choose_lesson(step / steps, rng)
        batch = []
        for seen in rng.sample(pool, 12 if lesson is conversing else 32):
            system = wording.system if lesson is conversing and rng.random() < 0.7 else ""
            batch.append((messages(lesson(seen.figure, wording, rng), system), seen))
        loss = model(**collate(processor, batch)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"{step=} {lesson.__name__} loss={loss.item():.3f} {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    model.eval()


def reply(
    model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, said: list[dict[str, Any]], image: Any
) -> str:
    text = processor.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=[image], return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    return str(processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


def measure(
    model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, wording: Wording, rng: Random
) -> dict[str, float]:
    """Share of exactly right replies on new figures, each question in ctgi's words after a true caption, and alone."""
    right: dict[str, list[bool]] = {}
    for _ in range(HELD_OUT):
        figure = random_figure(rng)
        image = draw(figure, rng)
        text, truth = claim(figure, rng)
        told = (wording.caption, caption(figure))
        turns = {"caption": [told], "verify": [(wording.verify.format(description=text), truth)]}
        for name in ("upper_color", "lower_type", "lower_color", "carried_objects", "hair"):
            asked = (wording.asked(name), answer(figure, name))
            turns |= {f"{name} alone": [asked], f"{name} after the caption": [told, asked]}
        for name, dialogue in turns.items():
            said = messages(dialogue, wording.system)[:-1]
            right.setdefault(name, []).append(reply(model, processor, said, image) == dialogue[-1][1])
    return {name: sum(marks) / len(marks) for name, marks in right.items()}


def describe_asset(accuracy: dict[str, float], steps: int, seconds: float) -> str:
    rows = "\n".join(f"| {name} | {100 * share:.0f} |" for name, share in accuracy.items())
    return f"""# A tiny Qwen2-VL for tests

Made by `python tests/servers/train_tiny.py --out tests/assets/tiny_qwen2vl` ({steps} steps, {seconds / 60:.0f} minutes
on {THREADS} CPU thread). It was trained on the drawn people of `tests/servers/figures.py`, with the prompts of
`agents/prompts` and the questions of `agents/question_pool.yaml`; after a change of these, make it again. It knows
nothing about photographs: asked about one, it names some color. What the drawings cannot show it answers with
"{NOT_VISIBLE}".

Exactly right replies on {HELD_OUT} figures it was not trained on, in per cent ("verify" by guessing: 50):

| asked | right |
|---|---|
{rows}
"""


def main() -> None:
    """Train, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2400)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    began, rng, wording = time.monotonic(), Random(0), Wording.load()
    processor = build_processor(wording.corpus(rng), VOCABULARY, CELLS)
    model = build_model(processor)
    train(model, processor, wording, rng, options.steps)
    seconds = time.monotonic() - began
    accuracy = measure(model, processor, wording, Random(1))
    print(json.dumps(accuracy, indent=2))  # noqa: T201
    save(model, processor, options.out)
    (options.out / "README.md").write_text(describe_asset(accuracy, options.steps, seconds))


if __name__ == "__main__":
    main()
