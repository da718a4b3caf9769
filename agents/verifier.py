"""The verifier: yes or no, does this image show the person described?"""

import re
from dataclasses import dataclass

from ctgi.agents.languages import yes_or_no
from ctgi.agents.prompts import prompt, quoted
from ctgi.agents.prose import prose
from ctgi.agents.statements import tells_nothing_seen
from ctgi.errors import ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.text import plain
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Verdict

_BOTH = re.compile(r"^\W*yes\W+(?:and|or)\W+no\b", re.IGNORECASE)
_LAST = re.compile(r"(?:^|[\s,.:;(])(yes|no)[\s.!)\"']*$", re.IGNORECASE)
_MATCH = re.compile(
    r"\b(?P<not>(?:does|do|did|is|are)(?: not|n't)|cannot|never|partially|partly|may|might|could)?\s*"
    r"(?:fully |clearly |closely |exactly |a |an |in )*(?P<mis>mis)?match(?:es|ed|ing)?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verifier:
    """verify_match by a multimodal model: the probability of "yes" where the backend has logprobs, else its word."""

    mllm: Mllm
    threshold: float = 0.5
    """P(yes) above it is a match."""

    async def __call__(self, image: ImageRef, description: str) -> Verdict:
        """A match is P(yes) above the threshold, or a reply that says yes.

        Raises:
            ToolError: the reply says neither yes nor no.
        """
        request = ChatRequest(
            prompt("verify").format(description=quoted(description)),
            image,
            system=prompt("system"),
            choices=("yes", "no"),
            max_tokens=8,
        )
        reply = await self.mllm.chat(request)
        probability = reply.choices.get("yes")
        match = probability > self.threshold if probability is not None else read_verdict(reply.text)
        if match is None:
            raise ToolError(f"{image.path}: unread: the verdict is neither yes nor no: {plain(reply.text)!r:.80}")
        return Verdict(match, probability, reply.text, reply.tokens, self.threshold)


def read_verdict(text: str) -> bool | None:
    """Whether a reply says yes or no, in one of the languages known; None where it says neither, or both."""
    said = prose(text)
    if _BOTH.match(said):
        return None
    first = yes_or_no(said)
    if first is not None:
        return first
    if tells_nothing_seen(said):
        return None
    last = _LAST.search(said)
    if last:
        return last[1].lower() == "yes"
    _, colon, rest = said.replace("：", ":").rpartition(":")
    if colon:
        return yes_or_no(rest)
    return _read_match(said)


def _read_match(said: str) -> bool | None:
    """What the first "matches", "does not match" or "mismatch" of a reply says."""
    found = _MATCH.search(said)
    if not found or (found["not"] or "").lower() in ("partially", "partly", "may", "might", "could"):
        return None
    return not (found["not"] or found["mis"] or re.search(r"\b(?:no|not|n't)\s+$", said[: found.start()]))
