"""When verify_match confirms: searches for people who are in a gallery, for people who are not, and for nonsense.

    ctgi synth here --identities 40 --val 0 --test 39 --seed 2024
    ctgi synth elsewhere --identities 40 --val 0 --test 39 --seed 2025
    python -m benchmarks.embedded_verdicts here elsewhere [--bind images=...] [--searches 40] [--write]

Each search verifies the 20 best images of `here` by the bound retriever. For each threshold of P(yes): the share of
searches in which a candidate is confirmed, and for people who are there, in which the first one confirmed is the right
person; `typed` are a few words about people who are there. The threshold chosen has the most right anchors; of equals
the lowest, because the few words that one types get a lower P(yes) than the witnesses' long descriptions.

A yes further down is more often a mistake, so below rank `near` P(yes) must exceed `deep`. Of the pairs that lose at
most 2 % of the right anchors, the one with the fewest anchors for people who are absent and for nonsense is chosen,
on one half of the searches; both halves are printed, so that the second shows what it is worth. `--write` puts
thresholds and rows into the embedded models' abilities.json.
"""

import argparse
import asyncio
import datetime
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.embedded_answers import read_scenes, type_query
from benchmarks.machine import describe_machine
from ctgi.agents.trust import Trust
from ctgi.agents.verifier import Verifier
from ctgi.config import Settings, load_settings
from ctgi.embedded import ABILITIES
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.synth.witness import describe
from ctgi.tools.backends import open_mllm
from recipes.embedded.answers import Scene

CANDIDATES = 20
THRESHOLDS = tuple(round(0.5 + 0.02 * step, 2) for step in range(25))
NEAR = (1, 2, 3, 5, 8, 12)
LOSS = 0.02
NONSENSE = (
    "an elephant riding a spaceship",
    "a bowl of noodle soup",
    "quarterly revenue in millions",
    "a green dragon with wings",
    "the Eiffel tower at night",
    "two cats asleep on a piano",
    "a diver with a surfboard under water",
    "asdf qwer zxcv",
    "a knight in armor on a horse",
    "a giraffe in a red jacket",
    "snow on a mountain",
    "a robot holding a violin",
)

Searched = list[tuple[float, bool]]
"""P(yes) of the candidates in rank order, and whether each shows the person described."""


def descriptions(scenes: Sequence[tuple[Path, Scene]], count: int, rng: Random) -> list[tuple[str, Scene]]:
    """What a witness would write of images drawn at random."""
    chosen = rng.sample(list(scenes), count)
    return [(describe(scene.person, scene.view, scene.visible, rng), scene) for _, scene in chosen]


async def search_all(settings: Settings, queries: list[tuple[str, Scene | None]], folder: Path) -> list[Searched]:
    """Every candidate of every search, judged."""
    scenes = {path.resolve(): scene for path, scene in read_scenes(folder)}
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    with tempfile.TemporaryDirectory() as temporary:
        build_gallery([str(path) for path in scenes], Path(temporary) / "gallery", encoder, settings.retriever)
        gallery = open_gallery(Path(temporary) / "gallery", encoder)
        found = [gallery.search(text, CANDIDATES).candidates for text, _ in queries]
    mllm = open_mllm(settings.binding("verify_match"), settings)
    verify = Verifier(mllm)
    try:
        searched = []
        for (text, scene), candidates in zip(queries, found, strict=True):
            verdicts = await asyncio.gather(*(verify(candidate.image, text) for candidate in candidates))
            right = [
                scene is not None and scenes[Path(candidate.image.path).resolve()].person == scene.person
                for candidate in candidates
            ]
            searched.append([(verdict.probability or 0.0, ok) for verdict, ok in zip(verdicts, right, strict=True)])
        return searched
    finally:
        await mllm.aclose()


def confirmed(searches: list[Searched], threshold: float) -> tuple[float, float]:
    """Shares of the searches with an anchor, and with the right one."""
    anchors = [next((ok for p, ok in search if p > threshold), None) for search in searches]
    return float(np.mean([anchor is not None for anchor in anchors])), float(np.mean([bool(a) for a in anchors]))


