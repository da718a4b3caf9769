"""Training pictures: drawn and rendered once, ahead and in parallel, and kept as shards of arrays with their truth."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from ctgi.synth.person import Person, View, draw_person, draw_views
from ctgi.synth.renderers import SHARE_3D, Render
from recipes.embedded.answers import Scene
from recipes.embedded.fields import truth
from recipes.embedded.qwen2vl import CELL, CELLS, PATCH

SHARD = 250
"""Pictures per shard, where so many are wanted."""
PARTS = 16


@dataclass(frozen=True)
class Shard:
    """Pictures of one file, by their size."""

    pixels: dict[tuple[int, int], NDArray[np.uint8]]
    """(H, W), multiples of CELL -> [N, H, W, 3]."""
    parts: dict[tuple[int, int], NDArray[np.uint8]]
    """(H, W) -> [N, H / PATCH, W / PATCH, PARTS]: share of each patch that a part covers, 255 for all of it."""
    fields: dict[tuple[int, int], NDArray[np.uint8]]
    """(H, W) -> [N, fields]: the class of each field (fields.py)."""
    places: dict[tuple[int, int], NDArray[np.int64]]
    """(H, W) -> [N]: which picture of the shard each is."""


class Supply:
    """The shards of one seed: what is missing is made in the background, by processes of their own.

    Use as a context manager; leaving it waits for nothing and cancels what has not begun.
    """

    def __init__(self, folder: Path, count: int, seed: int, *, workers: int, render: Render = Render.DRAWN) -> None:
        """`count` pictures in `folder`, rounded up to whole shards."""
        folder.mkdir(parents=True, exist_ok=True)
        size = min(SHARD, count)
        names = [f"{seed}-{render}-{size}x{number:04}" for number in range(-(-count // size))]
        self.paths = [folder / f"{name}.npz" for name in names]
        self._workers, self._render, self._make = workers, render, partial(_make_shard, size, render)
        self._pool: ProcessPoolExecutor | None = None
        self._made: list[Future[None]] = []
        self._taken: set[Path] = set()

    def __enter__(self) -> Self:
        missing = [path for path in self.paths if not path.exists()]
        if missing:
            if self._render is not Render.DRAWN:
                from ctgi.synth.people3d.bodies import load_bodies

                load_bodies()  # once, before every process would make them; says what is missing
            # Processes started afresh: drawing must not inherit the threads of torch.
            # They yield to the training, which waits for a processor more often than it uses one.
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=get_context("spawn"), initializer=os.nice, initargs=(5,)
            )
            self._made = [self._pool.submit(self._make, path) for path in missing]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """What has not begun is not made."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def arrived(self) -> list[Path]:
        """Shards that are there and were not given before; raises what went wrong where one could not be made."""
        for made in self._made:
            if made.done() and not made.cancelled():
                made.result()
        fresh = [path for path in self.paths if path not in self._taken and path.exists()]
        self._taken.update(fresh)
        return fresh

    @property
    def taken(self) -> frozenset[Path]:
        """The shards that were given."""
        return frozenset(self._taken)


def read_shard(path: Path) -> Shard:
    """The pictures of a shard, those of one size in one array."""
    with np.load(path) as shard:
        shapes, pixels, parts, fields = (shard[name] for name in ("shapes", "pixels", "parts", "fields"))
    counts = shapes.prod(1)
    starts = np.concatenate([[0], np.cumsum(counts * 3)]).tolist()
    patches = counts // PATCH**2 * PARTS
    part_starts = np.concatenate([[0], np.cumsum(patches)]).tolist()
    by_size: dict[tuple[int, int], list[int]] = {}
    for place, (height, width) in enumerate(shapes.tolist()):
        by_size.setdefault((height, width), []).append(place)

    def gather(flat: NDArray[np.uint8], begins: list[int], places: list[int], *shape: int) -> NDArray[np.uint8]:
        return np.stack([flat[begins[place] : begins[place + 1]].reshape(shape) for place in places])

    return Shard(
        {size: gather(pixels, starts, places, *size, 3) for size, places in by_size.items()},
        {
            (height, width): gather(parts, part_starts, places, height // PATCH, width // PATCH, PARTS)
            for (height, width), places in by_size.items()
        },
        {size: fields[places] for size, places in by_size.items()},
        {size: np.array(places) for size, places in by_size.items()},
    )


def read_scenes(path: Path) -> tuple[list[Scene], list[tuple[int, int]]]:
    """The truth of each picture of a shard, and its size (H, W)."""
    with np.load(path) as shard:
        truths, shapes = json.loads(shard["truths"].tobytes()), shard["shapes"].tolist()
    scenes = [Scene(Person(**one["person"]), View(**one["view"]), frozenset(one["visible"])) for one in truths]
    return scenes, [(height, width) for height, width in shapes]


def draw_scenes(count: int, rng: Random) -> list[Scene]:
    """Scenes without pictures, all of them seen in full: for the words of the tokenizer."""
    everything = frozenset(
        ("upper", "pattern", "inner", "lower", "shoes", "socks", "bag", "hat", "glasses", "held", "scarf", "belt",
         "hair", "face")
    )  # fmt: skip
    people = [draw_person(rng) for _ in range(count)]
    return [Scene(person, draw_views(person, rng, 1)[0], everything) for person in people]


def _make_shard(size: int, render: Render, path: Path) -> None:
    """Two views each of people who are all different; the file's name is the seed."""
    rng = Random(path.stem)
    made = [one for _, one in zip(range(size), _pictures(render, rng), strict=False)]
    pixels = [np.asarray(fit(picture.image)) for _, picture in made]
    scenes = [scene for scene, _ in made]
    parts = [cover(picture.parts, *shown.shape[:2]) for (_, picture), shown in zip(made, pixels, strict=True)]
    _write_shard(path, pixels, parts, scenes)


def _pictures(render: Render, rng: Random) -> Iterator[tuple[Scene, Any]]:
    from ctgi.synth.look import draw_look
    from ctgi.synth.picture import render as draw

    while True:
        person = draw_person(rng)
        look = draw_look(person, rng)
        solid = render is Render.IN_3D or (render is Render.MIXED and rng.random() < SHARE_3D)
        for view in draw_views(person, rng, 2):
            picture = _render3d(person, look, view, rng) if solid else None
            picture = picture or draw(person, look, view, rng)
            yield Scene(person, view, frozenset(picture.visible)), picture


def _render3d(person: Person, look: Any, view: View, rng: Random) -> Any:
    """None where the renderer has no such thing, like a bicycle."""
    from ctgi.synth.people3d.picture import can_render, render3d

    return render3d(person, look, view, rng) if can_render(view) else None


def _write_shard(
    path: Path, pixels: Sequence[NDArray[np.uint8]], parts: Sequence[NDArray[np.uint8]], scenes: Sequence[Scene]
) -> None:
    truths = [
        {"person": asdict(scene.person), "view": asdict(scene.view), "visible": sorted(scene.visible)}
        for scene in scenes
    ]
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        partial,
        shapes=np.array([picture.shape[:2] for picture in pixels]),
        pixels=np.concatenate([picture.ravel() for picture in pixels]),
        parts=np.concatenate([part.ravel() for part in parts]),
        fields=np.array([truth(scene) for scene in scenes], np.uint8),
        truths=np.frombuffer(json.dumps(truths).encode(), np.uint8),
    )
    partial.rename(path)


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
