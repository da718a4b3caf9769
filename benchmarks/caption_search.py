"""What searching the captions adds to searching the images: R@1 and mAP with and without.

    ctgi synth people --identities 121 --val 40 --test 80 --seed 86028121
    ctgi caption people/imgs --out captions.jsonl
    python -m benchmarks.caption_search people captions.jsonl [--bind search_gallery=...]

Queries are the witnesses' descriptions. The weight with the best mAP for the people of the validation split is measured
on those of the test split, with the paired difference to images alone and its interval over people.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from ctgi.config import Settings, load_settings
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, caption_vectors, with_captions
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.evaluate import EncodedSplit
from ctgi.retrieval.metrics import QueryMetrics, measure_features
from ctgi.retrieval.resampling import compare
from ctgi.runs.captioned import CaptionsOnDisk
from ctgi.runs.evaluate import DataSpec, encode
from ctgi.runs.evaluation import as_row
from ctgi.runs.events import Logged

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class People:
    """The images of a split and their captions, as vectors."""

    encoded: EncodedSplit
    captions: NDArray[np.float32]

    def measure(self, weight: float) -> QueryMetrics:
        """Text-to-image metrics of each description."""
        split, images = self.encoded.split, self.encoded.image_features
        rows = with_captions(images, np.arange(len(images)), self.captions, weight)
        return measure_features(self.encoded.text_features, rows, split.caption_pids, split.image_pids)


def read_people(root: Path, split: str, captions: Path, encoder: Encoder, settings: Settings) -> People:
    """The people of a split; every image has a caption."""
    chosen, _ = DataSpec("rstp", root, split).load(Logged())
    encoded, stored = encode(chosen, encoder, settings, root / ".features", Logged()), CaptionsOnDisk(captions)
    return People(encoded, caption_vectors([stored[image.sha256].caption for image in encoded.images], encoder))


def print_rows(found: dict[float, QueryMetrics], best: float) -> None:
    """A line for each weight."""
    for weight, metrics in found.items():
        told = "  ".join(f"{column} {value:.2f}" for column, value in as_row(metrics.mean()).items())
        marks = ["chosen on validation"] * (weight == best) + ["ships"] * (weight == CAPTION_WEIGHT)
        print(f"weight {weight}  {told}" + (f"  <- {', '.join(marks)}" if marks else ""))


def print_gain(name: str, without: QueryMetrics, with_them: QueryMetrics, people: Sequence[int]) -> None:
    """The paired difference to images alone."""
    told = compare(without.by_name(), with_them.by_name(), [people[row] for row in without.rows])
    won, lost = (int((sign * (with_them.hits[1] - without.hits[1]) > 0).sum()) for sign in (1, -1))
    print(f"{name}, against images alone: first in {won} queries more, {lost} fewer")
    for metric, one in told.items():
        low, high = one.interval or (0.0, 0.0)
        print(f"    {metric:5} {one.gain:+.2f} (95 %: {low:+.2f} to {high:+.2f}), p {one.p:.4f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--bind", action="append", default=[])
    options = parser.parse_args()
    settings = load_settings(binds=options.bind)
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    print(describe_machine())
    best = 0.0
    for split in ("val", "test"):
        people = read_people(options.people, split, options.captions, encoder, settings)
        told = people.encoded.split
        print(f"{split}: {len(set(told.image_pids))} people, {len(told.images)} images, {len(told.captions)} queries")
        found = {weight: people.measure(weight) for weight in WEIGHTS}
        if split == "val":
            best = max(found, key=lambda weight: found[weight].mean().mean_ap)
        print_rows(found, best)
    for weight in sorted({best, CAPTION_WEIGHT}):
        print_gain(f"weight {weight}", found[0.0], found[weight], told.caption_pids)


if __name__ == "__main__":
    main()
