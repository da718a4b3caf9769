"""The state of one MTI search: what its nodes write, and how they read it.

Values are typed (ctgi.records); a checkpoint may give them back as the plain JSON that it keeps, so nodes read lists
through the functions here.
"""

import operator
from collections import Counter
from typing import Annotated

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from ctgi.records import DialogueTurn, Found, Record, Text, VerdictRecord
from ctgi.tools.types import Ranking


class MtiState(TypedDict, total=False):
    """One query's search."""

    query: str
    length: int
    """How many results are wanted."""
    round: int
    ranking: list[Found]
    """The current ranking: by S(q, v), after a refinement by Eq. 7."""
    plain: list[Found]
    """The ranking by S(q, v)."""
    cursor: int
    """Candidates of this round that were verified."""
    verified: Annotated[list[VerdictRecord], operator.add]
    anchors: Annotated[list[VerdictRecord], operator.add]
    """Confirmed candidates, of every round."""
    excluded: list[str]
    """sha256 of images that a person set aside: never ranked, verified, or an anchor."""
    filter: "Filter"
    """Which images are ranked; missing: all."""
    early_stop: bool
    questions: list[tuple[str, str]]
    """(attribute, question) still to be asked."""
    dialogue: Annotated[list[DialogueTurn], operator.add]
    refined_query: str | None
    truncated_tokens: int
    calls: Annotated[dict[str, int], lambda left, right: dict(Counter(left) + Counter(right))]


class Filter(Record):
    """Which images of a gallery are ranked."""

    where: Text | None = None
    """A condition of SQL over what is known of them."""
    group: Text | None = None
    """A column of which each value is ranked once."""


ALL = Filter()


class Steering(Record):
    """What a person has settled before a search begins, so that it goes on from another one."""

    anchors: tuple[VerdictRecord, ...] = ()
    """Images that the person confirmed (`confirmed` makes them); they are asked without being verified."""
    excluded: tuple[Text, ...] = ()
    """sha256 of images that are not the person: never ranked, verified, or an anchor."""
    dialogue: tuple[DialogueTurn, ...] = ()
    """Turns of the earlier search to keep."""
    questions: tuple[tuple[Text, Text], ...] = ()
    """(attribute, question) to ask next; empty: what the query leaves open."""

    def state(self) -> MtiState:
        """The part of the graph's input that says so; values that are empty are left out."""
        given: MtiState = {}
        if self.anchors:
            given["anchors"] = list(self.anchors)
        if self.excluded:
            given["excluded"] = list(self.excluded)
        if self.dialogue:
            given["dialogue"] = list(self.dialogue)
        if self.questions:
            given["questions"] = list(self.questions)
        return given


def confirmed(found: Found, rank: int) -> VerdictRecord:
    """An anchor that a person confirmed, at its rank in the ranking that the person saw."""
    return VerdictRecord(
        path=found.path, sha256=found.sha256, rank=rank, score=found.score, match=True, probability=None,
        text="confirmed by a person", error=None, by_person=True,
    )  # fmt: skip


_FOUND = TypeAdapter(list[Found])
_VERDICTS = TypeAdapter(list[VerdictRecord])
_DIALOGUE = TypeAdapter(list[DialogueTurn])


def ranked(state: MtiState) -> list[Found]:
    """The current ranking."""
    return _FOUND.validate_python(state["ranking"])


def plainly_ranked(state: MtiState) -> list[Found]:
    """The ranking by the query alone; empty in a thread of an earlier version."""
    return _FOUND.validate_python(state.get("plain", []))


def verified(state: MtiState) -> list[VerdictRecord]:
    """All verdicts so far."""
    return _VERDICTS.validate_python(state.get("verified", []))


def anchors(state: MtiState) -> list[VerdictRecord]:
    """The confirmed candidates of every round, without those that were set aside."""
    aside = state.get("excluded", [])
    return [one for one in _VERDICTS.validate_python(state.get("anchors", [])) if one.sha256 not in aside]


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


def filter_of(state: MtiState) -> Filter:
    """Which images the search ranks."""
    return Filter.model_validate(state.get("filter", ALL))
