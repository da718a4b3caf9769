"""What asking first what splits the candidates adds to asking in the pool's order: R@1 after each of six questions.

    ctgi synth people --identities 121 --val 40 --test 80 --seed 86028121
    ctgi caption people/imgs --out captions.jsonl
    python -m benchmarks.splitting people captions.jsonl [--split test] [--limit 300] [--users person anchor]

Each query describes one image, and a user who sees that image answers: a person who tells what is true of it, or the
bound model (the anchor that a perfect verifier would confirm). Both orders are measured on the same queries: witnesses'
descriptions, and a few words as one types them; retrieval by images alone, and by images and captions.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.embedded_answers import type_query
from benchmarks.machine import describe_machine
from ctgi.agents.abilities import askable
from ctgi.agents.assemble import open_tools
from ctgi.agents.judge import Judge
from ctgi.agents.pool import QuestionPool, load_pool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.splitting import SplittingQuestioner, StoredCaptions
from ctgi.agents.writers import TemplateAggregator
from ctgi.config import Settings, load_settings
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, caption_vectors, with_captions
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.fusion import MODES, blend
from ctgi.retrieval.images import ImageRef
from ctgi.retrieval.resampling import compare
from ctgi.runs.captioned import CaptionsOnDisk
from ctgi.runs.evaluate import DataSpec, encode
from ctgi.runs.events import Logged
from ctgi.synth.dataset import TABLE
from ctgi.synth.person import Person, View
from ctgi.synth.table import read_rows
from ctgi.tools.protocols import ProposeQuestions, SearchGallery
from ctgi.tools.types import Candidate, Fact, Ranking, Refinement, Reply
from recipes.embedded.answers import Scene, answer

TURNS = 6


@dataclass(frozen=True)
class People:
    """The images of a split with their truth, their captions and their vectors."""

    images: tuple[ImageRef, ...]
    pids: NDArray[np.int64]
    scenes: tuple[Scene, ...]
    stored: StoredCaptions
    rows: Mapping[str, NDArray[np.float32]]
    """By what is searched: images alone, or captions too; [G, D]."""

    def read(self) -> StoredCaptions:
        """What tells the candidates apart."""
        return self.stored


@dataclass(frozen=True)
class Query:
    """What is said of one image."""

    text: str
    row: int


def read_people(
    root: Path, captions: Path, split: str, encoder: Encoder, settings: Settings
) -> tuple[People, list[Query]]:
    """The people of a split, and their witnesses' descriptions."""
    whole, _ = DataSpec("rstp", root, split).load(Logged())
    encoded = encode(whole, encoder, settings, root / ".features", Logged())
    table = {(root / row["path"]).name: row for row in read_rows(root / TABLE)}
    truth = [table[Path(image.path).name] for image in encoded.images]
    scenes = [Scene(Person(**row["person"]), View(**row["view"]), frozenset(row["visible"])) for row in truth]
    stored = CaptionsOnDisk(captions)
    told = [(row, stored[image.sha256].caption) for row, image in enumerate(encoded.images) if image.sha256 in stored]
    owners = np.array([row for row, _ in told])
    vectors = caption_vectors([text for _, text in told], encoder)
    rows = {
        "images": encoded.image_features,
        "images and captions": with_captions(encoded.image_features, owners, vectors, CAPTION_WEIGHT),
    }
    people = People(encoded.images, np.array(encoded.split.image_pids), tuple(scenes), stored, rows)
    said = zip(encoded.split.captions, encoded.split.caption_images, strict=True)
    return people, [Query(text, row) for text, row in said]


