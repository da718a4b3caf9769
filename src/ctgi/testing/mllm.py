"""A multimodal model in the process that answers from a script and remembers what it was asked."""

import asyncio

from ctgi.testing.script import Replies, Script, UnscriptedError, as_script
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest

Scripted = ChatReply | str | Exception


def _default_reply(request: ChatRequest) -> str:
    return request.choices[0] if request.choices else "a person in a red coat"


class ScriptedMllm:
    """A model for a binding: `Session(bindings={"images": ScriptedMllm({"shoes": "white sneakers", "": "yes"})})`.

    In a command or in ctgi.toml it is named where it lives, `python:my_module:my_model`.
    """

    endpoint = "a script"

    def __init__(
        self,
        replies: Replies[ChatRequest, Scripted] | Scripted = _default_reply,
        *,
        limit: int = 1000,
        latency_s: float = 0.0,
    ) -> None:
        """A model that says what its script says.

        Args:
            replies: the script: a function of the request, a mapping from phrases of the prompt to replies, a list of
                replies in order, or one reply. A text is the reply; a ChatReply may hold probabilities too; an
                exception is raised, as a ToolError is where a call fails. By default it sees a person in a red coat
                and takes the first choice.
            limit: it may be asked so often, so that a loop without end ends.
            latency_s: how long each reply takes.
        """
        self.seen: list[ChatRequest] = []
        """What it was asked, oldest first."""
        self.closed = False
        self._script: Script[ChatRequest, Scripted] = as_script(replies)
        self._limit, self._latency_s = limit, latency_s

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The script's reply.

        Raises:
            UnscriptedError: the script has none, or `limit` is reached. Behind a binding it becomes a ToolError.
            Exception: the one that the script has for this request.
        """
        self.seen.append(request)
        if len(self.seen) > self._limit:
            raise UnscriptedError(f"asked more than {self._limit} times: {request.prompt!r}")
        await asyncio.sleep(self._latency_s)
        said = self._script(request)
        if isinstance(said, Exception):
            raise said
        return ChatReply(said) if isinstance(said, str) else said

    async def probe(self) -> Abilities:
        """It takes images; its replies are texts, and cannot be forced into a choice."""
        return Abilities(images=True, logprobs=False, structured=False)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True
