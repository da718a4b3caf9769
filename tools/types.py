"""Arguments and results of tools: small frozen values that convert to JSON."""

from dataclasses import dataclass, field

from ctgi.retrieval.ranking import Candidate, Ranking, Refinement

__all__ = [
    "Box",
    "Candidate",
    "Detection",
    "Detections",
    "Fact",
    "Questions",
    "Ranking",
    "Refinement",
    "Reply",
    "Tokens",
    "Verdict",
]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in px of the upright image; (0, 0) is its upper left corner."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of one call, as counted by the model server."""

    input: int = 0
    output: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.input + other.input, self.output + other.output)


@dataclass(frozen=True)
class Reply:
    """A text from a tool, with the backend's confidence."""

    text: str
    confidence: float | None = None
    """Geometric mean of the token probabilities, in [0, 1]; None if the backend reports none."""
    tokens: Tokens = field(default_factory=Tokens)
    raw: str = ""
    """The raw reply, if `text` was derived from it; "" if they differ only in white space."""


@dataclass(frozen=True)
class Fact:
    """What a turn of a dialogue established."""

    question: str
    answer: str
    statement: str
    """The answer as a sentence of its own."""


@dataclass(frozen=True)
class Verdict:
    """Does this image show the person described?"""

    match: bool
    probability: float | None
    """P(yes) among yes and no, from the token logprobs; None if the backend has none."""
    text: str
    tokens: Tokens = field(default_factory=Tokens)
    threshold: float = 0.5
    """P(yes) above it counts as a match."""


@dataclass(frozen=True)
class Questions:
    """Questions to ask next, each with the attribute it is about."""

    items: tuple[tuple[str, str], ...]
    """(attribute, question) pairs, most telling first."""
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True)
class Detection:
    """A person in an image."""

    box: Box
    score: float | None
    """In [0, 1]; None if the backend gives none."""


@dataclass(frozen=True)
class Detections:
    """The people in an image, surest first."""

    people: tuple[Detection, ...]
    tokens: Tokens = field(default_factory=Tokens)
