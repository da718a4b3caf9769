"""Pictures and texts that the retriever learns from, as arrays: small pixels, their truth, token ids."""

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctgi.captions import read_captions
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.synth.person import Person, View
from ctgi.synth.witness import describe
from recipes.embedded.answers import Scene
from recipes.embedded.clip import CONFIG
from recipes.embedded.descriptions import draw_hard_claim
from recipes.embedded.fields import truth
from recipes.embedded.views import HEIGHT, WIDTH

_TOKENS = 112
"""The longest text that is learned; captions of the embedded model have up to 70 tokens."""
_WITNESSES, _SHORT = 6, 2
"""Descriptions of each picture: as witnesses tell it, and a few words as one searches."""
_ROWS = 200
"""Pictures per job."""


@dataclass(frozen=True)
class Pictures:
    """Pictures at the retriever's size."""

    pixels: NDArray[np.uint8]
    """[N, HEIGHT, WIDTH, 3]."""
    people: NDArray[np.int64]
    """[N], a number for each person."""
    fields: NDArray[np.uint8]
    """[N, fields]: the class of each field (fields.py)."""
    names: tuple[str, ...]
    """[N], the files' names."""


@dataclass(frozen=True)
class Texts:
    """Several texts about each of some pictures."""

    rows: NDArray[np.int64]
    """[M], which picture each is about."""
    ids: NDArray[np.uint16]
    """[M, K, _TOKENS], token ids of K texts."""


class _Row(NamedTuple):
    pixels: NDArray[np.uint8]
    person: int
    fields: list[int]
    name: str
    ids: NDArray[np.uint16]


def people_of(folder: Path, workers: int) -> tuple[Pictures, Texts]:
    """The training pictures of a folder of `ctgi synth`, and what more witnesses say of each."""
    lines = (folder / "attributes.jsonl").read_text().splitlines()
    jobs = [lines[start : start + _ROWS] for start in range(0, len(lines), _ROWS)]
    with ProcessPoolExecutor(workers, initializer=os.nice, initargs=(5,)) as pool:
        rows = [row for made in pool.map(partial(_people, folder), jobs) for row in made]
    pixels, people, fields, names, ids = zip(*rows, strict=True)
    pictures = Pictures(np.stack(pixels), np.array(people), np.array(fields, np.uint8), names)
    return pictures, Texts(np.arange(len(rows)), np.stack(ids))


def captions_of(file: Path, pictures: Pictures, *, first: bool = False, texts: int = 6) -> Texts:
    """Dense captions, each whole and in parts, as people tell less; or the first captions alone."""
    places = {name: place for place, name in enumerate(pictures.names)}
    found = [(places[Path(line.path).name], line) for line in read_captions(file) if Path(line.path).name in places]
    told = [[line.initial_caption] if first else parts(line.caption, texts, Random(line.path)) for _, line in found]
    return Texts(np.array([place for place, _ in found]), np.stack([_ids(one) for one in told]))


def parts(caption: str, count: int, rng: Random) -> list[str]:
    """The caption, then some of its sentences in their order, mostly with the first, count - 1 times."""
    whole = re.split(r"(?<=[.!?])\s+", caption.strip())
    drawn = [caption]
    for _ in range(count - 1):
        chosen = set(rng.sample(range(len(whole)), rng.randint(1, len(whole))))
        chosen |= {0} if rng.random() < 0.7 else set()
        drawn.append(" ".join(whole[place] for place in sorted(chosen)))
    return drawn


def _people(folder: Path, lines: Sequence[str]) -> list[_Row]:
    return [_row(folder, row) for row in map(json.loads, lines) if row["split"] == "train"]


def _row(folder: Path, row: dict[str, Any]) -> _Row:
    scene = Scene(Person(**row["person"]), View(**row["view"]), frozenset(row["visible"]))
    rng = Random(row["path"])
    told = [describe(scene.person, scene.view, scene.visible, rng) for _ in range(_WITNESSES)]
    told += [draw_hard_claim(scene, rng, true=True)[1].text for _ in range(_SHORT)]
    pixels = _small(Image.open(folder / row["path"]).convert("RGB"))
    return _Row(pixels, row["id"], truth(scene), Path(row["path"]).name, _ids(told))


def _ids(texts: Sequence[str]) -> NDArray[np.uint16]:
    tokenize = CaptionTokenizer(CONFIG["text_cfg"]["context_length"])
    return tokenize(texts, _TOKENS).numpy().astype(np.uint16)


def _small(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
