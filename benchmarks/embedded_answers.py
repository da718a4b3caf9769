"""How well the bound models see synthetic people: every question of the pool, what is not visible, and subtle lies.

    ctgi synth people --identities 40 --val 0 --test 39 --seed 12345 [--render 3d]
    python -m benchmarks.embedded_answers people [--only answers claims typed speed] [--bind images=...] [--errors]

Answers count by their exact words; colors in a second column by family. A claim is true, or has one attribute changed
(a hard negative), half and half; typed queries are a few words as one types them, true of a picture or of another
person. The calibration error is the mean gap between P(yes) and the share of true descriptions in ten bins of P(yes),
weighted by their size. Last, the time that a search waits for the verdicts on its 20 candidates.
Drawn people, not photographs: benchmarks/real_crops.py does those.
"""

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.machine import describe_machine
from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import Settings, load_settings
from ctgi.retrieval.images import ref
from ctgi.synth.colors import FAMILIES
from ctgi.synth.dataset import TABLE
from ctgi.synth.person import Person, View
from ctgi.synth.table import read_rows
from ctgi.tools.types import Reply
from recipes.embedded.answers import ANSWERS, NOT_VISIBLE, Scene, answer
from recipes.embedded.descriptions import Claim, Description, draw_hard_claim, keywords, one_by_one, topics
from recipes.embedded.lookalikes import agrees

FAMILY = {color: family for family, colors in FAMILIES.items() for color in colors}
CLAIMS = 4
"""Of each image."""
CANDIDATES, SEARCHES = 20, 5
PARTS = ("answers", "claims", "typed", "speed")


def read_scenes(folder: Path) -> list[tuple[Path, Scene]]:
    """The test images of a folder of `ctgi synth`, with their truth."""
    rows = [row for row in read_rows(folder / TABLE) if row["split"] == "test"]
    return [
        (
            folder / row["path"],
            Scene(Person(**row["person"]), View(**row["view"]), frozenset(row["visible"])),
        )
        for row in rows
    ]


