"""Several anchors, one answer: what most of them say of an attribute counts."""

from collections.abc import Sequence

from ctgi.agents.languages import without_yes
from ctgi.agents.pool import PoolQuestion
from ctgi.agents.statements import state, why_unusable
from ctgi.agents.wording import contradiction, meaning, share_said

_AGREEING = 0.5
"""Two answers agree if more than this share of one's words is said by the other."""


def outvoted(question: PoolQuestion, answers: Sequence[str]) -> dict[int, str]:
    """The places of the answers that most others disagree with, each with the reason for dropping it.

    "Nothing there" is a vote; "not visible", a refusal and the like are none. In a tie the earlier answer wins.
    """
    camps: list[list[int]] = []
    for place, answer in enumerate(answers):
        if not _votes(question, answer):
            continue
        camp = next((camp for camp in camps if _agree(question, answers[camp[0]], answer)), None)
        if camp is None:
            camps.append([place])
        else:
            camp.append(place)
    votes = sum(map(len, camps))
    winner = max(camps, key=len, default=[])  # the first of the largest
    reason = f"outvoted: {len(winner)} of {votes} anchors say otherwise"
    return {place: reason for camp in camps if camp is not winner for place in camp}


def _votes(question: PoolQuestion, answer: str) -> bool:
    return why_unusable(question.question, answer, question.bland) in (None, "nothing there")


def _agree(question: PoolQuestion, one: str, other: str) -> bool:
    nothing = [why_unusable(question.question, answer, question.bland) is not None for answer in (one, other)]
    if any(nothing):
        return all(nothing)
    first, second = (state(question, answer) or answer for answer in (one, other))
    mine, yours = (meaning(without_yes(answer)) for answer in (one, other))
    if not (mine and yours):  # a bare yes, "a woman": the statement says it
        mine, yours = meaning(first), meaning(second)
    shared = max(share_said(mine, yours), share_said(yours, mine))
    return shared > _AGREEING and contradiction(first, [second]) is None
