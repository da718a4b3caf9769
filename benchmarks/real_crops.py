"""How the bound models do on photographs: garment colors and types, bags, and finding people by hand-written captions.

    python -m benchmarks.real_crops FOLDER [--bind images=...] [--bind search_gallery=...] [--errors]

FOLDER holds the crops and labels.json: {"items": [{"file", "person_id", "upper": {"colour", "type"}, "lower": {...},
"carrying": [...], "captions": [...]}]}. Without --bind the embedded models answer. A baseline stands beside them: the
median color of two boxes where upper and lower body usually are.

Colors count by family. A label of two families ("dark navy": blue, and dark) is met by either. What is not told ("not
visible") counts as wrong.
"""

import argparse
import asyncio
import colorsys
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import Settings, load_settings
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.images import read_image, ref
from ctgi.synth.colors import COLORS, FAMILIES

WORDS = {
    "black": "black", "dark": "black", "gray": "gray", "grey": "gray", "charcoal": "gray", "silver": "gray",
    "white": "white", "cream": "white", "off-white": "white", "ivory": "white",
    "red": "red", "burgundy": "red", "magenta": "red", "pink": "red", "maroon": "red",
    "orange": "orange", "yellow": "orange", "green": "green", "teal": "green", "olive": "green", "turquoise": "green",
    "blue": "blue", "navy": "blue", "brown": "brown", "tan": "brown", "khaki": "brown", "beige": "brown",
    "purple": "purple", "violet": "purple", "lilac": "purple",
}  # fmt: skip
QUESTIONS = ("upper_color", "lower_color", "sleeves", "lower_type", "bag")
BAG = re.compile(r"bag|backpack|suitcase|purse|luggage|briefcase|rucksack|satchel|tote")


@dataclass(frozen=True)
class Row:
    """What is compared for one crop; empty where the label does not say."""

    upper_color: frozenset[str]
    lower_color: frozenset[str]
    sleeves: str
    lower_type: str
    bag: str


def families(text: str) -> list[str]:
    """The color families that a text names, in its order."""
    return [WORDS[word] for word in re.findall(r"[a-z]+(?:-white)?", text.lower()) if word in WORDS]


def sleeves_of(garment: str) -> str:
    """Long or short, as the garment's name tells."""
    short = re.search(r"short.sleeve|t-shirt|tee\b|polo|sleeveless|tank|vest", garment) and "long" not in garment
    outer = re.search(r"jacket|coat|blazer|hoodie|sweater|cardigan", garment.partition(" over ")[0])
    return "short" if short and not outer else "long"


def legs_of(garment: str) -> str:
    """Top-level type of what is worn on the legs."""
    return next((kind for kind in ("shorts", "skirt", "dress") if kind in garment), "trousers")


def labelled(item: dict[str, Any]) -> Row:
    """The hand-made labels of one crop."""
    return Row(
        frozenset(families(item["upper"]["colour"])),
        frozenset(families(item["lower"]["colour"])),
        sleeves_of(item["upper"]["type"].lower()),
        legs_of(item["lower"]["type"].lower()),
        "yes" if BAG.search(" ".join(item["carrying"]).lower()) else "no",
    )


def told(answers: dict[str, str]) -> Row:
    """A model's answers, as far as they name what is compared."""
    sleeves = answers["sleeves"].lower()
    return Row(
        frozenset(families(re.sub(r"\bdark (?=[a-z])", "", answers["upper_color"]))[:1]),
        frozenset(families(re.sub(r"\bdark (?=[a-z])", "", answers["lower_color"]))[:1]),
        "long" if "long" in sleeves else "short" if re.search("short|none|no", sleeves) else "",
        legs_of(answers["lower_type"].lower()),
        "yes" if BAG.search(answers["bag"].lower()) else "no",
    )


async def ask(settings: Settings, paths: Sequence[Path]) -> list[dict[str, str]]:
    """The answers to QUESTIONS for every image, and its caption."""
    pool = load_pool(None)
    async with open_tools(settings, ("caption_image", "answer_question"), pool) as tools:

        async def one(path: Path) -> dict[str, str]:
            image = ref(str(path))
            caption = (await tools["caption_image"](image)).text
            answers = await asyncio.gather(
                *(
                    tools["answer_question"](image, pool.by_attribute(name).question, description=caption)
                    for name in QUESTIONS
                )
            )
            return {"caption": caption} | {name: said.text for name, said in zip(QUESTIONS, answers, strict=True)}

        return list(await asyncio.gather(*(one(path) for path in paths)))


