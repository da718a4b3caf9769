"""Confidence and choice probabilities from the log probabilities of a reply's tokens, if they can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from ctgi.tools.backends.thoughts import after_thoughts

MIN_CHOICE_MASS = 0.5
"""If the choices have less probability than this in total, the reply was about something else."""


class _Alternative(BaseModel):
    token: str
    logprob: float = Field(le=0.01)  # also refuses NaN; masked tokens come as -9999 or -Infinity


class _Token(_Alternative):
    top_logprobs: list[_Alternative] = []


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


@dataclass(frozen=True)
class Probabilities:
    """A model's confidence in its reply."""

    confidence: float | None = None
    """Geometric mean of the probabilities of the answer's tokens."""
    choices: dict[str, float] = field(default_factory=dict)
    """Probability of each choice, summing to 1."""


def read_probabilities(logprobs: Any, answer: str, choices: Sequence[str], *, thinks: bool) -> Probabilities:
    """The probabilities behind an answer, from the `logprobs` of a reply.

    If any value is odd (null, above 0, not a number) or the shape differs, none are returned: the rest would be the
    probabilities of something else.

    Args:
        logprobs: as received.
        answer: the text that counts.
        choices: the words among which the answer should be.
        thinks: whether the reply had thoughts, whose tokens do not count.
    """
    try:
        tokens = _Logprobs.model_validate(logprobs).content or [] if logprobs else []
    except ValidationError:
        tokens = []
    if thinks:
        tokens = _of_answer(tokens, answer)
    if not tokens:
        return Probabilities()
    first = {alternative.token: alternative.logprob for alternative in tokens[0].top_logprobs}
    return Probabilities(_confidence(tokens), choice_probabilities(first, choices))


def _of_answer(tokens: list[_Token], answer: str) -> list[_Token]:
    """The tokens after the last closing marker of thoughts; none if they cannot be separated."""
    said = "".join(token.token for token in tokens)
    begin, at = after_thoughts(said), 0
    if begin == 0 and said.strip() != answer:
        return []
    for place, token in enumerate(tokens):
        if at >= begin and token.token.strip():
            return tokens[place:]
        at += len(token.token)
    return []


def _confidence(tokens: Sequence[_Alternative]) -> float:
    """Geometric mean of the token probabilities."""
    return min(1.0, math.exp(sum(token.logprob for token in tokens) / len(tokens)))


def choice_probabilities(first_token: dict[str, float], choices: Sequence[str]) -> dict[str, float]:
    """Probability of each choice, from the logprobs of the alternatives at the first generated token.

    A choice may take several tokens, with a space before it or in capitals ("y", " Yes", "YES"), so every token
    counts that begins exactly one of the choices. Normalized over the choices; empty if they hold less than
    MIN_CHOICE_MASS of the probability.
    """
    mass = dict.fromkeys(choices, 0.0)
    for token, logprob in first_token.items():
        start = token.strip().lower()
        begun = [choice for choice in choices if start and choice.lower().startswith(start)]
        if len(begun) == 1:
            mass[begun[0]] += math.exp(logprob)
    total = sum(mass.values())
    return {choice: part / total for choice, part in mass.items()} if total >= MIN_CHOICE_MASS else {}
