"""Training pictures, drawn once and kept as shards: pixels as the model takes them, with the truth of each."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from ctgi.training.embedded.answers import Scene
from ctgi.training.embedded.qwen2vl import CELL, CELLS, PATCH
from ctgi.training.synth.person import Person, View, draw_person, draw_views

SHARD = 1000
"""Pictures per shard."""
PARTS = 16


@dataclass(frozen=True)
class Sample:
    """One picture and its truth."""

    pixels: NDArray[np.uint8]
    """[H, W, 3], H and W multiples of CELL."""
    parts: NDArray[np.uint8]
    """[H / PATCH, W / PATCH, PARTS]: share of each patch that a part covers, 255 for all of it."""
    scene: Scene


def load_samples(folder: Path, count: int, seed: int, workers: int) -> list[Sample]:
    """The first `count` pictures of a seed; what is missing in the folder is drawn first, by `workers` processes."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range((count + SHARD - 1) // SHARD)
    missing = [number for number in numbers if not _path(folder, seed, number).exists()]
    if missing:
        # Processes started afresh: drawing must not inherit the threads of torch.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_draw_shard, [folder] * len(missing), [seed] * len(missing), missing))
    samples = [sample for number in numbers for sample in _read_shard(_path(folder, seed, number))]
    return samples[:count]


def _path(folder: Path, seed: int, number: int) -> Path:
    return folder / f"{seed}-{number:04d}.npz"


def _draw_shard(folder: Path, seed: int, number: int) -> None:
    """Pictures of people who are all different: two views of each."""
    from ctgi.training.synth.picture import draw_look, render

    rng = Random(f"{seed}/{number}")
    pixels: list[Any] = []
    parts: list[Any] = []
    truths: list[Any] = []
    while len(truths) < SHARD:
        person = draw_person(rng)
        look = draw_look(person, rng)
        for view in draw_views(person, rng, 2):
            picture = render(person, look, view, rng)
            fitted = fit(picture.image)
            pixels.append(np.asarray(fitted))
            parts.append(cover(picture.parts, fitted.height, fitted.width))
            truths.append({"person": asdict(person), "view": asdict(view), "visible": sorted(picture.visible)})
    _write_shard(_path(folder, seed, number), pixels, parts, truths)


def _write_shard(path: Path, pixels: Sequence[Any], parts: Sequence[Any], truths: Sequence[Any]) -> None:
    shapes = np.array([picture.shape[:2] for picture in pixels])
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        partial,
        shapes=shapes,
        pixels=np.concatenate([picture.ravel() for picture in pixels]),
        parts=np.concatenate([part.ravel() for part in parts]),
        truths=np.frombuffer(json.dumps(truths).encode(), np.uint8),
    )
    partial.rename(path)


def _read_shard(path: Path) -> Iterator[Sample]:
    with np.load(path) as shard:
        shapes, pixels, parts = shard["shapes"], shard["pixels"], shard["parts"]
        truths = json.loads(shard["truths"].tobytes())
    at = at_parts = 0
    for (height, width), truth in zip(shapes.tolist(), truths, strict=True):
        rows, columns = height // PATCH, width // PATCH
        size, size_parts = height * width * 3, rows * columns * PARTS
        yield Sample(
            pixels[at : at + size].reshape(height, width, 3),
            parts[at_parts : at_parts + size_parts].reshape(rows, columns, PARTS),
            Scene(Person(**truth["person"]), View(**truth["view"]), frozenset(truth["visible"])),
        )
        at, at_parts = at + size, at_parts + size_parts


def fit(image: Image.Image) -> Image.Image:
    """The image at the size that the model's image processor gives it."""
    low, high = (cells * CELL**2 for cells in CELLS)
    height, width = smart_resize(image.height, image.width, CELL, low, high)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def cover(parts: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """[H, W] labels -> [height / PATCH, width / PATCH, PARTS] shares of 255."""
    labels = np.asarray(Image.fromarray(parts).resize((width, height), Image.Resampling.NEAREST))
    rows, columns = height // PATCH, width // PATCH
    cells = labels.reshape(rows, PATCH, columns, PATCH).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    counts = np.stack([(cells == part).sum(1) for part in range(PARTS)], 1)
    return (counts * 255 // PATCH**2).astype(np.uint8).reshape(rows, columns, PARTS)
