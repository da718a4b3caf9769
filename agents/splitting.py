"""Asks what tells the likeliest candidates apart, by the captions and answers that MTG stored of their images."""

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from ctgi.agents.pool import PoolQuestion, QuestionPool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.statements import why_unusable
from ctgi.agents.wording import meaning
from ctgi.retrieval.images import ImageRef
from ctgi.tools.protocols import SearchGallery
from ctgi.tools.types import Questions

CANDIDATES = 20
LEAST_GAIN = 0.05
"""Bits that a question must be expected to tell; below it the order of the candidates is settled."""
_SHARPNESS = 20.0
"""A candidate is e times as likely as one whose score is 1/20 lower; near the likeliest on validation queries."""


@dataclass(frozen=True)
class Stored:
    """What MTG told of an image."""

    caption: str
    answers: Mapping[str, str] = field(default_factory=dict)
    """By attribute."""


StoredCaptions = Mapping[str, Stored]
"""By sha256 of the image."""
ReadStored = Callable[[], StoredCaptions]
"""What is stored now; may take seconds."""


@dataclass(frozen=True)
class SplittingQuestioner:
    """propose_questions without a model: the pool's open questions, those first that split the candidates best."""

    pool: QuestionPool
    read: ReadStored
    search: SearchGallery

    async def __call__(self, image: ImageRef | None, query: str, *, count: int, asked: Sequence[str] = ()) -> Questions:
        """Each question is chosen for what it tells beyond those before it; ends where nothing tells enough.

        Where nothing stored tells the candidates apart, the first questions are the pool's in order.
        """
        chosen = await self._splitting(query, count, asked)
        if chosen or asked:
            return Questions(tuple((one.attribute, one.question) for one in chosen))
        return await TemplateQuestioner(self.pool)(image, query, count=count, asked=asked)

    async def _splitting(self, query: str, count: int, asked: Sequence[str]) -> list[PoolQuestion]:
        candidates = (await self.search(query, CANDIDATES)).candidates
        stored = await asyncio.to_thread(self.read)
        known = [stored.get(candidate.image.sha256) for candidate in candidates]
        likely = _likelihoods([candidate.score for candidate in candidates])
        values = {
            one: [told and value_of(self.pool, one, told) for told in known]
            for one in self.pool.questions
            if one.attribute not in asked and self._is_open(one, query)
        }
        chosen: list[PoolQuestion] = []
        groups: list[Hashable] = [()] * len(candidates)
        while values and len(chosen) < count:
            gains = {one: gain(likely, groups, told) for one, told in values.items()}
            best = max(gains, key=lambda one: gains[one])
            if gains[best] < LEAST_GAIN:
                break
            chosen.append(best)
            groups = list(zip(groups, values.pop(best), strict=True))
        return chosen

    def _is_open(self, question: PoolQuestion, query: str) -> bool:
        """Whether the query leaves it open; the color of a bag, once the query tells of a bag."""
        first = self.pool.by_attribute(question.after)
        return not self.pool.is_settled(question, query) and (first is None or self.pool.is_settled(first, query))


def gain(likely: Sequence[float], groups: Sequence[Hashable], values: Sequence[Hashable | None]) -> float:
    """Bits that an answer is expected to tell about which candidate it is, within groups already told apart.

    Args:
        likely: probability of each candidate.
        groups: candidates in one group cannot be told apart so far.
        values: what the answer would be for each candidate; None: not known, so the answer tells nothing of it.
    """
    masses: dict[Hashable, dict[Hashable, float]] = {}
    for probability, group, value in zip(likely, groups, values, strict=True):
        if value is not None:
            answers = masses.setdefault(group, {})
            answers[value] = answers.get(value, 0.0) + probability
    return sum(_entropy(list(answers.values())) for answers in masses.values())


def _entropy(masses: Sequence[float]) -> float:
    """Entropy in bits, times the total mass."""
    total = sum(masses)
    return -sum(mass * math.log2(mass / total) for mass in masses if mass > 0)


def _likelihoods(scores: Sequence[float]) -> list[float]:
    best = max(scores, default=0.0)
    masses = [math.exp(_SHARPNESS * (score - best)) for score in scores]
    return [mass / sum(masses) for mass in masses]


def value_of(pool: QuestionPool, question: PoolQuestion, told: Stored) -> frozenset[str] | None:
    """What is known of an image in answer to a question, alike for what means the same.

    Empty for "nothing there"; None where neither an answer nor the caption tells.
    """
    answer = told.answers.get(question.attribute, "")
    unusable = why_unusable(question.question, answer, question.bland)
    if unusable == "nothing there":
        return frozenset()
    words = pool.told(question, told.caption) if unusable else pool.named(question, answer) or meaning(answer)
    said = {name for word in words or () if word not in question.bland for name in meaning(word) or (word,)}
    return frozenset(said) or None
