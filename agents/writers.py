"""The writers: merge a dialogue into one text, a dense caption (MTG) or a refined query (MTI)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.agents.pool import QuestionPool
from ctgi.agents.prompts import Wording, prompt, quoted
from ctgi.agents.prose import said
from ctgi.agents.statements import compose, is_refusal
from ctgi.errors import ToolError
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Fact, Reply


@dataclass(frozen=True)
class Reconstructor:
    """reconstruct_caption by a language model (Eqs. 2-3): T_s and the kept answers -> T_e."""

    mllm: Mllm
    wording: Wording = prompt

    async def __call__(self, description: str, facts: Sequence[Fact]) -> Reply:
        """One call that sees the description and every kept answer.

        Raises:
            ToolError: the reply has no words.
        """
        text = self.wording("reconstruct").format(description=quoted(description), facts=_listed(facts))
        return await _write(self.mllm, text, self.wording("system"))


@dataclass(frozen=True)
class Aggregator:
    """aggregate_query by a language model (Eq. 6): query and answers -> refined query."""

    mllm: Mllm
    wording: Wording = prompt

    async def __call__(self, query: str, facts: Sequence[Fact]) -> Reply:
        """One call that sees the query and every answer.

        Raises:
            ToolError: the reply has no words.
        """
        text = self.wording("aggregate").format(query=quoted(query), facts=_listed(facts))
        return await _write(self.mllm, text, self.wording("system"))


class TemplateReconstructor:
    """reconstruct_caption without a model: the description, then the statements as prose."""

    def __init__(self, pool: QuestionPool | None = None) -> None:
        """Takes the pool like every template, but does not use it."""

    async def __call__(self, description: str, facts: Sequence[Fact]) -> Reply:
        """Deterministic; adds nothing new."""
        return Reply(compose(description, [fact.statement for fact in facts]))


class TemplateAggregator:
    """aggregate_query without a model: the query, then the statements as prose."""

    def __init__(self, pool: QuestionPool | None = None) -> None:
        """Takes the pool like every template, but does not use it."""

    async def __call__(self, query: str, facts: Sequence[Fact]) -> Reply:
        """Deterministic; keeps the query's own words."""
        return Reply(compose(query, [fact.statement for fact in facts]))


async def _write(mllm: Mllm, text: str, system: str) -> Reply:
    reply = await mllm.chat(ChatRequest(text, system=system, max_tokens=400))
    written = said(reply)
    if is_refusal(written.text):
        raise ToolError(f"the model does not write the text: {written.text!r:.160}")
    if not any(character.isalpha() for character in written.text):
        raise ToolError(f"the model wrote no text: {reply.text!r:.80}")
    return written


def _listed(facts: Sequence[Fact]) -> str:
    return "\n".join(f'- {quoted(fact.question)} "{quoted(fact.answer)}"' for fact in facts)
