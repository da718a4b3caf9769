"""The captioner: describes an image in one reply."""

from dataclasses import dataclass

from ctgi.agents.prompts import Wording, prompt
from ctgi.agents.prose import said
from ctgi.agents.statements import is_refusal
from ctgi.errors import ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.types import Reply


@dataclass(frozen=True)
class Captioner:
    """caption_image by a multimodal model (Eq. 1: T_s = MLLM(I, P_init))."""

    mllm: Mllm
    wording: Wording = prompt

    async def __call__(self, image: ImageRef) -> Reply:
        """Image -> T_s.

        Raises:
            ToolError: the reply was cut off, is a refusal, or has no words.
        """
        reply = await self.mllm.chat(ChatRequest(self.wording("caption"), image, system=self.wording("system")))
        told = said(reply)
        if is_refusal(told.text):
            raise ToolError(f"{image.path}: the model does not describe the image: {told.text!r:.160}")
        if not any(character.isalpha() for character in told.text):
            raise ToolError(f"{image.path}: the model described the image with {reply.text!r:.80}")
        return told
