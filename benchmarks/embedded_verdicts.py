"""When a match is confident: searches for people who are in a gallery, for people who are not, and for nonsense.

    ctgi synth people --identities 121 --val 40 --test 80 --seed 86028121
    python -m benchmarks.embedded_verdicts people [--out runs/verdicts] [--bind images=...] [--write]

Each witness's description is sought in its split twice: among all images, and without those of the person described.
The 20 best candidates by the bound retriever are judged; replies are kept in `--out`. Rules are chosen on the val split
and measured on the test split. `threshold`: P(yes) above it is a yes. `near` and `deep`: a yes below rank `near` must
exceed `deep`. Chosen are those with the most searches that end right: with the right anchor where the person is there,
with none where not. R@1 is that of people who are there, with the anchor raised (Eq. 7 without an answer). Nonsense
counts as it is judged here; `ctgi search` gives descriptions of mostly unknown words to no embedded model.
`--write` stores the threshold chosen with the embedded verifier, in abilities.json.
"""

import argparse
import asyncio
import datetime
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.embedded_answers import type_query
from benchmarks.machine import describe_machine
from ctgi.agents.abilities import measured, trust_in
from ctgi.agents.trust import EVERY_YES, Trust
from ctgi.agents.verifier import Verifier
from ctgi.config import MtiSettings, Settings, load_settings
from ctgi.embedded import ABILITIES
from ctgi.retrieval.benchmarks.sampling import spread_queries
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.evaluate import EncodedSplit
from ctgi.retrieval.resampling import compare
from ctgi.runs.evaluate import DataSpec, encode
from ctgi.runs.events import Logged
from ctgi.synth.dataset import TABLE
from ctgi.synth.person import Person, View
from ctgi.synth.table import read_rows
from ctgi.tools.backends import open_mllm
from ctgi.tools.chat_cache import open_chat_cache
from recipes.embedded.answers import Scene

CANDIDATES = 20
LAM = MtiSettings().lam
THRESHOLDS = tuple(round(0.5 + 0.02 * step, 2) for step in range(25))
NEAR = (1, 2, 3, 5, 8, 12)
NONSENSE = (
    "an elephant riding a spaceship", "a bowl of noodle soup", "quarterly revenue in millions",
    "a green dragon with wings", "the Eiffel tower at night", "two cats asleep on a piano",
    "a diver with a surfboard under water", "asdf qwer zxcv", "a knight in armor on a horse",
    "a giraffe in a red jacket", "snow on a mountain", "a robot holding a violin",
    "a red truck on the highway", "a black dog without a leash", "the president of France",
    "a wooden chair by a window", "a yellow submarine", "a baby in a blue stroller", "an astronaut on the moon",
    "three bananas and an apple", "a white horse in a green field", "a football team in red shirts",
    "a snowman with a black hat", "the letter Q",
)  # fmt: skip
"""The first half for validation."""


@dataclass(frozen=True)
class Judged:
    """A search: P(yes) of its candidates in rank order, whether each is the right person, and the scores."""

    described: int
    """The person described; below 0 for nobody."""
    is_there: bool
    p: tuple[float, ...]
    right: tuple[bool, ...]
    scores: tuple[float, ...]

    def without_the_person(self) -> "Judged":
        """The same search where the person is absent."""
        kept = [place for place, right in enumerate(self.right) if not right]
        p, right, scores = ([values[place] for place in kept] for values in (self.p, self.right, self.scores))
        return Judged(self.described, False, tuple(p), tuple(right), tuple(scores))

    def anchor(self, threshold: float, trust: Trust) -> int | None:
        """Place of the first candidate that is confirmed, among those that a search verifies."""
        judged = enumerate(self.p[:CANDIDATES])
        return next((at for at, p in judged if p > threshold and not trust.doubt(p, at + 1)), None)

    def is_right(self, threshold: float, trust: Trust) -> bool:
        """Whether the anchor shows the right person; where the person is absent, whether there is none."""
        at = self.anchor(threshold, trust)
        return at is not None and self.right[at] if self.is_there else at is None

    def hit(self, threshold: float, trust: Trust) -> bool:
        """Whether the first image shows the right person once the anchor has risen."""
        at = self.anchor(threshold, trust)
        raised = -1.0 if at is None else LAM * self.scores[at] + 1 - LAM
        return self.right[at if at is not None and raised > self.scores[0] else 0]


Groups = Mapping[str, Sequence[Judged]]
"""Searches by kind."""
Rule = tuple[float, Trust]