def sure(searches: list[Searched], threshold: float, trust: Trust) -> tuple[float, float]:
    """The same, where a yes must also be sure enough for its rank."""
    doubted = [
        [(0.0 if trust.doubt(p, rank) else p, ok) for rank, (p, ok) in enumerate(search, 1)] for search in searches
    ]
    return confirmed(doubted, threshold)


def calibrated(groups: dict[str, list[Searched]], threshold: float) -> Trust:
    """The strictest pair of `near` and `deep` that loses few right anchors."""
    present, others = groups["present"], groups["absent"] + groups["nonsense"]
    least = confirmed(present, threshold)[1] - LOSS
    pairs = [Trust(near, deep) for near in NEAR for deep in THRESHOLDS if deep >= threshold]
    allowed = [trust for trust in pairs if sure(present, threshold, trust)[1] >= least] or [Trust()]
    return min(allowed, key=lambda trust: (sure(others, threshold, trust)[0], trust.deep))


def print_trust(groups: dict[str, list[Searched]], threshold: float, trust: Trust) -> dict[str, float]:
    """What the pair does to each group, on the half it was chosen on and on the other; the other's figures."""
    row: dict[str, float] = {}
    for name, half in (("chosen on", slice(None, None, 2)), ("held out", slice(1, None, 2))):
        for label, one in (("every yes", Trust()), ("sure", trust)):
            held = {group: sure(searches[half], threshold, one)[0] for group, searches in groups.items()}
            held["present_right"] = sure(groups["present"][half], threshold, one)[1]
            print(f"{name}, {label}:", "  ".join(f"{group} {value:.2f}" for group, value in held.items()))
            row = held
    return {f"sure_{group}": round(value, 3) for group, value in row.items()}


def main() -> None:
    """Print the table; perhaps write the threshold down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("here", type=Path)
    parser.add_argument("elsewhere", type=Path)
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    settings, rng = load_settings(binds=options.bind), Random(0)
    there = descriptions(read_scenes(options.here), options.searches, rng)
    absent = [(text, None) for text, _ in descriptions(read_scenes(options.elsewhere), options.searches, rng)]
    sought: dict[str, list[tuple[str, Scene | None]]] = {
        "present": list(there),
        "absent": absent,
        "nonsense": [(text, None) for text in NONSENSE],
        "typed": [(type_query(scene, rng)[0], scene) for _, scene in there if {"upper", "lower"} <= scene.visible],
    }
    searched = asyncio.run(
        search_all(settings, [query for queries in sought.values() for query in queries], options.here)
    )
    ends = list(itertools.accumulate(map(len, sought.values())))
    groups = {
        name: searched[end - len(queries) : end] for (name, queries), end in zip(sought.items(), ends, strict=True)
    }
    rows = [
        {"threshold": threshold, "present_right": confirmed(groups["present"], threshold)[1]}
        | {name: confirmed(group, threshold)[0] for name, group in groups.items()}
        for threshold in THRESHOLDS
    ]
    print(describe_machine())
    print(f"{options.searches} searches for people there, as many for others, {len(NONSENSE)} for nonsense")
    for row in rows[::2]:
        print("  ".join(f"{name} {value:.2f}" for name, value in row.items()))
    best = max(rows, key=lambda row: (row["present_right"], -row["threshold"]))
    print("chosen:", "  ".join(f"{name} {value:.2f}" for name, value in best.items()))
    half = {name: searches[::2] for name, searches in groups.items()}
    trust = calibrated(half, best["threshold"])
    print(f"sure: every yes up to rank {trust.near}, below it P(yes) above {trust.deep}")
    sure_row = print_trust(groups, best["threshold"], trust)
    if options.write:
        measured = {
            "searches": options.searches,
            "date": datetime.date.today().isoformat(),
            "machine": describe_machine(),
        }
        known = json.loads(ABILITIES.read_text(encoding="utf-8")) if ABILITIES.exists() else {}
        known["verify_match"] = {name: round(value, 3) for name, value in best.items()} | measured
        if trust.near is not None:
            known["verify_match"] |= {"near": trust.near, "deep": trust.deep} | sure_row
        ABILITIES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
