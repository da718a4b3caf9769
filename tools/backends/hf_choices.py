"""The probabilities of choices, from what a model would say after each beginning of their spellings."""

import math
from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from ctgi.tools.backends import ChatReply
from ctgi.tools.backends.hf_prompt import Ids, Prompt
from ctgi.tools.types import Tokens

NEGLIGIBLE = 1e-6
"""Spellings of a choice that are less likely than this share of the likeliest one are not followed to their end."""


def forcing(ways: Sequence[Ids]) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that makes each row go its way, whatever it would say, after a prompt."""
    steps = count()

    def force(input_ids: Tensor, scores: Tensor) -> Tensor:
        step = next(steps)
        forced = scores.clone()  # they are what is reported
        for row, way in enumerate(ways):
            if step < len(way):
                forced[row] = -math.inf
                forced[row, way[step]] = 0.0
        return forced

    return force


def next_ways(prompt: Prompt, after: dict[Ids, Tensor]) -> list[Ids]:
    """The beginnings of spellings to follow next: first the longest alone, then all that may still change a share."""
    spellings = [spelling for _, group in prompt.choices for spelling in group]
    if not after:
        return [max(spellings, key=len)[:-1]]
    reached = {spelling: _log_prob(spelling, after) for spelling in spellings}
    floor = max(reached.values()) + math.log(NEGLIGIBLE)
    left = {one[:-1] for one in spellings if one[:-1] not in after and reached[one] >= floor}
    return sorted(way for way in left if not any(other[: len(way)] == way for other in left - {way}))


def _log_prob(spelling: Ids, after: dict[Ids, Tensor]) -> float:
    """Of as much of it as is known: the whole has at most this probability."""
    return sum(float(after[spelling[:i]][token]) for i, token in enumerate(spelling) if spelling[:i] in after)


def chosen(prompt: Prompt, after: dict[Ids, Tensor]) -> ChatReply:
    """The most probable choice, with the probabilities of all: each is the sum of those of its spellings."""

    def score(spellings: Sequence[Ids]) -> Tensor:
        known = [_log_prob(one, after) if one[:-1] in after else -math.inf for one in spellings]
        return torch.tensor(known, dtype=torch.float64).logsumexp(dim=0)

    scores = [score(group) for _, group in prompt.choices]
    words = [choice for choice, _ in prompt.choices]
    shares = dict(zip(words, torch.stack(scores).softmax(dim=0).tolist(), strict=True))
    best = max(words, key=lambda word: shares[word])
    length = len(dict(prompt.choices)[best][0])
    return ChatReply(best, shares[best], shares, Tokens(prompt.length, length))
