"""The verifier: yes or no, does this image show the person described?"""

from dataclasses import dataclass

from ctgi.agents.prompts import Wording, prompt, quoted
from ctgi.agents.verdicts import read_verdict
from ctgi.errors import ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.text import plain
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Verdict


@dataclass(frozen=True)
class Verifier:
    """verify_match by a multimodal model: by the probability of "yes" if the backend has logprobs, else by its word."""

    mllm: Mllm
    threshold: float = 0.5
    """P(yes) above it is a match."""
    wording: Wording = prompt

    async def __call__(self, image: ImageRef, description: str) -> Verdict:
        """A match is P(yes) above the threshold, or a reply that says yes.

        Raises:
            ToolError: the reply says neither yes nor no.
        """
        request = ChatRequest(
            self.wording("verify").format(description=quoted(description)),
            image,
            system=self.wording("system"),
            choices=("yes", "no"),
            max_tokens=8,
        )
        reply = await self.mllm.chat(request)
        probability = reply.choices.get("yes")
        match = probability > self.threshold if probability is not None else read_verdict(reply.text)
        if match is None:
            raise ToolError(f"{image.path}: unread: the verdict is neither yes nor no: {plain(reply.text)!r:.80}")
        return Verdict(match, probability, reply.text, reply.tokens, self.threshold)
