"""How well the embedded model answers each question of the pool, on drawn people and on photographs.

    ctgi synth people --identities 40 --val 0 --test 39 --seed 12345
    ctgi synth rendered --identities 40 --val 0 --test 39 --seed 12345 --render 3d
    python -m benchmarks.abilities people FOLDER [--in-3d rendered] [--scene "an indoor hall"] [--limit 120] [--write]

FOLDER holds photographs and their labels.json (benchmarks/real_crops.py); `--scene` is where they were taken, which
the labels do not say. Drawn people count by color family and exact words otherwise; photographs by family of color and
kind of thing, and only where a label says what is right. A list of things is right when nothing in it is absent and it
is not empty where something is there. Balanced accuracy is the mean over the right answers' classes; `majority` is the
share of the commonest one; `calibration` the mean gap between the confidence of answers and the share of right ones,
in ten bins. The answers to synthetic people are also counted word for word, as benchmarks/embedded_answers.py does.
`--write` keeps the table and the words that the model has learned in abilities.json.
"""

import argparse
import asyncio
import datetime
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.embedded_answers import ask_all, by_family, calibration_error, read_scenes, report_answers, spread
from benchmarks.machine import describe_machine
from benchmarks.real_crops import families, legs_of, sleeves_of
from ctgi.agents.languages import words
from ctgi.config import load_settings
from ctgi.embedded import ABILITIES
from ctgi.synth import words as synth_words
from ctgi.tools.types import Reply
from recipes.embedded.answers import ANSWERS, Scene, answer
from recipes.embedded.lessons import corpus

KINDS = {
    "suitcase": r"suitcase|luggage|trolley",
    "backpack": r"backpack|rucksack",
    "bag": r"(?<!back)bag\b|purse|duffel|satchel",
    "phone": r"phone\b",
    "scarf": r"scarf|shawl",
    "glasses": r"glasses",
    "hat": r"\bcap\b|\bhat\b|beanie",
    "umbrella": r"umbrella",
    "book": r"\bbook",
    "bottle": r"bottle",
    "cup": r"\bcup\b",
}
UPPERS = {
    "outer": r"jacket|coat|blazer|parka|zip-up",
    "knit": r"sweater|hoodie|cardigan|pullover|jumper",
    "shirt": r"(?<!t-)shirt|blouse",
    "t-shirt": r"t-shirt|polo|tank top",
    "dress": r"dress",
}
SHOES = {
    "boots": r"boot",
    "sneakers": r"sneaker|trainer|lace-up",
    "shoes": r"dress shoes|^shoes$|lace-up",
    "sandals": r"sandal",
    "heels": r"heel",
}
ACTIONS = {"walking": r"walk", "standing": r"stand", "phone": r"phone", "running": r"run", "riding": r"rid"}
SIDES = {"front": r"front", "back": r"back|behind", "side": r"side"}
HAIR = {"short": r"short(?!er)", "long": r"long|shoulder-length", "bald": r"bald|shaved"}


def named(table: dict[str, str], text: str) -> frozenset[str]:
    """The classes of a table that a text names."""
    return frozenset(name for name, pattern in table.items() if re.search(pattern, text.lower()))


def labels(item: dict[str, Any], scene: str) -> dict[str, frozenset[str]]:
    """By attribute, the classes that are right for a photograph; an empty set where nothing of the kind is there."""
    carried, worn = " ".join(item["carrying"]), " ".join(item["accessories"])
    upper = item["upper"]["type"].lower()
    right = {
        "upper_color": frozenset(families(item["upper"]["colour"])),
        "lower_color": frozenset(families(item["lower"]["colour"])),
        "shoes_color": frozenset(families(item["footwear"]["colour"])),
        "upper_type": named(UPPERS, upper.partition(" over ")[0]),
        "lower_type": frozenset({legs_of(item["lower"]["type"].lower())}),
        "shoes": named(SHOES, item["footwear"]["type"]),
        "sleeves": frozenset({sleeves_of(upper)}),
        "carried_objects": named(KINDS, carried),
        "accessories": named(KINDS, f"{carried} {worn}") - {"phone"},
        "hand_held": named(KINDS, carried) - {"bag"},
        "bag": named(KINDS, carried) & {"bag", "backpack", "suitcase"},
        "backpack": named(KINDS, carried) & {"backpack"},
        "hat": named(KINDS, worn) & {"hat"},
        "glasses": named(KINDS, worn) & {"glasses"},
        "scarf": named(KINDS, worn) & {"scarf"},
        "action": named(ACTIONS, item["action"]),
        "gender": frozenset({item["apparent_gender"]}),
        "view": named(SIDES, item["view"]),
        "hair": named(HAIR, item["hair"]) | set(_shade(item["hair"])),
        "upper_pattern": frozenset() if item["upper"]["pattern"] == "plain" else frozenset({item["upper"]["pattern"]}),
        "lower_pattern": frozenset() if item["lower"]["pattern"] == "plain" else frozenset({item["lower"]["pattern"]}),
    }
    style = {"short": "short", "long": "loose"}.get(next(iter(named(HAIR, item["hair"])), ""))
    right |= {"hair_style": frozenset({style})} if style else {}
    return right | ({"background": frozenset(words(scene))} if scene else {})


def _shade(text: str) -> list[str]:
    return ["black"] if "dark" in text or "black" in text else ["brown"] if "brown" in text or "blond" in text else []


