"""The verifier: yes or no, does this image show the person described?"""

import re
from dataclasses import dataclass

from ctgi.agents.prompts import prompt, quoted
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Verdict

_FIRST_WORD = re.compile(r"[^\w]*(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Verifier:
    """verify_match by a multimodal model: the probability of "yes" where the backend has logprobs, else its word."""

    mllm: Mllm

    async def __call__(self, image: ImageRef, description: str) -> Verdict:
        """A match is P(yes) > 1/2, or a reply that begins with yes."""
        request = ChatRequest(
            prompt("verify").format(description=quoted(description)),
            image,
            system=prompt("system"),
            choices=("yes", "no"),
            max_tokens=8,
        )
        reply = await self.mllm.chat(request)
        probability = reply.choices.get("yes")
        match = probability > 0.5 if probability is not None else says_yes(reply.text)
        return Verdict(match, probability, reply.text, reply.tokens)


def says_yes(text: str) -> bool:
    """Whether a reply begins with yes; anything else, also the unparsable, is a no."""
    word = _FIRST_WORD.match(text)
    return word is not None and word[1].lower() == "yes"
