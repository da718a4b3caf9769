"""The state of one MTI search: what its nodes write, and how they read it.

Values are typed (ctgi.records); a checkpoint may give them back as the plain JSON that it keeps, so nodes read lists
through the functions here.
"""

import operator
from collections import Counter
from typing import Annotated

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from ctgi.records import DialogueTurn, Found, VerdictRecord
from ctgi.tools.types import Ranking


class MtiState(TypedDict, total=False):
    """One query's search."""

    query: str
    length: int
    """How many results are wanted."""
    round: int
    ranking: list[Found]
    """The current ranking: by S(q, v), after a refinement by Eq. 7."""
    cursor: int
    """Candidates of this round that were verified."""
    verified: Annotated[list[VerdictRecord], operator.add]
    anchors: Annotated[list[VerdictRecord], operator.add]
    """Confirmed candidates, of every round."""
    early_stop: bool
    questions: list[tuple[str, str]]
    dialogue: Annotated[list[DialogueTurn], operator.add]
    refined_query: str | None
    truncated_tokens: int
    calls: Annotated[dict[str, int], lambda left, right: dict(Counter(left) + Counter(right))]


_FOUND = TypeAdapter(list[Found])
_VERDICTS = TypeAdapter(list[VerdictRecord])
_DIALOGUE = TypeAdapter(list[DialogueTurn])


def ranked(state: MtiState) -> list[Found]:
    """The current ranking."""
    return _FOUND.validate_python(state["ranking"])


def verified(state: MtiState) -> list[VerdictRecord]:
    """All verdicts so far."""
    return _VERDICTS.validate_python(state.get("verified", []))


def anchors(state: MtiState) -> list[VerdictRecord]:
    """The confirmed candidates of every round."""
    return _VERDICTS.validate_python(state.get("anchors", []))


def dialogue(state: MtiState) -> list[DialogueTurn]:
    """All turns so far."""
    return _DIALOGUE.validate_python(state.get("dialogue", []))


def found_in(ranking: Ranking) -> list[Found]:
    """The candidates of a ranking as the state and the results hold them."""
    return [
        Found(
            path=candidate.image.path, sha256=candidate.image.sha256, score=candidate.score,
            score_before=candidate.score_before, rank_before=candidate.rank_before,
        )
        for candidate in ranking.candidates
    ]  # fmt: skip