def spread(scenes: list[tuple[Path, Scene]], limit: int | None) -> list[tuple[Path, Scene]]:
    """So many of them, of as many people as can be."""
    return scenes if limit is None else [scenes[number * len(scenes) // limit] for number in range(limit)]


def by_family(text: str) -> str:
    """The answer with each color replaced by its family."""
    for color in sorted(FAMILY, key=len, reverse=True):
        text = text.replace(color, FAMILY[color].upper())
    return text.lower()


async def ask_all(settings: Settings, scenes: Sequence[tuple[Path, object]]) -> list[dict[str, Reply]]:
    """The answers to every question, image by image, each as a first question."""
    pool = load_pool(None)
    async with open_tools(settings, ("answer_question",), pool) as tools:

        async def one(path: Path) -> dict[str, Reply]:
            image = ref(str(path))
            said = await asyncio.gather(
                *(tools["answer_question"](image, pool.by_attribute(name).question) for name in ANSWERS)
            )
            return dict(zip(ANSWERS, said, strict=True))

        return list(await asyncio.gather(*(one(path) for path, _ in scenes)))


Judged = tuple[str, Description, float, float]
"""Changed field or "", the description, P(yes) of the whole, and the least P(yes) of its claims one by one."""


async def verify_all(settings: Settings, scenes: list[tuple[Path, Scene]], rng: Random, *, alone: bool) -> list[Judged]:
    """CLAIMS descriptions of each image, judged as a whole and, where `alone`, claim by claim."""
    drawn = [
        (path, *draw_hard_claim(scene, rng, true=number % 2 == 0)) for path, scene in scenes for number in range(CLAIMS)
    ]
    async with open_tools(settings, ("verify_match",), load_pool(None)) as tools:

        async def judge(path: Path, texts: list[str]) -> float:
            verdicts = await asyncio.gather(*(tools["verify_match"](ref(str(path)), text) for text in texts))
            return min(verdict.probability for verdict in verdicts)

        whole = await asyncio.gather(*(judge(path, [told.text]) for path, _, told in drawn))
        parts = await asyncio.gather(*(judge(path, one_by_one(told)) for path, _, told in drawn)) if alone else whole
    return [(field, told, *pair) for (_, field, told), *pair in zip(drawn, whole, parts, strict=True)]


Typed = tuple[str, bool, float]
"""A few words, whether they are true of the picture, P(yes)."""


def type_query(scene: Scene, rng: Random) -> tuple[str, list[str]]:
    """Two or three things of a person as one types them, and the topics they tell."""
    said = topics(scene, rng)
    told = rng.sample([name for name in ("upper", "lower", "bag", "shoes", "hat") if name in said], 2)
    claims = {name: Claim(said[name], True, name) for name in ("person", *told)}
    return "".join(piece.text for piece in keywords(claims, rng)), ["person", *told]


async def verify_typed(settings: Settings, scenes: list[tuple[Path, Scene]], rng: Random) -> list[Typed]:
    """A typed query of each image, judged there and on the image of somebody of whom it is false."""
    drawn: list[tuple[Path, str, bool]] = []
    for path, scene in scenes:
        if not {"upper", "lower"} <= scene.visible:
            continue
        text, told = type_query(scene, rng)
        others = [
            other
            for other, theirs in rng.sample(scenes, len(scenes))
            if any(agrees(topic, theirs, scene) is False for topic in told[1:])
        ]
        drawn += [(path, text, True), *((other, text, False) for other in others[:1])]
    async with open_tools(settings, ("verify_match",), load_pool(None)) as tools:
        verdicts = await asyncio.gather(*(tools["verify_match"](ref(str(path)), text) for path, text, _ in drawn))
    return [(text, true, verdict.probability) for (_, text, true), verdict in zip(drawn, verdicts, strict=True)]


async def time_searches(settings: Settings, scenes: list[tuple[Path, Scene]], rng: Random) -> list[tuple[float, float]]:
    """Seconds, and seconds of the processor, until CANDIDATES images are verified, for SEARCHES descriptions."""
    seconds = []
    async with open_tools(settings, ("verify_match",), load_pool(None)) as tools:
        for number in range(SEARCHES + 1):
            candidates = rng.sample(scenes, min(CANDIDATES, len(scenes)))
            described = draw_hard_claim(candidates[0][1], rng, true=True)[1].text
            began, worked = time.perf_counter(), time.process_time()
            await asyncio.gather(*(tools["verify_match"](ref(str(path)), described) for path, _ in candidates))
            if number:  # the first loads the model
                seconds.append((time.perf_counter() - began, time.process_time() - worked))
    return seconds


def calibration_error(probabilities: np.ndarray, truths: np.ndarray) -> float:
    """Expected calibration error over ten equal bins of P(yes)."""
    bins = np.minimum((probabilities * 10).astype(int), 9)
    gaps = [
        (bins == number).mean() * abs(probabilities[bins == number].mean() - truths[bins == number].mean())
        for number in range(10)
        if (bins == number).any()
    ]
    return float(sum(gaps))


def report_answers(scenes: list[tuple[Path, Scene]], answers: list[dict[str, Reply]], *, errors: bool) -> None:
    """A line for each question: right where it is visible, right by color family, and right where it is not."""
    print(f"{'question':16} {'visible':>8} {'right %':>8} {'family %':>9} {'not visible':>12} {'said so %':>10}")
    visible_shares, unseen = [], []
    for name in ANSWERS:
        pairs = [(given[name].text.lower().rstrip("."), answer(name, scene).lower())
                 for (_, scene), given in zip(scenes, answers, strict=True)]  # fmt: skip
        seen = [(given, wanted) for given, wanted in pairs if wanted != NOT_VISIBLE]
        hidden = [given == NOT_VISIBLE for given, wanted in pairs if wanted == NOT_VISIBLE]
        right = np.mean([given == wanted for given, wanted in seen])
        family = np.mean([by_family(given) == by_family(wanted) for given, wanted in seen])
        visible_shares.append(right)
        unseen += hidden
        said = f"{100 * np.mean(hidden):10.1f}" if hidden else f"{'-':>10}"
        print(f"{name:16} {len(seen):8} {100 * right:8.1f} {100 * family:9.1f} {len(hidden):12} {said}")
        if errors:
            wrong = defaultdict(int)
            for given, wanted in seen:
                wrong[f"{wanted} -> {given}"] += given != wanted
            for pair, count in sorted(wrong.items(), key=lambda item: -item[1])[:4]:
                print(f"      {count:3} {pair}") if count else None
    print(f"mean {100 * np.mean(visible_shares):.1f} %, worst {100 * min(visible_shares):.1f} %; "
          f"not visible recognized {100 * np.mean(unseen):.1f} % of {len(unseen)}")  # fmt: skip


def report_claims(judged: list[Judged], *, errors: bool) -> None:
    """Accuracy and calibration of verify_match, and which changes go unseen."""
    truths = np.array([not field for field, *_ in judged])
    ways = ((2, "the whole description"), (3, "one claim at a time"))
    for place, way in ways[: 1 + any(row[2] != row[3] for row in judged)]:
        probabilities = np.array([row[place] for row in judged])
        right = (probabilities > 0.5) == truths
        print(f"verify_match, {way}: {100 * right.mean():.1f} % of {len(judged)} descriptions, "
              f"calibration error {calibration_error(probabilities, truths):.3f}")  # fmt: skip
        for field in sorted({field for field, *_ in judged}):
            rows = [index for index, row in enumerate(judged) if row[0] == field]
            print(f"    {field or 'true':14} {len(rows):5} {100 * right[rows].mean():6.1f} %")
        if errors:
            for row, ok in zip(judged[:400], right, strict=False):
                if not ok:
                    print(f"    P(yes) {row[place]:.2f} {row[0] or 'true':12} {row[1].text}")


def report_typed(typed: list[Typed]) -> None:
    """How queries of a few words are judged."""
    truths = np.array([true for _, true, _ in typed])
    probabilities = np.array([p for *_, p in typed])
    right = (probabilities > 0.5) == truths
    print(
        f"typed queries: {100 * right[truths].mean():.1f} % of {truths.sum()} true ones confirmed, "
        f"{100 * right[~truths].mean():.1f} % of {(~truths).sum()} false ones not, "
        f"calibration error {calibration_error(probabilities, truths):.3f}; "
        f"median P(yes) {np.median(probabilities[truths]):.2f} and {np.median(probabilities[~truths]):.2f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--limit", type=int, default=None, help="images")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--one-by-one", action="store_true", help="judge each claim alone too, which takes longer")
    parser.add_argument("--errors", action="store_true", help="also print the commonest wrong answers")
    options = parser.parse_args()
    print(describe_machine())
    scenes = spread(read_scenes(options.folder), options.limit)
    settings = load_settings(binds=options.bind)
    print(f"{len(scenes)} synthetic images, {settings.binding('answer_question')}")
    if "answers" in options.only:
        report_answers(scenes, asyncio.run(ask_all(settings, scenes)), errors=options.errors)
    if "claims" in options.only:
        judged = asyncio.run(verify_all(settings, scenes, Random(0), alone=options.one_by_one))
        report_claims(judged, errors=options.errors)
    if "typed" in options.only:
        report_typed(asyncio.run(verify_typed(settings, scenes, Random(2))))
    if "speed" in options.only:
        seconds = asyncio.run(time_searches(settings, scenes, Random(1)))
        for name, found in zip(("seconds", "seconds of the processor"), zip(*seconds, strict=True), strict=True):
            middle, best = statistics.median(found), min(found)
            print(f"{CANDIDATES} candidates verified: {best:.2f} {name} at best, {middle:.2f} in the median")


if __name__ == "__main__":
    main()
