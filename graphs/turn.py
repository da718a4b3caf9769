"""A turn of a dialogue, as it stands in the state of both graphs and in what they write."""

from typing_extensions import TypedDict


class Turn(TypedDict):
    """One question and its answer, and why the answer was kept or dropped."""

    attribute: str
    question: str
    answer: str
    confidence: float | None
    statement: str
    kept: bool
    reason: str | None
