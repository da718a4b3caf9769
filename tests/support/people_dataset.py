"""Synthetic people on disk for tests: drawn figures in the RSTPReid layout, and captions.jsonl files about them."""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageDraw

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")
BAGS = (None, "red", "yellow", "blue", "black")
SIZE = (32, 64)
"""Width, height in px of the smallest view."""


@dataclass(frozen=True)
class Person:
    """What is drawn and told; no two people of a data set are alike."""

    upper: str
    lower: str
    bag: str | None


def people(count: int, seed: int = 0) -> list[Person]:
    """`count` people (320 at most), each with other clothes; the same for the same seed."""
    everyone = [Person(*clothes) for clothes in product(COLORS, COLORS, BAGS) if clothes[0] != clothes[1]]
    return Random(f"people/{seed}").sample(everyone, count)


def save_people_dataset(
    root: Path, *, train: int = 16, val: int = 4, test: int = 8, views: int = 4, seed: int = 0
) -> Path:
    """Write data_captions.json and imgs/ of `train` + `val` + `test` people with `views` images each; returns `root`.

    Splits are by person; ids run 0, 1, 2 ... through train, val and test; two captions an image.
    """
    (root / "imgs").mkdir(parents=True, exist_ok=True)
    splits = ["train"] * train + ["val"] * val + ["test"] * test
    objects = []
    for pid, (person, split) in enumerate(zip(people(len(splits), seed), splits, strict=True)):
        for view in range(views):
            rng = Random(f"{seed}/{pid}/{view}")
            name = f"{pid:04}_c{view}.jpg"
            draw(person, rng).save(root / "imgs" / name, quality=95, subsampling=0)
            objects.append({"id": pid, "img_path": name, "captions": captions(person, rng), "split": split})
    (root / "data_captions.json").write_text(json.dumps(objects))
    return root


def draw(person: Person, rng: Random) -> Image.Image:
    """One view: another size, position and grey of the background."""
    scale = rng.uniform(1.0, 1.5)
    width, height = round(SIZE[0] * scale), round(SIZE[1] * scale)
    image = Image.new("RGB", (width, height), (rng.randint(90, 150),) * 3)
    pen = ImageDraw.Draw(image)
    dx, dy = rng.uniform(-0.08, 0.08), rng.uniform(-0.02, 0.02)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        return (left + dx) * width, (top + dy) * height, (right + dx) * width, (bottom + dy) * height

    pen.ellipse(box(0.38, 0.05, 0.62, 0.2), fill="peachpuff")
    pen.rectangle(box(0.25, 0.2, 0.75, 0.55), fill=person.upper)
    pen.rectangle(box(0.3, 0.55, 0.7, 0.94), fill=person.lower)
    if person.bag:
        pen.rectangle(box(0.72, 0.4, 0.92, 0.62), fill=person.bag)
    return image


def captions(person: Person, rng: Random) -> list[str]:
    """Two true captions in different words."""
    who = rng.choice(("A person", "A pedestrian", "Someone"))
    bag = f"a {person.bag} bag" if person.bag else "no bag"
    return [
        f"{who} wears a {person.upper} shirt and {person.lower} trousers with {bag}.",
        f"{who} in {person.lower} trousers, a {person.upper} top and {bag}.",
    ]


def mtg_records(root: Path, *, wrong: float = 0.0, seed: int = 0) -> list[dict[str, Any]]:
    """A captions.jsonl record for each image of the set; of the answers a share `wrong` is false.

    Confidences overlap: a true answer has 0.6 to 1, a false one 0.3 to 0.8. `wrong_answers` counts the false ones.
    """
    objects = json.loads((root / "data_captions.json").read_text())
    everyone = people(max(entry["id"] for entry in objects) + 1, seed)
    return [_record(root, entry["img_path"], everyone[entry["id"]], wrong, seed) for entry in objects]


def _record(root: Path, name: str, person: Person, wrong: float, seed: int) -> dict[str, Any]:
    rng = Random(f"mtg/{seed}/{name}")
    told, turns = vars(person).copy(), []
    for attribute, choices in (("upper", COLORS), ("lower", COLORS), ("bag", BAGS)):
        lies = rng.random() < wrong
        if lies:
            told[attribute] = rng.choice([color for color in choices if color != told[attribute]])
        turns.append(_turn(attribute, told[attribute], rng.uniform(0.3, 0.8) if lies else rng.uniform(0.6, 1.0)))
    return {
        "path": str(root / "imgs" / name),
        "sha256": "",
        "initial_caption": f"A person in a {told['upper']} top.",
        "turns": turns,
        "caption": captions(Person(**told), rng)[0],
        "wrong_answers": sum(told[attribute] != getattr(person, attribute) for attribute in told),
    }


def _turn(attribute: str, answer: str | None, confidence: float) -> dict[str, Any]:
    return {
        "attribute": attribute,
        "question": f"What color is the {attribute}?",
        "answer": answer or "none",
        "confidence": confidence,
        "statement": f"{attribute} {answer or 'none'}",
        "kept": True,
        "reason": None,
    }


def save_records(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write records as a captions.jsonl file; returns `path`."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
