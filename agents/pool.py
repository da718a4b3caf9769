"""The question pool: what to ask about a person, and which questions a text has already settled."""

import random
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ctgi.errors import CtgiError
from ctgi.faults import first_fault
from ctgi.reading import read_yaml

# Between two word classes of a rule: at most three words, and nothing that starts another phrase.
_GAP = r"\s+(?:(?!(?:and|with|wearing|over|under|on|in)\b)[\w-]+\s+){0,3}?"


class PoolQuestion(BaseModel):
    """One question with the rules of when to ask it; the fields are explained in question_pool.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: str = Field(min_length=1)
    question: str = Field(min_length=1)
    statement: str = Field(pattern=r"\{(answer|thing)\}")
    tier: int = Field(1, ge=1)
    bare_yes: str = ""
    bland: tuple[str, ...] = ()
    after: str = ""
    settled_by: tuple[tuple[str, ...], ...] = ()
    told_by: tuple[str, ...] = ()
    moot_if: tuple[tuple[str, ...], ...] = ()

    @field_validator("statement")
    @classmethod
    def _can_be_filled_in(cls, statement: str) -> str:
        try:
            statement.format(answer="", thing="")
        except (ValueError, LookupError, AttributeError):
            raise ValueError("expected {answer} or {thing} and no other braces") from None
        return statement


class _PoolFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    words: dict[str, tuple[str, ...]] = {}
    questions: tuple[PoolQuestion, ...] = Field(min_length=1)


@dataclass(frozen=True)
class QuestionPool:
    """Attribute-tagged questions in order of preference."""

    questions: tuple[PoolQuestion, ...]
    words: dict[str, tuple[str, ...]]

    def next(self, text: str, asked: Collection[str], there: Collection[str], *, seed: str) -> PoolQuestion | None:
        """The next question worth asking, or None when the pool has nothing left for this text.

        Args:
            text: all that is known so far: the description and the statements kept.
            asked: attributes already asked about.
            there: attributes whose answer said that something is there; they release their follow-ups.
            seed: draws the order within the tiers after the first; the same seed gives the same order.
        """
        drawn = self._drawn(seed)
        released = [question for question in drawn if question.after and question.after in there]
        for question in (*released, *(question for question in drawn if not question.after)):
            if question.attribute not in asked and not self.is_settled(question, text):
                return question
        return None

    def is_settled(self, question: PoolQuestion, text: str) -> bool:
        """Whether the text already answers the question, or makes it moot."""
        return any(self._rules[rule].search(text) for rule in question.settled_by + question.moot_if)

    def answered_by(self, text: str) -> tuple[PoolQuestion, ...]:
        """The questions that the text answers."""
        return tuple(
            question
            for question in self.questions
            if any(self._rules[rule].search(text) for rule in question.settled_by)
        )

    def told(self, question: PoolQuestion, text: str) -> frozenset[str] | None:
        """The answer in a text that settles the question, as words of the pool; None in one that does not.

        The color of the shoes is {"black"} in "a white shirt and black sneakers".
        """
        matches = (self._rules[rule].search(text) for rule in question.settled_by)
        return next((self.named(question, match.group()) for match in matches if match), None)

    def named(self, question: PoolQuestion, answer: str) -> frozenset[str]:
        """The words of the pool in an answer to the question."""
        classes = question.told_by or tuple(dict.fromkeys(name for rule in question.settled_by for name in rule))
        return frozenset(_finder(tuple(word for name in classes for word in self.words[name])).findall(answer.lower()))

    def question_about(self, attribute: str) -> PoolQuestion:
        """The question about an attribute; one that a model proposed is its own attribute, its answer a statement."""
        known = self.by_attribute(attribute)
        return known or PoolQuestion(attribute=attribute, question=attribute, statement="{answer}")

    def by_attribute(self, attribute: str) -> PoolQuestion | None:
        """The question about an attribute, None for an attribute the pool does not know."""
        return next((question for question in self.questions if question.attribute == attribute), None)

    def _drawn(self, seed: str) -> tuple[PoolQuestion, ...]:
        """All questions by tier; in the order of the file in tier 1, drawn in the others."""
        draw = random.Random(seed)
        return tuple(
            sorted(self.questions, key=lambda question: (question.tier, 0 if question.tier == 1 else draw.random()))
        )

    @cached_property
    def _rules(self) -> dict[tuple[str, ...], re.Pattern[str]]:
        rules = {rule for question in self.questions for rule in question.settled_by + question.moot_if}
        return {rule: self._compile(rule) for rule in rules}

    def _compile(self, rule: tuple[str, ...]) -> re.Pattern[str]:
        classes = ("|".join(re.escape(word) for word in self.words[name]) for name in rule)
        return re.compile(_GAP.join(rf"\b(?:{words})(?:s|es|-colou?red)?\b" for words in classes), re.IGNORECASE)


@cache
def _finder(words: tuple[str, ...]) -> re.Pattern[str]:
    """Finds words and their plurals; of those at one place the longest."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})(?:s|es)?\b")


def load_pool(path: Path | None = None) -> QuestionPool:
    """Read a question pool; None reads the one that comes with ctgi.

    Raises:
        CtgiError: the file is missing, not YAML, or breaks a rule of question_pool.yaml; says which.
    """
    return _own_pool() if path is None else _read(path, path)


@cache
def _own_pool() -> QuestionPool:
    """The one that comes with ctgi, parsed once: that takes longer than a search."""
    return _read(files("ctgi.agents") / "question_pool.yaml", None)


def _read(source: Path | Traversable, path: Path | None) -> QuestionPool:
    try:
        pool = _PoolFile.model_validate(read_yaml(source, "question pool"))
    except ValidationError as error:
        raise CtgiError(f"question pool {path}: {first_fault(error)}") from None
    _check_references(pool, path)
    return QuestionPool(pool.questions, pool.words)


def _check_references(pool: _PoolFile, path: Path | None) -> None:
    attributes = [question.attribute for question in pool.questions]
    for question in pool.questions:
        if attributes.count(question.attribute) > 1:
            raise CtgiError(f"question pool {path}: attribute {question.attribute!r} stands there twice")
        if question.after and question.after not in attributes:
            raise CtgiError(f"question pool {path}: {question.attribute}: after names no attribute: {question.after!r}")
        unknown = {name for rule in (*question.settled_by, *question.moot_if, question.told_by) for name in rule}
        unknown -= set(pool.words)
        if unknown:
            raise CtgiError(
                f"question pool {path}: {question.attribute}: no word class {sorted(unknown)[0]!r} in words"
            )
