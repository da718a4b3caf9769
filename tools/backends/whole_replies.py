"""Complete replies without thoughts: a reply that was cut off is requested once more with a higher limit."""

import logging
import re
from dataclasses import replace

from ctgi.errors import ToolError
from ctgi.text import plain
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.backends.thoughts import part
from ctgi.tools.traces.call_notes import note
from ctgi.tools.types import Tokens

logger = logging.getLogger(__name__)


class WholeReplies:
    """A model whose replies are complete and without thoughts.

    Thoughts share a limit with the answer: once the model was seen to think, it gets the full limit from the start.
    """

    def __init__(self, mllm: Mllm, *, table: str, max_tokens: int) -> None:
        """Wrap a model.

        Args:
            mllm: the model.
            table: its endpoint's name in ctgi.toml.
            max_tokens: limit of tokens of a reply.
        """
        self.endpoint = mllm.endpoint
        self._mllm, self._table, self._max_tokens = mllm, table, max_tokens
        self._thinks: bool | None = None
        self._asked_again = self._with_thoughts = self._characters = 0

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The complete reply, with the tokens of both tries if it took two.

        Raises:
            ToolError: it was cut off at the highest limit too, or holds only thoughts; or as `Mllm.chat`.
        """
        room = self._max_tokens if self._thinks else min(request.max_tokens, self._max_tokens)
        reply = await self._ask(request, room)
        if self._breaks_off(reply, request) and room < self._max_tokens:
            reply = await self._ask_again(request, reply, room)
            room = self._max_tokens
        if self._breaks_off(reply, request):
            cure = f"raise max_tokens under [endpoints.{self._table}] in ctgi.toml"
            raise _failed(f"{self._told(reply, room)}: {cure}", reply.tokens)
        if reply.thoughts and not reply.text:
            told = f"{self.endpoint}: the reply holds nothing but thoughts ({reply.thoughts:,} characters)"
            raise _failed(f"{told}: turn thinking off, or bind another model", reply.tokens)
        if not reply.cut and reply.text not in request.choices:  # a choice may have been forced
            self._thinks = bool(self._thinks)
        return reply

    async def probe(self) -> Abilities:
        """As the model's own `probe`."""
        return await self._mllm.probe()

    async def aclose(self) -> None:
        """Report what was cut off, and close the model."""
        if self._with_thoughts:
            logger.warning(
                "%s: the model thinks aloud: %s characters of thought were removed from %d replies",
                self.endpoint, f"{self._characters:,}", self._with_thoughts,
            )  # fmt: skip
        if self._asked_again:
            logger.warning(
                "%s: replies cut off and requested again with up to %s tokens: %d",
                self.endpoint, f"{self._max_tokens:,}", self._asked_again,
            )  # fmt: skip
        await self._mllm.aclose()

    async def _ask(self, request: ChatRequest, room: int) -> ChatReply:
        reply = await self._mllm.chat(replace(request, max_tokens=room))
        parted = part(reply.text)
        if parted.thoughts or parted.unfinished:
            thoughts, cut = reply.thoughts + parted.thoughts, reply.cut or parted.unfinished
            reply = replace(reply, text=parted.answer, choices={}, thoughts=thoughts, cut=cut)
        if reply.thoughts:
            self._thinks = True
            note(thoughts=reply.thoughts)
            self._with_thoughts += 1
            self._characters += reply.thoughts
        return reply

    async def _ask_again(self, request: ChatRequest, first: ChatReply, room: int) -> ChatReply:
        self._asked_again += 1
        try:
            again = await self._ask(request, self._max_tokens)
        except ToolError as error:
            told = f"{self._told(first, room)}; with up to {self._max_tokens:,}: {error}"
            raise _failed(told, first.tokens + Tokens(*error.spent)) from None
        return replace(again, tokens=first.tokens + again.tokens)

    def _breaks_off(self, reply: ChatReply, request: ChatRequest) -> bool:
        """Whether the limit cut off more than words after a choice, which a model that does not think writes first."""
        chosen = reply.choices or any(re.match(rf"\W*{re.escape(c)}\b", reply.text, re.I) for c in request.choices)
        return reply.cut and not (chosen and self._thinks is False)

    def _told(self, reply: ChatReply, room: int) -> str:
        where = f" after {reply.thoughts:,} characters of thought" if reply.thoughts else ""
        shown = f": {plain(reply.text)[-60:]!r}" if reply.text else ""
        return f"{self.endpoint}: the reply was cut off at {room:,} tokens{where}{shown}"


def _failed(why: str, tokens: Tokens) -> ToolError:
    """The failure of a call that was paid for."""
    error = ToolError(why)
    error.spent = (tokens.input, tokens.output)
    return error
