"""Training pictures, drawn once and kept as shards: pixels as the model takes them, with the truth of each."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from ctgi.synth.person import Person, View, draw_person, draw_views
from recipes.embedded.answers import Scene
from recipes.embedded.qwen2vl import CELL, CELLS, PATCH

SHARD = 1000
"""Pictures per shard, where so many are wanted."""
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
    size = min(SHARD, count)
    names = [f"{seed}-{size}x{number:04}" for number in range(-(-count // size))]
    missing = [name for name in names if not (folder / f"{name}.npz").exists()]
    if missing:
        # Processes started afresh: drawing must not inherit the threads of torch.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(partial(_draw_shard, folder, size), missing))
    samples = [sample for name in names for sample in _read_shard(folder / f"{name}.npz")]
    return samples[:count]


def _draw_shard(folder: Path, size: int, name: str) -> None:
    """Two views each of people who are all different; the name is the seed."""
    from ctgi.synth.picture import draw_look, render

    rng = Random(name)
    pixels: list[Any] = []
    parts: list[Any] = []
    truths: list[Any] = []
    while len(truths) < size:
        person = draw_person(rng)
        look = draw_look(person, rng)
        for view in draw_views(person, rng, 2):
            picture = render(person, look, view, rng)
            fitted = fit(picture.image)
            pixels.append(np.asarray(fitted))
            parts.append(cover(picture.parts, fitted.height, fitted.width))
            truths.append({"person": asdict(person), "view": asdict(view), "visible": sorted(picture.visible)})
    _write_shard(folder / f"{name}.npz", pixels[:size], parts[:size], truths[:size])


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