def spread(queries: Sequence[Query], count: int) -> list[Query]:
    """So many of them, of as many images as can be."""
    count = min(count, len(queries))
    return [queries[number * len(queries) // count] for number in range(count)]


def typed(people: People, count: int) -> list[Query]:
    """A few words about images drawn at random."""
    rng = Random(0)
    seen = [row for row, scene in enumerate(people.scenes) if {"upper", "lower"} <= scene.visible]
    return [Query(type_query(people.scenes[row], rng)[0], row) for row in rng.sample(seen, min(count, len(seen)))]


@dataclass(frozen=True)
class Interview:
    """How a user is asked about the image that a query describes."""

    propose: ProposeQuestions
    answer: Callable[[int, str, str], Awaitable[Reply]]
    """(row, attribute, question) -> what the user says."""
    pool: QuestionPool
    judge: Judge
    at_once: int = TURNS
    """Questions chosen together; with 1 each is chosen after the answers before it."""

    async def __call__(self, people: People, query: Query) -> list[str]:
        """The query after 0, 1, 2 ... questions."""
        texts, asked, facts = [query.text], list[str](), list[Fact]()
        while len(asked) < TURNS:
            proposed = await self.propose(people.images[query.row], texts[-1], count=self.at_once, asked=asked)
            for attribute, question in proposed.items:
                said = await self.answer(query.row, attribute, question)
                known = [query.text, *(fact.statement for fact in facts)]
                judged = await self.judge(people.images[query.row], self.pool.question_about(attribute), said, known)
                if judged.reason is None:
                    facts.append(Fact(question, said.text, judged.statement))
                asked.append(attribute)
                texts.append((await TemplateAggregator()(query.text, facts)).text)
            if len(proposed.items) < self.at_once:
                break
        return texts


class Vectors(dict[str, NDArray[np.float32]]):
    """The vectors of texts, encoded once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __missing__(self, text: str) -> NDArray[np.float32]:
        self[text] = self._encoder.encode_texts([text]).vectors[0]
        return self[text]


def searching(people: People, searched: str, vectors: Vectors) -> SearchGallery:
    """search_gallery by what is searched."""

    async def search(query: str, k: int, *, refinement: Refinement | None = None) -> Ranking:
        scores = people.rows[searched] @ vectors[query]
        best = [(int(row), float(scores[row])) for row in np.argsort(-scores, kind="stable")[:k]]
        return Ranking(tuple(Candidate(people.images[row], one, one, at) for at, (row, one) in enumerate(best, 1)))

    return search


@dataclass(frozen=True)
class Searching:
    """What is searched for what is said."""

    people: People
    searched: str
    """One of `People.rows`."""
    queries: Sequence[Query]
    vectors: Vectors
    lam: float

    async def measure(self, interviews: Mapping[str, Interview]) -> None:
        """A row for each way of asking, and how they differ from the first, query by query."""
        found = {}
        for name, interview in interviews.items():
            dialogues = [await interview(self.people, query) for query in self.queries]
            found[name] = self.hits(dialogues)
            asked = np.mean([len(texts) - 1 for texts in dialogues])
            shares = "  ".join(f"{100 * share:5.1f}" for share in found[name].mean(axis=0))
            print(f"    {name:24} {shares}   {asked:.2f} questions", flush=True)
        first, *others = interviews
        for name in others:
            self.compare(name, found[first], found[name])

    def hits(self, dialogues: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
        """Whether the first image shows the right person (Eq. 7 without an anchor), [Q, 1 + TURNS]."""
        found = np.zeros((len(self.queries), TURNS + 1), bool)
        rows, pids = self.people.rows[self.searched], self.people.pids
        for number, (query, texts) in enumerate(zip(self.queries, dialogues, strict=True)):
            plain = rows @ self.vectors[query.text]
            for turn in range(TURNS + 1):
                text = texts[min(turn, len(texts) - 1)]
                scores = (
                    plain if text == query.text else blend(plain, rows @ self.vectors[text], [], self.lam, MODES[0])
                )
                found[number, turn] = pids[int(scores.argmax())] == pids[query.row]
        return found

    def compare(self, name: str, first: NDArray[np.bool_], other: NDArray[np.bool_]) -> None:
        """Queries that only one of two ways puts first, after each question; the difference at the end."""
        won, lost = (other & ~first).sum(axis=0), (first & ~other).sum(axis=0)
        pairs = "  ".join(f"{a:2}:{b:<2}" for a, b in zip(won, lost, strict=True))
        people = [int(self.people.pids[query.row]) for query in self.queries]
        told = compare({"R@1": 100.0 * first[:, -1]}, {"R@1": 100.0 * other[:, -1]}, people)["R@1"]
        low, high = told.interval or (0.0, 0.0)
        print(f"    {name + ', +:-':24} {pairs}   {told.gain:+.1f} ({low:+.1f} to {high:+.1f}), p {told.p:.2f}")


async def report(options: argparse.Namespace) -> None:
    """Print the tables."""
    settings = load_settings(binds=options.bind)
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    people, described = read_people(options.people, options.captions, options.split, encoder, settings)
    vectors, pool, judge = Vectors(encoder), load_pool(), Judge(settings.mtg)
    queries = {"descriptions": spread(described, options.limit), "a few words": typed(people, options.limit)}
    async with open_tools(settings, ("answer_question",), pool) as tools:
        said: dict[tuple[int, str], Reply] = {}

        async def person(row: int, attribute: str, question: str) -> Reply:
            return Reply(answer(attribute, people.scenes[row]))

        async def anchor(row: int, attribute: str, question: str) -> Reply:
            if (row, question) not in said:
                said[row, question] = await tools["answer_question"](people.images[row], question)
            return said[row, question]

        users = {"person": (person, pool), "anchor": (anchor, askable(pool, settings))}
        for user in options.users:
            answering, asked = users[user]
            for searched in people.rows:
                search = searching(people, searched, vectors)
                splitting = SplittingQuestioner(asked, people.read, search)
                interviews = {
                    "pool's order": Interview(TemplateQuestioner(asked), answering, asked, judge),
                    "what splits": Interview(splitting, answering, asked, judge),
                    "what splits, one by one": Interview(splitting, answering, asked, judge, 1),
                }
                for kind, chosen in queries.items():
                    print(f"{user} answers; {kind}: {len(chosen)} queries; {searched} of {len(people.images)} searched")
                    await Searching(people, searched, chosen, vectors, settings.mti.lam).measure(interviews)


def main() -> None:
    """Print the machine and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=300, help="queries of each kind")
    parser.add_argument("--users", nargs="+", choices=("person", "anchor"), default=("person", "anchor"))
    parser.add_argument("--bind", action="append", default=[])
    options = parser.parse_args()
    print(describe_machine())
    asyncio.run(report(options))


if __name__ == "__main__":
    main()
