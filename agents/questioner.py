"""The questioner: questions from the pool about what a query leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.agents.pool import QuestionPool
from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Questions


@dataclass(frozen=True)
class TemplateQuestioner:
    """propose_questions without a model: the pool's questions that the query leaves open, in order."""

    pool: QuestionPool

    async def __call__(self, image: ImageRef | None, query: str, *, count: int, asked: Sequence[str] = ()) -> Questions:
        """Deterministic: the seed is the query. The image is ignored."""
        chosen: list[tuple[str, str]] = []
        while len(chosen) < count:
            done = {*asked, *(attribute for attribute, _ in chosen)}
            question = self.pool.next(query, done, there=(), seed=query)
            if question is None:
                break
            chosen.append((question.attribute, question.question))
        return Questions(tuple(chosen))
