"""The filter of dialogues (paper, section 3.2) in two parts: relevance to the image, redundancy with known facts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from ctgi.agents.grammar import COLORS, is_clause, is_noun_phrase, join_and
from ctgi.agents.languages import without_yes
from ctgi.agents.pool import PoolQuestion
from ctgi.agents.statements import state, why_unusable
from ctgi.agents.wording import contradiction, meaning, share_said
from ctgi.config import MtgSettings
from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Reply


class Similarity(Protocol):
    """Embeddings for comparing statements: the retriever's, if the judge is "clip"."""

    async def to_image(self, text: str, image: ImageRef) -> float:
        """Cosine of a text and an image."""
        ...

    async def to_texts(self, text: str, others: Sequence[str]) -> list[float]:
        """Cosine of a text to each of the others."""
        ...


@dataclass(frozen=True)
class Judgment:
    """The decision about an answer: the statement to keep, or the reason for dropping it."""

    statement: str
    reason: str | None
    """None for a kept answer, else "unusable: ...", "irrelevant: ...", "redundant: ..." or "contradictory: ..."."""


@dataclass(frozen=True)
class Judge:
    """Keeps or drops one answer at a time. The paper gives no metric: see docs/decisions."""

    settings: MtgSettings
    similarity: Similarity | None = None

    async def __call__(self, image: ImageRef, question: PoolQuestion, answer: Reply, known: Sequence[str]) -> Judgment:
        """Both parts: `relevance`, then `dedupe` if the answer passed."""
        judgment = await self.relevance(image, question, answer, known)
        return judgment if judgment.reason else await self.dedupe(question, answer, known)

    async def relevance(self, image: ImageRef, question: PoolQuestion, answer: Reply, known: Sequence[str]) -> Judgment:
        """Whether an answer is usable and about the image ("low semantic relevance" in section 3.2)."""
        unusable = why_unusable(question.question, answer.text, question.bland)
        if unusable:
            return Judgment("", f"unusable: {unusable}")
        statement = state(question, self._without_known(question, answer.text, known))
        if statement is None:
            return Judgment("", "unusable: a bare yes")
        return Judgment(statement, await self._why_irrelevant(image, answer, statement))

    async def dedupe(self, question: PoolQuestion, answer: Reply, known: Sequence[str]) -> Judgment:
        """Whether a relevant answer adds to known facts without contradicting them ("redundant" in section 3.2).

        Known facts are the sentences of the description and of the kept turns. If the answer is a list or several
        sentences, its known parts are left out of the statement.
        """
        new = self._without_known(question, answer.text, known)
        statement = state(question, new) or ""
        redundant = await self._why_redundant(new, statement, known)
        clash = None if redundant else contradiction(statement, known)
        return Judgment(statement, f"contradictory: {clash}" if clash else redundant)

    def _without_known(self, question: PoolQuestion, answer: str, known: Sequence[str]) -> str:
        """The new items of an answer; the whole answer if none is new, or if it is one item."""
        items = _items(answer)
        new = [
            item
            for item in items
            if max((overlap(item, state(question, item) or item, text) for text in known), default=0.0)
            < self.settings.max_overlap
        ]
        if self.similarity or len(items) < 2 or not new or len(new) == len(items):
            return answer
        return " ".join(new) if is_clause(items[0]) else join_and(new)

    async def _why_irrelevant(self, image: ImageRef, answer: Reply, statement: str) -> str | None:
        floor = self.settings.min_confidence
        if answer.confidence is not None and answer.confidence < floor:
            return f"irrelevant: confidence {answer.confidence:.2f} < {floor:.2f}"
        if self.similarity:
            cosine = await self.similarity.to_image(statement, image)
            if cosine < self.settings.min_image_similarity:
                return f"irrelevant: image similarity {cosine:.2f} < {self.settings.min_image_similarity:.2f}"
        return None

    async def _why_redundant(self, answer: str, statement: str, known: Sequence[str]) -> str | None:
        if not known:
            return None
        if self.similarity:
            nearest, limit = (
                max(await self.similarity.to_texts(statement, known)),
                self.settings.max_text_similarity,
            )
        else:
            nearest, limit = max(overlap(answer, statement, text) for text in known), self.settings.max_overlap
        return f"redundant: {nearest:.2f} similar to what is known" if nearest >= limit else None


def overlap(answer: str, statement: str, known: str) -> float:
    """Share of an answer's content words that occur in one phrase of a known text, in [0, 1].

    A color alone says nothing without its object, so the whole statement is compared. Phrases end
    at punctuation, "and", "with", "wearing": "a red shirt and black shoes" does not say "the shoes are red".
    """
    words = meaning(answer)
    if words <= COLORS:
        words = meaning(statement)
    return max((share_said(words, phrase) for phrase in _phrases(known)), default=0.0)


def _items(answer: str) -> list[str]:
    """The sentences of an answer, or the things that it lists, or the answer itself if it is one item."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", answer.strip())
    if len(sentences) > 1:
        return list(dict.fromkeys(sentences))
    things = re.split(r",\s+(?:and\s+)?|\s+and\s+", without_yes(answer).strip(" .;"))
    return things if len(things) > 1 and all(map(is_noun_phrase, things)) and not is_clause(answer) else [answer]


@lru_cache(maxsize=1024)
def _phrases(text: str) -> tuple[frozenset[str], ...]:
    marked = text.lower()
    for joint in (" and ", " with ", " wearing ", " wears ", " carrying ", " carries ", " holding ", " is "):
        marked = marked.replace(joint, ", " if joint != " is " else " ")
    for mark in ".;:。，、；：،؛।":
        marked = marked.replace(mark, ",")
    return tuple(meaning(phrase) for phrase in marked.split(",") if phrase.strip())