def median_colors(path: Path) -> tuple[str, str]:
    """Families of the median color of two boxes, by the nearest of our shades."""
    pixels = np.asarray(read_image(str(path))) / 255
    height, width = pixels.shape[:2]
    middle = slice(int(width * 0.3), int(width * 0.7))
    boxes = (slice(int(height * 0.2), int(height * 0.45)), slice(int(height * 0.55), int(height * 0.85)))
    return tuple(nearest_family(np.median(pixels[box, middle].reshape(-1, 3), axis=0)) for box in boxes)  # type: ignore[return-value]


def nearest_family(color: np.ndarray) -> str:
    """The family that holds the shade nearest to an RGB color."""
    names = {name: family for family, members in FAMILIES.items() for name in members}
    shades = [
        (names[name], colorsys.hsv_to_rgb(hue % 1, saturation, value))
        for name, boxes in COLORS.items()
        for box in boxes
        for hue in np.linspace(*box.hue, 5)
        for saturation in np.linspace(*box.saturation, 4)
        for value in np.linspace(*box.value, 4)
    ]
    return min(shades, key=lambda shade: float(np.abs(np.array(shade[1]) - color).sum()))[0]


def rank(settings: Settings, folder: Path, items: Sequence[dict[str, Any]], out: Path) -> dict[str, float]:
    """R@1, R@5 and mAP of each caption against all crops; a hit is any crop of the same person."""
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    paths = [str(folder / item["file"]) for item in items]
    build_gallery(paths, out, encoder, settings.retriever)
    gallery = open_gallery(out, encoder)
    people = {Path(item["file"]).name: item["person_id"] for item in items}
    captions = {(item["person_id"], caption) for item in items for caption in item["captions"]}
    figures = []
    for person, caption in sorted(captions):
        found = gallery.search(caption, len(items)).candidates
        hits = np.array([people[Path(candidate.image.path).name] == person for candidate in found])
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        figures.append((hits[0], hits[:5].any(), precision[hits].mean()))
    chance = np.mean([list(people.values()).count(person) / len(people) for person, _ in captions])
    return dict(zip(("R@1", "R@5", "mAP"), np.mean(figures, axis=0), strict=True)) | {"R@1 by chance": float(chance)}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--errors", action="store_true", help="also print what was answered wrongly")
    options = parser.parse_args()
    print(describe_machine())
    items = json.loads((options.folder / "labels.json").read_text())["items"]
    settings = load_settings(binds=options.bind)
    paths = [options.folder / item["file"] for item in items]
    answers = asyncio.run(ask(settings, paths))
    truths, rows = [labelled(item) for item in items], [told(answer) for answer in answers]
    boxes = [median_colors(path) for path in paths]
    print(f"{len(items)} crops of {len({item['person_id'] for item in items})} people")
    for name in QUESTIONS:
        pairs = [(getattr(row, name), getattr(truth, name)) for row, truth in zip(rows, truths, strict=True)]
        right = [bool(said & wanted) if isinstance(said, frozenset) else said == wanted for said, wanted in pairs]
        line = f"{name:12} {100 * np.mean(right):5.1f} %"
        if name in ("upper_color", "lower_color"):
            place = 0 if name == "upper_color" else 1
            guessed = [box[place] in truth for box, (_, truth) in zip(boxes, pairs, strict=True)]
            line += f"   median color of a box {100 * np.mean(guessed):5.1f} %"
        print(line)
        if options.errors:
            for path, answer, (_, wanted), ok in zip(paths, answers, pairs, right, strict=True):
                if not ok:
                    label = wanted if isinstance(wanted, str) else " or ".join(sorted(wanted))
                    print(f"    {path.name}: {answer[name]!r}, label {label}")
    with tempfile.TemporaryDirectory() as temporary:
        figures = rank(settings, options.folder, items, Path(temporary) / "gallery")
    print("captions -> crops: " + ", ".join(f"{name} {100 * value:.1f} %" for name, value in figures.items()))
    if options.errors:
        for path, answer in zip(paths, answers, strict=True):
            print(f"    {path.name}: {answer['caption']}")


if __name__ == "__main__":
    main()
