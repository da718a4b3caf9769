"""How the embedded multimodal model learns: first to see (warmup.py), then to describe, to answer and to judge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from recipes.embedded.answers import Scene
from recipes.embedded.batches import Pictures, Size, shard_number
from recipes.embedded.fields import FIELDS
from recipes.embedded.fit import Step
from recipes.embedded.lessons import draw_branches
from recipes.embedded.packing import VERDICT, Packed, Packer
from recipes.embedded.pictures import SHARD, read_scenes
from recipes.embedded.qwen2vl import PATCH, TEXT_DEPTH, VISION_WIDTH, WIDTH
from recipes.embedded.reading import read
from recipes.embedded.sight import Sight
from recipes.embedded.variation import vary
from recipes.embedded.warmup import Heads

CLAIM_LAYER = TEXT_DEPTH - 2
"""Where each claim's truth is asked for, so that the layers above can sum up."""
SIGHT = 0.3
"""Share of the first lesson's loss that is kept up, so that the tower does not unlearn it."""
_MIRRORED = {"left": "right", "right": "left"}
_SHARDS = 12
"""From so many shards the pictures of a batch are taken."""


class Speaker(nn.Module):
    """The model with a head that judges each claim of a description at its last word; the head is thrown away later.

    One yes or no for a whole description says nothing about which word was wrong; with a judgment for every claim the
    model learns to compare in a fraction of the steps.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.heads = Heads(WIDTH, VISION_WIDTH)
        self.claim = nn.Linear(model.config.text_config.hidden_size, 1)
        self.look = Sight(model.model.visual)

    def read(self, tokens: Tensor, packed: Packed) -> tuple[Tensor, Tensor]:
        """Hidden states of the last layer and of CLAIM_LAYER, [B, L, D] each."""
        text = self.model.model.language_model
        embedded = text.embed_tokens(packed.ids)
        after = packed.image + tokens.shape[1]
        embedded = torch.cat([embedded[:, : packed.image], tokens.to(embedded.dtype), embedded[:, after:]], 1)
        states = read(text, embedded, packed)
        return states[-1], states[CLAIM_LAYER]


@dataclass(frozen=True)
class Lesson:
    """Dialogues about some pictures of one size, ready to read."""

    size: Size
    numbers: list[int]
    """The pictures, as `Pictures` numbers them."""
    mirrored: Tensor
    """[B]: which of them are shown in a mirror."""
    packed: Packed


class Lessons(Dataset[Lesson]):
    """The lesson of each step; it depends on the step's number alone, whichever process draws it."""

    def __init__(self, shards: Sequence[Path], processor: Any, size: int, name: str, *, grouped: bool = True) -> None:
        """Of `size` pictures each, from `shards`; `grouped` as the reading on a processor needs it."""
        self._shards, self._processor, self._size, self._name = list(shards), processor, size, name
        self._grouped = grouped
        self._packer: Packer | None = None

    def __getitem__(self, number: int) -> Lesson:
        """The lesson of step `number`, on the CPU."""
        with torch.device("cpu"):
            return self._lesson(Random(f"{self._name}/{number}"))

    def _lesson(self, rng: Random) -> Lesson:
        self._packer = self._packer or Packer(self._processor)
        size, drawn = self._draw(rng)
        mirrored = [rng.random() < 0.5 for _ in drawn]
        scenes = [mirror(scene) if turned else scene for (_, scene), turned in zip(drawn, mirrored, strict=True)]
        branches = [draw_branches(scene, rng.choice(scenes), rng) for scene in scenes]
        rows, columns = (side // PATCH for side in size)
        packed = self._packer.pack(branches, rows, columns, system=rng.random() < 0.9)
        packed = packed if self._grouped else replace(packed, groups=[])  # much less to hand over
        return Lesson(size, [number for number, _ in drawn], torch.tensor(mirrored), packed)

    def _draw(self, rng: Random) -> tuple[Size, list[tuple[int, Scene]]]:
        by_size: dict[Size, list[tuple[int, Scene]]] = {}
        for path in rng.sample(self._shards, min(_SHARDS, len(self._shards))):
            first = shard_number(path) * SHARD
            for place, (scene, size) in enumerate(zip(*_scenes(path), strict=True)):
                by_size.setdefault(size, []).append((first + place, scene))
        size = rng.choices(list(by_size), [len(alike) for alike in by_size.values()])[0]
        return size, rng.sample(by_size[size], min(self._size, len(by_size[size])))


@lru_cache(maxsize=512)
def _scenes(path: Path) -> tuple[list[Scene], list[Size]]:
    return read_scenes(path)


def mirror(scene: Scene) -> Scene:
    """The scene as its picture's mirror image shows it."""
    side = scene.view.side
    return replace(scene, view=replace(scene.view, side=_MIRRORED.get(side, side)))


def lessons_from(lessons: Lessons, first: int, steps: int, workers: int) -> Iterator[Lesson]:
    """The lessons of the steps from `first` on, drawn ahead by `workers` processes; 0 draws them when asked."""
    ahead = 4 if workers else None
    return iter(
        DataLoader(lessons, batch_size=None, sampler=range(first, steps), num_workers=workers, prefetch_factor=ahead)
    )


def sight_step(speaker: Speaker, pictures: Pictures, size: int) -> Step:
    """A step of the first lesson; its figures are the shares of right answers by field."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        batch = pictures.draw(size, rng)
        pixels = vary(batch.pixels, rng.getrandbits(62))
        loss, right = speaker.heads.loss(*speaker.look(pixels), batch)
        return loss, dict(zip(FIELDS, right.unbind(1), strict=True))

    return step


def heads_step(speaker: Speaker, pictures: Pictures, size: int) -> Step:
    """As `sight_step`, for the heads alone: the tower is looked through as it is."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        batch = pictures.draw(size, rng)
        with torch.no_grad():
            patches, tokens = speaker.look(vary(batch.pixels, rng.getrandbits(62)))
        loss, right = speaker.heads.loss(patches, tokens, batch)
        return loss, dict(zip(FIELDS, right.unbind(1), strict=True))

    return step


def dialogue_step(speaker: Speaker, lessons: Iterator[Lesson], pictures: Pictures) -> Step:
    """A step of the second lesson: the weighted loss of the replies' tokens, of the claims, and some of the first."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        lesson = next(lessons)
        batch = pictures.take(lesson.size, lesson.numbers, lesson.mirrored)
        packed = lesson.packed.to(batch.pixels.device)
        patches, tokens = speaker.look(vary(batch.pixels, rng.getrandbits(62)))
        of_sight, right = speaker.heads.loss(patches, tokens, batch)
        of_words, figures = _loss(speaker, packed, *speaker.read(tokens, packed))
        return of_words + SIGHT * of_sight, figures | {"fields": right}

    return step


def _loss(speaker: Speaker, packed: Packed, last: Tensor, middle: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    logits = speaker.model.lm_head(last.flatten(0, 1).index_select(0, packed.before)).float()
    wanted, weights = packed.wanted, packed.weights
    each = F.cross_entropy(logits, wanted, reduction="none")
    judged = speaker.claim(middle.flatten(0, 1).index_select(0, packed.judged)).float().squeeze(-1)
    of_claims = F.binary_cross_entropy_with_logits(judged, packed.true, packed.counts)
    right, verdict = (logits.argmax(-1) == wanted).float(), weights == VERDICT
    words = (~verdict & (weights > 0.4)).float()
    figures = {
        "words": (right * words).sum() / words.sum(),
        "verdicts": (right * verdict).sum() / verdict.sum(),
        "claims": ((judged > 0) == (packed.true > 0.5)).float(),
    }
    return (each * weights).sum() / weights.sum() + 0.5 * of_claims, figures
