"""The judge: keeps an answer or says why not: unusable, irrelevant to the image, or redundant (paper, section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from ctgi.agents.grammar import COLORS
from ctgi.agents.pool import PoolQuestion
from ctgi.agents.statements import content_words, state, why_unusable
from ctgi.config import MtgSettings
from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Said


class Similarity(Protocol):
    """Embeddings to compare statements by; the retriever's, when the judge is "clip"."""

    async def to_image(self, text: str, image: ImageRef) -> float:
        """Cosine of a text and an image."""
        ...

    async def to_texts(self, text: str, others: Sequence[str]) -> list[float]:
        """Cosine of a text to each of the others."""
        ...


@dataclass(frozen=True)
class Judgement:
    """A turn's fate: the statement to keep, or the reason for dropping it."""

    statement: str
    reason: str | None
    """None for a kept answer, else "unusable: ...", "irrelevant: ..." or "redundant: ..."."""


@dataclass(frozen=True)
class Judge:
    """Decides on one answer at a time. The paper names no metric: see docs/decisions."""

    settings: MtgSettings
    similarity: Similarity | None = None

    async def __call__(self, image: ImageRef, question: PoolQuestion, answer: Said, known: Sequence[str]) -> Judgement:
        """Judge an answer against what is known: the description's and the kept turns' sentences."""
        unusable = why_unusable(question.question, answer.text, question.bland)
        if unusable:
            return Judgement("", f"unusable: {unusable}")
        statement = state(question, answer.text)
        if statement is None:
            return Judgement("", "unusable: a bare yes")
        reason = await self._why_irrelevant(image, answer, statement) or await self._why_redundant(
            answer.text, statement, known
        )
        return Judgement(statement, reason)

    async def _why_irrelevant(self, image: ImageRef, answer: Said, statement: str) -> str | None:
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
    """Share of an answer's content words that stand in one phrase of a known text, in [0, 1].

    A mere color says nothing without what it is the color of, so it is compared as the whole statement. Phrases end
    at punctuation, "and", "with", "wearing": "a red shirt and black shoes" does not say "the shoes are red".
    """
    words = content_words(answer)
    if words <= COLORS:
        words = content_words(statement)
    return max((len(words & phrase) / len(words) for phrase in _phrases(known)), default=0.0) if words else 0.0


@lru_cache(maxsize=1024)
def _phrases(text: str) -> tuple[frozenset[str], ...]:
    marked = text.lower()
    for joint in (" and ", " with ", " wearing ", " wears ", " carrying ", " carries ", " holding ", " is "):
        marked = marked.replace(joint, ", " if joint != " is " else " ")
    for mark in ".;:":
        marked = marked.replace(mark, ",")
    return tuple(content_words(phrase) for phrase in marked.split(",") if phrase.strip())
