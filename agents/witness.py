"""The parts of the dialogue with a witness: questions that tell candidates apart, and answers out of a description."""

from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.agents.claims import claims
from ctgi.agents.judge import overlap
from ctgi.agents.pool import QuestionPool
from ctgi.agents.prompts import Wording, prompt, quoted
from ctgi.agents.proposer import proposed
from ctgi.agents.prose import said
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Questions, Reply

UNKNOWN = "I don't know"
_LIKE = 0.5
"""Share of the words of a question that a part of the memory has to have, to be an answer to it."""


@dataclass(frozen=True)
class AmongProposer:
    """propose_questions by a model that sees up to four candidates side by side in one image."""

    mllm: Mllm
    wording: Wording = prompt

    async def __call__(self, image: ImageRef | None, query: str, *, count: int, asked: Sequence[str] = ()) -> Questions:
        """Questions to a witness that tell the candidates apart, as `Proposer` gives them."""
        text = prompt("among").format(query=quoted(query), count=count)
        reply = await self.mllm.chat(ChatRequest(text, image, system=self.wording("system")))
        return proposed(reply, count, asked)


@dataclass(frozen=True)
class Witness:
    """answer_question by a model that is told a description, and sees no image."""

    mllm: Mllm

    async def __call__(
        self, image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        """What somebody who remembers the description would say. Raises as `Answerer`."""
        text = prompt("witness").format(memory=quoted(description), question=quoted(question))
        return said(await self.mllm.chat(ChatRequest(text, max_tokens=128)))


@dataclass(frozen=True)
class WordsWitness:
    """The same without a model: the parts of the description that answer a question of the pool, or are like it."""

    pool: QuestionPool

    async def __call__(
        self, image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        """Those parts, in the words of the description."""
        parts = claims(description, self.pool)
        told = [part.text for part in parts if any(one.question == question for one in part.questions)]
        like = [part.text for part in parts if overlap(part.text, part.text, question) >= _LIKE]
        return Reply(", ".join(told or like) or UNKNOWN)
