"""The proposer: lets a multimodal model say what a query leaves out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.agents.prompts import Wording, prompt, quoted
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatReply, ChatRequest, Mllm
from ctgi.tools.types import Questions

_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):])\s*")
_MAX_CHARACTERS = 200


@dataclass(frozen=True)
class Proposer:
    """propose_questions by a multimodal model that sees the anchor."""

    mllm: Mllm
    wording: Wording = prompt

    async def __call__(self, image: ImageRef | None, query: str, *, count: int, asked: Sequence[str] = ()) -> Questions:
        """One question per line of the reply that ends in a question mark; a proposed question is its own attribute."""
        text = self.wording("propose").format(query=quoted(query), count=count)
        reply = await self.mllm.chat(ChatRequest(text, image, system=self.wording("system")))
        return proposed(reply, count, asked)


def proposed(reply: ChatReply, count: int, asked: Sequence[str]) -> Questions:
    """The questions of a reply, up to `count`; those that were asked before are left out."""
    lines = (_BULLET.sub("", line).strip() for line in reply.text.splitlines())
    new = dict.fromkeys(line for line in lines if line.endswith("?") and len(line) <= _MAX_CHARACTERS)
    questions = [(line, line) for line in new if line not in asked]
    return Questions(tuple(questions[:count]), reply.tokens)
