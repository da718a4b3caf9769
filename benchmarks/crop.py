"""Speed of `ctgi crop` against PyAV and the bare detector, and what the detector of the package finds.

    python -m benchmarks.crop                                   # speed, on a drawn video
    ctgi synth rendered --identities 12 --scenes 40 --seed 5
    python -m benchmarks.crop --recall rendered                 # people found, in 3D and drawn

Speed: both sides decode every frame and detect the same ones; the bare side does nothing else. Recall: of people of
64 px and more of whom half is visible, those with a box of intersection over union 0.5; a box of nobody is false.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from PIL import Image

from benchmarks.machine import describe_machine
from ctgi.config import load_settings
from ctgi.embedded import PEOPLE
from ctgi.footage.keeping import CropOptions
from ctgi.retrieval.images import read_image
from ctgi.retrieval.video import Video
from ctgi.runs.crop import crop_people
from ctgi.runs.events import Logged
from ctgi.tools.detectors.shipped import ShippedDetector
from ctgi.tools.types import Box
from tests.support.footage import Walker, draw_moment, draw_place, draw_sprite, film, write_video

_SIZE = (1280, 720)
_LEAST_PX, _LEAST_VISIBLE, _LEAST_OVERLAP = 64, 0.5, 0.5
Person = tuple[Box, bool]
"""Where a person is, and whether a detector should find them."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recall", type=Path, metavar="FOLDER", help="a folder of ctgi synth --scenes")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of the video")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(describe_machine())
    if given.recall:
        _tell_recall("rendered in 3D", _rendered(given.recall))
        _tell_recall("drawn", _drawn(60))
    else:
        _tell_speed(given.seconds, given.rounds)


def _tell_speed(seconds: float, rounds: int) -> None:
    walkers = [
        Walker(draw_sprite(seed), 300 + 20 * seed, 1280 * (seed % 2) - 80, 640, speed=160 * (-1) ** seed, begin=seed)
        for seed in range(6)
    ]
    with tempfile.TemporaryDirectory() as folder:
        video = write_video(Path(folder) / "lobby.mp4", film(walkers, seconds, rate=25, size=_SIZE), rate=25)
        detector = ShippedDetector(PEOPLE, "cpu")
        detector.network()
        bare, whole = [], []
        for number in range(rounds):
            bare.append(_timed(lambda: _bare(video, detector)))
            whole.append(_timed(lambda number=number: _crop(video, Path(folder) / f"people{number}")))
    ratio = statistics.median(one / other for one, other in zip(bare, whole, strict=True))
    print(f"{seconds:.0f} s of {_SIZE[0]} x {_SIZE[1]} px at 25 frames/s, a look every 0.25 s, {rounds} rounds, median")
    print(f"PyAV and the bare detector {statistics.median(bare):.2f} s, ctgi crop {statistics.median(whole):.2f} s")
    print(f"speed against the bare side {ratio:.2f} (aim: at least 0.9)")


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bare(path: Path, detector: ShippedDetector) -> None:
    for frame in Video(str(path)).frames(CropOptions().every_s):
        detector.detect(frame.picture())


def _crop(path: Path, out: Path) -> None:
    settings = load_settings(cache={"enabled": False})
    asyncio.run(crop_people([str(path)], out, settings, Logged(), trace=False))


def _rendered(folder: Path) -> Iterator[tuple[Image.Image, list[Person]]]:
    for line in (folder / "boxes.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        people = [
            (tuple(one["box"]), _area(one["box"]) >= _LEAST_VISIBLE * _area(one["whole_box"])) for one in row["people"]
        ]
        yield read_image(str(folder / row["path"])), [(box, seen and _tall(box)) for box, seen in people]


def _drawn(count: int) -> Iterator[tuple[Image.Image, list[Person]]]:
    sprites = [draw_sprite(1000 + seed) for seed in range(24)]
    for number in range(count):
        rng = Random(number)
        walkers = [
            Walker(rng.choice(sprites), rng.randint(90, 260), 150.0 * place + rng.randint(0, 60), rng.randint(300, 350))
            for place in range(rng.randint(1, 4))
        ]
        picture = draw_moment(draw_place(seed=number), walkers)
        yield picture, [(walker.box(0), True) for walker in walkers]


def _tell_recall(what: str, pictures: Iterable[tuple[Image.Image, list[Person]]]) -> None:
    detector = ShippedDetector(PEOPLE, "cpu")
    found = wanted = false = count = 0
    for picture, people in pictures:
        boxes = [one.box for one in detector.detect(picture) if (one.score or 0) >= CropOptions().min_score]
        taken: set[int] = set()
        for box, counts in people:
            overlaps = [(_overlap(box, other), n) for n, other in enumerate(boxes) if n not in taken]
            overlap, near = max(overlaps, default=(0.0, -1))
            if overlap >= _LEAST_OVERLAP:
                taken.add(near)
                found += counts
            wanted += counts
        false += len(boxes) - len(taken)
        count += 1
    print(f"{what}: {found} of {wanted} people found ({found / wanted:.1%}), {false} false boxes in {count} pictures")


def _tall(box: Box) -> bool:
    return box[3] - box[1] >= _LEAST_PX


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(one) + _area(other) - shared)


if __name__ == "__main__":
    main()
