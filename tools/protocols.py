"""The tools: what an agent can do, as typed async callables. Graph nodes call them directly."""

from collections.abc import Sequence
from typing import Protocol

from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Detections, Fact, Questions, Ranking, Refinement, Reply, Verdict


class CaptionImage(Protocol):
    """Describe the person in an image."""

    async def __call__(self, image: ImageRef) -> Reply:
        """Image -> initial caption T_s (Eq. 1)."""
        ...


class AnswerQuestion(Protocol):
    """Answer a question about the person in an image."""

    async def __call__(
        self, image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        """Image, question, and what was said before (the description, earlier turns) -> answer."""
        ...


class VerifyMatch(Protocol):
    """Judge whether an image shows the person described."""

    async def __call__(self, image: ImageRef, description: str) -> Verdict:
        """Image and description -> yes or no with its probability."""
        ...


class ProposeQuestions(Protocol):
    """Ask what a query leaves out."""

    async def __call__(self, image: ImageRef | None, query: str, *, count: int, asked: Sequence[str] = ()) -> Questions:
        """Query (and the anchor) -> up to `count` diagnostic questions, none about `asked` attributes."""
        ...


class ReconstructCaption(Protocol):
    """Merge a description and the answers into one dense caption."""

    async def __call__(self, description: str, facts: Sequence[Fact]) -> Reply:
        """T_s and the kept turns -> T_e (Eqs. 2-3)."""
        ...


class AggregateQuery(Protocol):
    """Refine a query with the answers."""

    async def __call__(self, query: str, facts: Sequence[Fact]) -> Reply:
        """Query and answers -> refined query (Eq. 6)."""
        ...


class SearchGallery(Protocol):
    """Rank the gallery by a description."""

    async def __call__(
        self, query: str, k: int, *, refinement: Refinement | None = None, where: str | None = None
    ) -> Ranking:
        """Query -> the k best candidates by S(q, v), or by the fused score of Eq. 7 after a refinement.

        where: a condition of SQL over what is known of the images; others are not ranked.
        """
        ...


class AskUser(Protocol):
    """Ask the person at the terminal."""

    async def __call__(self, question: str, image: ImageRef | None = None) -> Reply:
        """Question, perhaps about an image -> what the person typed."""
        ...


class DetectPeople(Protocol):
    """Find the people in an image."""

    async def __call__(self, image: ImageRef) -> Detections:
        """Photograph or frame of a video -> a box for each person."""
        ...