READ: dict[str, Callable[[str], frozenset[str]]] = {
    **dict.fromkeys(
        ("upper_color", "lower_color", "shoes_color"),
        lambda said: frozenset(families(re.sub(r"\bdark (?=[a-z])", "", said))[:1]),
    ),
    **dict.fromkeys(
        ("carried_objects", "accessories", "hand_held", "bag", "backpack", "hat", "glasses", "scarf"),
        lambda said: named(KINDS, said),
    ),
    "upper_type": lambda said: named(UPPERS, said),
    "lower_type": lambda said: frozenset({legs_of(said.lower())}),
    "shoes": lambda said: named(SHOES, said),
    "action": lambda said: named(ACTIONS, said),
    "view": lambda said: named(SIDES, said),
    "sleeves": lambda said: frozenset({"long" if "long" in said else "short"}),
    "gender": lambda said: frozenset({said.split()[-1]}),
    "hair_style": lambda said: named({"short": "short", "loose": "loose", "tied": "tied|pulled"}, said),
    "hair": lambda said: named(HAIR, said) | set(_shade(said)),
    "background": lambda said: frozenset(words(said)),
    **dict.fromkeys(
        ("upper_pattern", "lower_pattern"), lambda said: frozenset(() if said in ("no", "not visible") else (said,))
    ),
}


def fits(attribute: str, said: frozenset[str], right: frozenset[str]) -> bool:
    """Whether an answer's classes are right."""
    if attribute in ("hair", "background"):
        return said >= right
    if attribute in ("upper_color", "lower_color", "shoes_color", "upper_type", "shoes", "action", "view"):
        return bool(said & right)
    return said <= right and bool(said) == bool(right)


Judged = tuple[str, bool, float | None]
"""Class of the right answer, whether it was given, and the confidence of what was given."""


def row(judged: list[Judged]) -> dict[str, float | str]:
    """A line of the table."""
    classes: dict[str, list[bool]] = defaultdict(list)
    for right, ok, _ in judged:
        classes[right].append(ok)
    common, count = Counter(right for right, *_ in judged).most_common(1)[0]
    sure = [(confidence, ok) for _, ok, confidence in judged if confidence is not None]
    told = {"calibration": round(calibration_error(*map(np.array, zip(*sure, strict=True))), 3)} if sure else {}
    return {
        "accuracy": round(float(np.mean([ok for _, ok, _ in judged])), 3),
        "balanced": round(float(np.mean([np.mean(oks) for oks in classes.values()])), 3),
        **told,
        "majority": round(count / len(judged), 3),
        "majority_class": common,
        "n": len(judged),
    }


def on_drawn(scenes: list[tuple[Path, Scene]], answers: list[dict[str, Reply]]) -> dict[str, dict[str, Any]]:
    """The table of drawn people."""
    table = {}
    for name in ANSWERS:
        wanted = [by_family(answer(name, scene).lower()) for _, scene in scenes]
        told = [(by_family(given[name].text.lower().rstrip(".")), given[name].confidence) for given in answers]
        table[name] = row([(right, said == right, sure) for (said, sure), right in zip(told, wanted, strict=True)])
    return table


def on_photographs(
    items: list[dict[str, Any]], answers: list[dict[str, Reply]], scene: str
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The table of photographs, and what was wrong."""
    pairs: dict[str, list[Judged]] = defaultdict(list)
    wrong = []
    for item, given in zip(items, answers, strict=True):
        for name, right in labels(item, scene).items():
            said, label = given[name], " ".join(sorted(right)) or "none"
            ok = fits(name, READ[name](said.text), right)
            pairs[name].append((label, ok, said.confidence))
            if not ok:
                wrong.append(f"{Path(item['file']).name} {name}: {said.text!r}, label {label}")
    return {name: row(rows) for name, rows in pairs.items()}, wrong


def vocabulary(scenes: list[Scene]) -> list[str]:
    """The words of the tables and of texts that the model learns from."""
    tables = [table for table in vars(synth_words).values() if isinstance(table, dict)]
    told = " ".join(re.findall(r"[\w'-]+", repr(tables)))
    return sorted(
        {word for word in words(f"{told} {' '.join(corpus(scenes, Random(0)))}") if word.isalpha() or "-" in word}
    )


def main() -> None:
    """Print both tables; perhaps write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawn", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--in-3d", type=Path, help="test people rendered in 3D")
    parser.add_argument("--scene", default="")
    parser.add_argument("--limit", type=int, default=None, help="drawn images")
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    settings = load_settings()
    scenes = read_scenes(options.drawn)
    items = json.loads((options.photographs / "labels.json").read_text(encoding="utf-8"))["items"]
    print(describe_machine())
    tables = {}
    for title, folder in (("drawn", options.drawn), ("in_3d", options.in_3d)):
        if folder:
            people = spread(read_scenes(folder), options.limit)
            answers = asyncio.run(ask_all(settings, people))
            print(f"{title}: {len(people)} images")
            report_answers(people, answers, errors=options.errors)
            tables[title] = on_drawn(people, answers)
    shown = asyncio.run(ask_all(settings, [(options.photographs / item["file"], item) for item in items]))
    tables["photographs"], wrong = on_photographs(items, shown, options.scene)
    for name in ANSWERS:
        print(name, *(f"{title} {table[name]}" for title, table in tables.items() if name in table), sep="\n    ")
    if options.errors:
        print(*wrong, sep="\n")
    if options.write:
        known = json.loads(ABILITIES.read_text(encoding="utf-8")) if ABILITIES.exists() else {}
        table = {name: {title: rows[name] for title, rows in tables.items() if name in rows} for name in ANSWERS}
        made = {
            "date": datetime.date.today().isoformat(),
            "machine": describe_machine(),
            "script": "benchmarks/abilities.py",
        }
        known |= {"measured": made, "attributes": table, "words": vocabulary([scene for _, scene in scenes])}
        ABILITIES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
