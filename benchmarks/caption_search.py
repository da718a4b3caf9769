"""What searching the captions adds to searching the images: R@1 and mAP with and without.

    ctgi synth people --identities 101 --val 40 --test 60 --seed 777
    ctgi caption people/imgs --out captions.jsonl
    python -m benchmarks.caption_search people captions.jsonl [--at-most 100] [--bind search_gallery=...]

Queries are the witnesses' descriptions of the images that have a caption. The weight with the best mAP for one half of
the people (validation) is measured on the other half.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from ctgi.captions import read_captions
from ctgi.config import Settings, load_settings
from ctgi.reading import Json
from ctgi.retrieval.caption_rows import caption_vectors, with_captions
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.metrics import evaluate_features
from ctgi.runs.evaluation import as_row

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class Half:
    """The images of some people, their captions, and what witnesses say of them."""

    images: NDArray[np.float32]
    captions: NDArray[np.float32]
    pids: list[int]
    queries: NDArray[np.float32]
    query_pids: list[int]

    def measure(self, weight: float) -> dict[str, float]:
        """Text-to-image metrics in per cent."""
        place = {row: row for row in range(len(self.images))}
        rows = with_captions(self.images, place, self.captions, weight)
        return as_row(evaluate_features(self.queries, rows, self.query_pids, self.pids))


def encoded(people: Path, entries: Sequence[Json], texts: Sequence[str], encoder: Encoder, settings: Settings) -> Half:
    """Images, captions and queries as vectors."""
    paths = [people / "imgs" / entry["img_path"] for entry in entries]
    with tempfile.TemporaryDirectory() as temporary:
        build_gallery([str(path) for path in paths], Path(temporary) / "gallery", encoder, settings.retriever)
        gallery = open_gallery(Path(temporary) / "gallery", encoder)
        rows = {Path(image.path).name: row for row, image in enumerate(gallery.refs())}
        images = gallery.vectors(np.array([rows[path.name] for path in paths]))
    said = [(entry["id"], text) for entry in entries for text in entry["captions"]]
    queries = np.concatenate(
        [encoder.encode_texts([text for _, text in said[at : at + 256]]).vectors for at in range(0, len(said), 256)]
    )
    pids = [entry["id"] for entry in entries]
    return Half(images, caption_vectors(texts, encoder), pids, queries, [pid for pid, _ in said])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--at-most", type=int, default=100, help="people")
    parser.add_argument("--bind", action="append", default=[])
    options = parser.parse_args()
    settings = load_settings(binds=options.bind)
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    captions = {Path(line.path).name: line.caption for line in read_captions(options.captions) if line.has_caption}
    entries = json.loads((options.people / "data_captions.json").read_text(encoding="utf-8"))
    entries = [entry for entry in entries if Path(entry["img_path"]).name in captions]
    people = sorted({entry["id"] for entry in entries})[: options.at_most]
    print(describe_machine())
    best = 0.0
    for name, who in (("validation", people[::2]), ("test", people[1::2])):
        chosen = [entry for entry in entries if entry["id"] in who]
        texts = [captions[Path(entry["img_path"]).name] for entry in chosen]
        half = encoded(options.people, chosen, texts, encoder, settings)
        print(f"{name}: {len(who)} people, {len(half.pids)} images, {len(half.query_pids)} queries")
        rows = {weight: half.measure(weight) for weight in WEIGHTS}
        if name == "validation":
            best = max(rows, key=lambda weight: rows[weight]["mAP"])
        for weight, row in rows.items():
            mark = "  <- chosen on validation" if weight == best else ""
            print(f"weight {weight}", "  ".join(f"{column} {value:.2f}" for column, value in row.items()) + mark)


if __name__ == "__main__":
    main()