@dataclass(frozen=True)
class Sought:
    """What a text says of one image of a split."""

    text: str
    pid: int


def described(encoded: EncodedSplit, count: int) -> list[Sought]:
    """Descriptions, drawn over all people as `ctgi evaluate --limit` draws them."""
    split = encoded.split
    return [
        Sought(split.captions[row], split.caption_pids[row]) for row in spread_queries(split.caption_pids, count, 0)
    ]


def typed(encoded: EncodedSplit, root: Path, count: int) -> list[Sought]:
    """A few words about images drawn at random, as one types them."""
    rng, table = Random(0), {Path(row["path"]).name: row for row in read_rows(root / TABLE)}
    said = []
    for image, pid in zip(encoded.images, encoded.split.image_pids, strict=True):
        row = table[Path(image.path).name]
        scene = Scene(Person(**row["person"]), View(**row["view"]), frozenset(row["visible"]))
        if {"upper", "lower"} <= scene.visible:
            said.append(Sought(type_query(scene, rng)[0], pid))
    return rng.sample(said, min(count, len(said)))


async def judge(encoded: EncodedSplit, sought: Iterable[Sought], encoder: Encoder, verify: Verifier) -> list[Judged]:
    """Every search's candidates, judged: as many as are needed when the person's images are left out."""
    pids, found = np.array(encoded.split.image_pids), []
    for one in sought:
        scores: NDArray[np.float32] = encoded.image_features @ encoder.encode_texts([one.text]).vectors[0]
        order = np.argsort(-scores, kind="stable")
        last = int(np.flatnonzero(np.cumsum(pids[order] != one.pid) == CANDIDATES)[0]) + 1
        rows = order[:last].tolist()
        verdicts = await asyncio.gather(*(verify(encoded.images[row], one.text) for row in rows))
        p = [verdict.probability if verdict.probability is not None else float(verdict.match) for verdict in verdicts]
        right = (pids[rows] == one.pid).tolist()
        found.append(Judged(one.pid, one.pid >= 0, tuple(p), tuple(right), tuple(map(float, scores[rows]))))
    return found


