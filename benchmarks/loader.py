"""Images/s of the training loader against decoding and resizing alone, in the same number of processes.

Example: python -m benchmarks.loader --workers 2
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.retrieval.images import read_image
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.training.augment import Augment
from ctgi.training.loader import train_loader

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CAPTION = "A woman with long black hair wears a red coat over blue jeans and carries a white bag on her left shoulder. "


def save_photographs(root: Path, count: int, size: tuple[int, int]) -> Split:
    """JPEG files with as much detail as photographs have, in the RSTPReid layout; the training split."""
    (root / "imgs").mkdir()
    rng = np.random.default_rng(0)
    objects = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3), np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(root / "imgs" / f"{number}.jpg", quality=90)
        objects.append({"split": "train", "img_path": f"{number}.jpg", "id": number, "captions": [CAPTION]})
    (root / "data_captions.json").write_text(json.dumps(objects))
    return load_dataset("rstp", root).split("train")


def decode(path: str) -> None:
    """What no loader can leave out: read, decode, resize."""
    read_image(path).resize((128, 384), Image.Resampling.BILINEAR)


def decode_all(paths: Sequence[str], workers: int) -> Callable[[], None]:
    """Decoding alone, in `workers` processes."""
    if not workers:
        return lambda: [decode(path) for path in paths] and None
    pool = Pool(workers)
    return lambda: [None for _ in pool.imap_unordered(decode, paths, chunksize=16)] and None


def main() -> None:
    """Print both sides and their ratio, taken in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 384), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--augment", choices=get_args(Augment), default="irra")
    parser.add_argument("--context", type=int, default=77)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        split = save_photographs(Path(folder), arguments.images, tuple(arguments.size))
        loader = train_loader(
            split,
            CaptionTokenizer(arguments.context),
            (384, 128),
            MEAN,
            STD,
            batch_size=arguments.batch,
            workers=arguments.workers,
            augment=arguments.augment,
        )
        sides = {"decode only": decode_all(split.images, arguments.workers), "loader": lambda: sum(1 for _ in loader)}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.repeats + 1):
            for name, side in sides.items():
                started = time.perf_counter()
                side()
                rates[name].append(len(split.images) / (time.perf_counter() - started))
    alone, ours = (statistics.median(rates[name][1:]) for name in sides)  # the first round starts processes
    print(f"{arguments.images} JPEG of {arguments.size[0]} x {arguments.size[1]} px, {arguments.workers} workers")
    print(f"decode only {alone:.0f} images/s, loader {ours:.0f} images/s: {ours / alone:.2f}")


if __name__ == "__main__":
    main()
