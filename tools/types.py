"""What goes into tools and comes out of them: small frozen values, plain enough for JSON."""

from dataclasses import dataclass, field

from ctgi.retrieval.images import ImageRef


@dataclass(frozen=True)
class Tokens:
    """What a model server counted for one call."""

    input: int = 0
    output: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.input + other.input, self.output + other.output)


@dataclass(frozen=True)
class Said:
    """A text that a tool produced, and how sure its backend was."""

    text: str
    confidence: float | None = None
    """Geometric mean of the token probabilities, in [0, 1]; None where the backend does not tell."""
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True)
class Verdict:
    """Does this image show the person described? An unparsable reply is a "no" that keeps its raw text."""

    match: bool
    probability: float | None
    """P(yes) among yes and no, from the token logprobs; None where the backend has none."""
    text: str
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True)
class Questions:
    """Questions to ask next, each with the attribute it is about."""

    items: tuple[tuple[str, str], ...]
    """(attribute, question) pairs, most telling first."""
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True)
class Candidate:
    """One gallery image in a ranking."""

    image: ImageRef
    score: float
    """S(q, v), or the fused score of Eq. 7 after a refinement; a cosine, up to rounding in [-1, 1]."""
    score_before: float
    """S(q, v) of the original query."""
    rank_before: int | None
    """1-based rank under S(q, v); None when it lies below the depth that was looked at."""


@dataclass(frozen=True)
class Refinement:
    """The second term of Eq. 7: what a dialogue added to a query."""

    query: str
    """The refined query."""
    anchors: tuple[str, ...]
    """sha256 of the confirmed images; their refined similarity is taken as 1."""
    weight: float
    """Lambda of Eq. 7: the share of the original query, in [0, 1]."""
    mode: str
    """Where the anchor's 1 goes: "refined" (into the second term, ICL) or "final" (the fused score itself)."""
