"""The answerer: answers one question about an image, knowing the dialogue so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.agents.prompts import Wording, prompt
from ctgi.agents.prose import said
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Reply


@dataclass(frozen=True)
class Answerer:
    """answer_question by a multimodal model (Eq. 5 for an anchor)."""

    mllm: Mllm
    wording: Wording = prompt

    async def __call__(
        self, image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        """The dialogue is replayed word for word, so that a server's prefix cache holds all but the last turn."""
        history = [(self.wording("caption"), description)] if description else []
        history += [(self._ask(earlier), answer) for earlier, answer in turns]
        system = self.wording("system")
        request = ChatRequest(self._ask(question), image, history=tuple(history), system=system, max_tokens=64)
        return said(await self.mllm.chat(request))

    def _ask(self, question: str) -> str:
        return self.wording("answer").format(question=question)
