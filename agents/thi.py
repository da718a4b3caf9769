"""ICL's test-time interaction (THI, CVPR 2025): replaces parts and rules of MTI in an evaluation.

Decisions and parsing follow the released code; the prompts are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.agents.judge import Judgment
from ctgi.agents.pool import PoolQuestion
from ctgi.agents.prompts import prompt
from ctgi.errors import ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Questions, Reply

ALL_AT_ONCE = "15 questions in one call"


def thi_anchor(verdicts: Sequence[bool], top: float, xi: float) -> int | None:
    """Index (0-based) of the candidate that refines the query, or None if the query is not refined.

    Only the first yes counts: at rank 1 it needs a top similarity above xi, further down one of at most xi.

    Args:
        verdicts: yes or no of the candidates in the order of the original ranking.
        top: the best similarity of the original query.
        xi: the threshold.
    """
    first = next((place for place, yes in enumerate(verdicts) if yes), None)
    return first if first is not None and (first == 0) == (top > xi) else None


def thi_asked(anchor: int | None, k: int) -> int:
    """Number of candidates that the released code verifies: it goes on to the k-th even if none can qualify."""
    return k if anchor is None else anchor + 1


def parse_numbered(text: str) -> list[str]:
    """The answer of each line as a sentence; "" for a line that is not a numbered answer.

    Lines with a colon are skipped, a leading yes or no is dropped, and only the first sentence is kept.
    """
    lines = [line.split(". ") for line in text.split("\n") if ":" not in line]
    return [_sentence(parts[1]) if len(parts) > 1 else "" for parts in lines]


def _sentence(answer: str) -> str:
    said = answer.replace("Yes, ", "").replace("No, ", "").strip().rstrip(".")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


class FixedQuestions:
    """propose_questions of THI: always the same fifteen, as one."""

    async def __call__(self, image: ImageRef | None, query: str, *, count: int, asked: Sequence[str] = ()) -> Questions:
        """The numbered list under one attribute, once per query."""
        return Questions(() if ALL_AT_ONCE in asked else ((ALL_AT_ONCE, prompt("thi_questions")),))


@dataclass(frozen=True)
class Interviewer:
    """answer_question of THI: one call for all questions."""

    mllm: Mllm

    async def __call__(
        self, image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        """The answers as consecutive sentences, without lines that have no answer.

        Raises:
            ToolError: no line could be read as an answer.
        """
        reply = await self.mllm.chat(ChatRequest(question, image, system=prompt("system"), max_tokens=512))
        sentences = [sentence for sentence in parse_numbered(reply.text) if sentence]
        if not sentences:
            raise ToolError(f"no numbered answers in the model's reply: {reply.text!r:.80}")
        return Reply(" ".join(sentences), reply.confidence, reply.tokens)


async def keep_all(image: ImageRef, question: PoolQuestion, answer: Reply, known: Sequence[str]) -> Judgment:
    """THI's judge: no answer is dropped, not even "no glasses"."""
    return Judgment(answer.text, None)
