"""Time to read the annotations of CUHK-PEDES at full size, and to check 40,000 images against just reading the files.

The files are dropped from the cache of the system before each turn, so that both sides wait for the disk; --warm leaves
them there.

Example: python -m benchmarks.data --images 40000
"""

import argparse
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from ctgi.retrieval.benchmarks.annotations import AnnotationFile, read_annotations
from ctgi.retrieval.benchmarks.layouts import LAYOUTS
from ctgi.runs.data_check import check_data
from ctgi.runs.events import Logged

IMAGES, CAPTIONS, PEOPLE = 40_206, 80_440, 13_003
"""Of CUHK-PEDES."""
WORDS = (
    "man",
    "woman",
    "in",
    "black",
    "white",
    "red",
    "blue",
    "shirt",
    "pants",
    "shoes",
    "with",
    "long",
    "hair",
    "bag",
)
DIFFERENT = 200


def save_annotations(file: Path, images: int) -> None:
    """reid_raw.json with as many objects, captions and tokens as CUHK-PEDES has, or fewer."""
    rng = random.Random(0)
    objects = []
    for number in range(images):
        person = 1 + number * PEOPLE // images
        texts = [" ".join(rng.choices(WORDS, k=23)) for _ in range(3 if number < CAPTIONS - 2 * IMAGES else 2)]
        split = "train" if person <= 11_003 else "val" if person <= 12_003 else "test"
        tokens = [text.split() for text in texts]
        path = f"CUHK03/{number}.jpg"
        objects.append({"split": split, "captions": texts, "file_path": path, "processed_tokens": tokens, "id": person})
    file.write_text(json.dumps(objects))


def save_images(folder: Path, images: int) -> list[Path]:
    """JPEG files of 128 x 384 px with as much detail as photographs have; each has a content of its own."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(DIFFERENT):
        coarse = Image.fromarray(rng.integers(0, 256, (96, 32, 3), np.uint8))
        coarse.resize((128, 384), Image.Resampling.BICUBIC).save(folder / "one.jpg", quality=75)
        contents.append((folder / "one.jpg").read_bytes())
    (folder / "one.jpg").unlink()
    paths = [folder / f"{number}.jpg" for number in range(images)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % DIFFERENT] + str(number).encode())  # after the end, decoders do not look
    return paths


def forget(paths: Sequence[Path]) -> None:
    """Drop the files from the cache of the system."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def just_read(paths: Sequence[Path]) -> None:
    """What no check can leave out, one file after the other."""
    for path in paths:
        path.read_bytes()


class Taken(NamedTuple):
    """How long something took."""

    seconds: float
    cpu: float
    """Of this process and those it started: what a busy machine does not change."""


def taken(work: Callable[[], object]) -> Taken:
    """How long it takes."""
    start, before = time.perf_counter(), _cpu()
    work()
    return Taken(time.perf_counter() - start, _cpu() - before)


def _cpu() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Print the time for annotations, then both sides for images and their ratio, taken in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm", action="store_true", help="Leave the files in the cache of the system.")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        file = root / "reid_raw.json"
        save_annotations(file, IMAGES)
        read = min(taken(lambda: read_annotations([AnnotationFile(file)], LAYOUTS["cuhk"])) for _ in range(5))
        print(f"annotations of {IMAGES:,} images: {read.seconds:.2f} s, {read.cpu:.2f} s of CPU")
        save_annotations(file, arguments.images)
        paths = save_images(root / "imgs" / "CUHK03", arguments.images)
        sides = {"just read": lambda: just_read(paths), "check": lambda: check_data(root, "cuhk", Logged())}
        times: dict[str, list[Taken]] = {side: [] for side in sides}
        for _ in range(arguments.repeats):
            for side, work in sides.items():
                if not arguments.warm:
                    forget(paths)
                times[side].append(taken(work))
        best = {side: min(those) for side, those in times.items()}
        for side, one in best.items():
            print(f"{side} of {len(paths):,} images: {one.seconds:.1f} s, {one.cpu:.1f} s of CPU")
        print(f"check / just read: {best['check'].seconds / best['just read'].seconds:.2f}")


if __name__ == "__main__":
    main()