async def judge_split(
    root: Path, split: str, options: argparse.Namespace, settings: Settings
) -> dict[str, list[Judged]]:
    """The searches of a split by kind."""
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    chosen, _ = DataSpec("rstp", root, split).load(Logged())
    encoded = encode(chosen, encoder, settings, root / ".features", Logged())
    binding = settings.binding("verify_match")
    with open_chat_cache(options.out / "calls.sqlite") as cache:
        mllm = open_mllm(binding, settings)
        try:
            verify = Verifier(cache.wrap(binding, settings, mllm))
            present = await judge(encoded, described(encoded, options.searches), encoder, verify)
            few = await judge(encoded, typed(encoded, root, options.searches // 3), encoder, verify)
            half = NONSENSE[: len(NONSENSE) // 2] if split == "val" else NONSENSE[len(NONSENSE) // 2 :]
            nonsense = await judge(encoded, [Sought(text, -1 - at) for at, text in enumerate(half)], encoder, verify)
        finally:
            await mllm.aclose()
    absent = [one.without_the_person() for one in present]
    return {"present": present, "absent": absent, "nonsense": nonsense, "typed": few}


Measure = Callable[[Judged, Rule], bool]
MEASURES: Mapping[str, tuple[str, Measure]] = {
    "right anchor": ("present", lambda one, rule: one.is_right(*rule)),
    "false anchor": ("present", lambda one, rule: one.anchor(*rule) is not None and not one.is_right(*rule)),
    "false anchor, person absent": ("absent", lambda one, rule: one.anchor(*rule) is not None),
    "nonsense confirmed": ("nonsense", lambda one, rule: one.anchor(*rule) is not None),
    "a few words confirmed": ("typed", lambda one, rule: one.anchor(*rule) is not None),
    "R@1": ("present", lambda one, rule: one.hit(*rule)),
    "R@1 without anchors": ("present", lambda one, rule: one.right[0]),
}
"""Names of columns: the group and what is counted in it."""


def shares(groups: Groups, rule: Rule) -> dict[str, NDArray[np.float64]]:
    """Per cent of each search, 0 or 100, by measure."""
    return {
        name: np.array([100.0 * counts(one, rule) for one in groups[kind]]) for name, (kind, counts) in MEASURES.items()
    }


def print_row(name: str, groups: Groups, rule: Rule) -> None:
    """What a rule does."""
    print(
        f"    {name:34}", "  ".join(f"{measure} {found.mean():5.1f}" for measure, found in shares(groups, rule).items())
    )


def print_gain(groups: Groups, first: Rule, second: Rule) -> None:
    """How a rule differs from another on the same searches, with intervals over people."""
    before, after = shares(groups, first), shares(groups, second)
    for name, (kind, _) in MEASURES.items():
        people = [one.described for one in groups[kind]]
        told = compare({name: before[name]}, {name: after[name]}, people)[name]
        low, high = told.interval or (0.0, 0.0)
        more, fewer = int((after[name] > before[name]).sum()), int((after[name] < before[name]).sum())
        print(
            f"        {name:28} {told.gain:+6.1f} ({low:+.1f} to {high:+.1f}); in {more} searches more, {fewer} fewer"
        )


def ended_right(groups: Groups, rule: Rule) -> float:
    """Share of searches: mean over people who are there and people who are not."""
    return float(np.mean([np.mean([one.is_right(*rule) for one in groups[kind]]) for kind in ("present", "absent")]))


def chosen_threshold(groups: Groups) -> Rule:
    """With the most searches that end right; of equals the lowest, because a few words get a lower P(yes)."""
    rules = [(threshold, EVERY_YES) for threshold in THRESHOLDS]
    return max(rules, key=lambda rule: (ended_right(groups, rule), -rule[0]))


def chosen_by_rank(groups: Groups) -> Rule:
    """The same with `near` and `deep`."""
    pairs = itertools.product(THRESHOLDS, NEAR, THRESHOLDS)
    rules = [(threshold, Trust(near, deep)) for threshold, near, deep in pairs if deep > threshold]
    return max(rules, key=lambda rule: (ended_right(groups, rule), -rule[0], -rule[1].deep))


def report(groups: Mapping[str, Groups], ships: Rule) -> Rule:
    """Print what each rule does to both splits; the threshold that was chosen, which alone is stored (decision 7)."""
    plain, by_rank = chosen_threshold(groups["val"]), chosen_by_rank(groups["val"])
    rules = {
        "every yes above 0.5": (0.5, EVERY_YES),
        f"ships: {told(ships)}": ships,
        f"by threshold: {told(plain)}": plain,
        f"by threshold and rank: {told(by_rank)}": by_rank,
    }
    for split, found in groups.items():
        print(f"{split}:", ", ".join(f"{len(searches)} {kind}" for kind, searches in found.items()))
        for threshold in THRESHOLDS[::2]:
            print_row(f"{threshold:.2f}", found, (threshold, EVERY_YES))
        for name, rule in rules.items():
            print_row(name, found, rule)
    for name, rule in list(rules.items())[1:]:
        print(f"test, {name}, against every yes above 0.5")
        print_gain(groups["test"], (0.5, EVERY_YES), rule)
    return plain


def told(rule: Rule) -> str:
    """A rule in words."""
    threshold, trust = rule
    return f"{threshold:.2f}" + ("" if trust.near is None else f", below rank {trust.near} {trust.deep:.2f}")


async def judge_all(options: argparse.Namespace, settings: Settings) -> dict[str, dict[str, list[Judged]]]:
    """Both splits, one after the other."""
    return {split: await judge_split(options.people, split, options, settings) for split in ("val", "test")}


def stored_rule() -> Rule:
    """What ships with the embedded verifier."""
    return float(measured()["verify_match"]["threshold"]), trust_in(load_settings())


def write(rule: Rule, test: Groups) -> None:
    """Keep the rule and what it did on the test split beside the embedded verifier."""
    known = json.loads(ABILITIES.read_text(encoding="utf-8"))
    threshold, trust = rule
    deep = {} if trust.near is None else {"near": trust.near, "deep": trust.deep}
    found = {name: round(values.mean() / 100, 3) for name, values in shares(test, rule).items()}
    searches = {kind: len(judged) for kind, judged in test.items()}
    made = {"date": datetime.date.today().isoformat(), "machine": describe_machine()}
    known["verify_match"] = {"threshold": threshold, **deep, "test": found, "searches": searches, **made}
    ABILITIES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Print the tables; perhaps store the rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--searches", type=int, default=100, help="descriptions of each split")
    parser.add_argument("--out", type=Path, default=Path("runs/verdicts"))
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(describe_machine(), flush=True)
    groups = asyncio.run(judge_all(options, load_settings(binds=options.bind)))
    rule = report(groups, stored_rule())
    print(f"chosen: {told(rule)}")
    if options.write:
        write(rule, groups["test"])


if __name__ == "__main__":
    main()
