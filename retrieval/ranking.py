"""The results of a search, and the refinement that a dialogue adds."""

from dataclasses import dataclass

from ctgi.retrieval.images import ImageRef


@dataclass(frozen=True)
class Candidate:
    """One gallery image in a ranking."""

    image: ImageRef
    score: float
    """S(q, v), or the fused score of Eq. 7 after a refinement; a cosine in [-1, 1], up to rounding."""
    score_before: float
    """S(q, v) of the original query."""
    rank_before: int | None
    """1-based rank by S(q, v); None below the depth that was searched."""


@dataclass(frozen=True)
class Refinement:
    """The second term of Eq. 7: what a dialogue adds to a query."""

    query: str
    """The refined query."""
    anchors: tuple[str, ...]
    """sha256 of the confirmed images; their refined similarity counts as 1."""
    weight: float
    """Lambda of Eq. 7: the share of the original query, in [0, 1]."""
    mode: str
    """Where the anchor's 1 goes: "refined" (the second term, as ICL) or "final" (the fused score itself)."""


@dataclass(frozen=True)
class Ranking:
    """The result of one search, best first. Equal scores keep the gallery's order."""

    candidates: tuple[Candidate, ...]
    truncated_tokens: int = 0
    """Tokens of the query and the refined query beyond the encoder's context, which were not read."""
