"""The OpenAI chat-completions format: writes requests; reads the text of replies strictly, and the rest if possible."""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json

from ctgi.errors import ToolError
from ctgi.reading import Json
from ctgi.text import joined as joined_surrogates
from ctgi.text import plain
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.chat_message import text_of, thoughts_beside
from ctgi.tools.backends.endpoint import Unavailable
from ctgi.tools.backends.event_stream import is_event_stream, joined
from ctgi.tools.backends.refusals import RefusedError, complaint_in_reply
from ctgi.tools.backends.thoughts import part
from ctgi.tools.backends.token_probabilities import choice_probabilities, read_probabilities
from ctgi.tools.types import Tokens

__all__ = ["Json", "choice_probabilities", "messages", "read_reply"]

MAX_ANSWER_CHARS = 20_000
MAX_REPLY_CHARS = 400_000
"""Limit of a reply, including thoughts."""
_BOM = b"\xef\xbb\xbf"
_CUT = re.compile(r"length|token|limit|context|incomplete", re.IGNORECASE)
_WHOLE = re.compile(r"stop|eos|end", re.IGNORECASE)
_FILTERED = re.compile(
    r"filter|safety|recitation|blocklist|prohibit|sensitive|spii|guardrail|refus|policy|moderat", re.IGNORECASE
)
_BROKEN_OFF = re.compile(r"error|abort|cancel|time.?out|malformed|insufficient|repetition", re.IGNORECASE)
"""Finish reasons that mean an incomplete reply, in the words of various servers."""


def messages(request: ChatRequest, image_url: str | None, *, system_apart: bool = True) -> list[Json]:
    """System, then the image before the first prompt, then the dialogue: what calls share comes first.

    Servers cache the longest common prefix, so the image is computed once for all questions about it.

    Args:
        request: the request.
        image_url: the image as a data URL.
        system_apart: whether the system prompt is a message of its own, or begins the first prompt.
    """
    turns: list[Json] = [{"role": "system", "content": request.system}] if request.system and system_apart else []
    prompts = [prompt for prompt, _ in request.history] + [request.prompt]
    if request.system and not system_apart:
        prompts[0] = f"{request.system}\n\n{prompts[0]}"
    for number, prompt in enumerate(prompts):
        turns.append({"role": "user", "content": _first(prompt, image_url) if number == 0 else prompt})
        if number < len(request.history):
            turns.append({"role": "assistant", "content": request.history[number][1]})
    return turns


def _first(prompt: str, image_url: str | None) -> str | list[Json]:
    if image_url is None:
        return prompt
    return [{"type": "image_url", "image_url": {"url": image_url}}, {"type": "text", "text": prompt}]


def read_reply(
    content: bytes,
    choices: Sequence[str] = (),
    *,
    needs_text: bool = True,
    max_tokens: int | None = None,
    hide: Callable[[str], str] = str,
) -> ChatReply:
    """The reply in the body of a response with status 200.

    Args:
        content: the body: a chat completion, or an event stream of its pieces.
        choices: the words among which the reply should be.
        needs_text: whether an empty reply is an error.
        max_tokens: the limit of the request, for servers that do not say why a reply ends.
        hide: removes secrets from a text.

    Raises:
        Unavailable: it is not a chat completion, far too long, or empty although it `needs_text`.
        RefusedError: it contains an error instead of a reply.
        ToolError: a filter stopped the reply.
    """
    body = _parsed(content, hide)
    if said := complaint_in_reply(body, hide):
        raise RefusedError(said)
    choice, text = _first_choice(body)
    finish = str(choice.get("finish_reason") or "")
    _check_finish(finish, choice, hide)
    tokens = _tokens(body.get("usage"))
    parted, beside = part(_bounded(text, MAX_REPLY_CHARS)), thoughts_beside(choice["message"])
    answer, thoughts = _bounded(parted.answer, MAX_ANSWER_CHARS), parted.thoughts + beside
    cut = _is_cut(finish) or parted.unfinished or (not finish and 0 < tokens.output == max_tokens)
    if needs_text and not answer.strip("\ufffd") and not cut:
        only = f", {thoughts:,} characters of thought" if thoughts else ""
        raise Unavailable(f"the answer is empty (finish reason {choice.get('finish_reason')!r:.40}{only})", strikes=0)
    how_sure = read_probabilities(choice.get("logprobs"), answer, choices, thinks=thoughts > 0 or parted.unfinished)
    return ChatReply(answer, how_sure.confidence, how_sure.choices, tokens, thoughts, cut)


def _parsed(content: bytes, hide: Callable[[str], str]) -> Json:
    content = content.removeprefix(_BOM).lstrip()
    try:
        body = joined(content) if is_event_stream(content) else _from_json(content)
    except ValueError as error:
        if is_event_stream(content):
            raise Unavailable(f"the server streams its reply, which cannot be assembled: {error}") from None
        begins = plain(hide(content[:2000].decode(errors="replace")))[:80]
        raise Unavailable(
            f"the reply is not a chat completion: Invalid JSON: {error}; it begins with {begins!r}"
        ) from None
    if not isinstance(body, dict):
        raise Unavailable("the reply is not a chat completion: expected a JSON object")
    return body


def _from_json(content: bytes) -> Any:
    """The JSON of a body; half surrogate pairs, which some parsers refuse, become U+FFFD."""
    try:
        return from_json(content)
    except ValueError as error:
        if "hex escape" not in str(error):
            raise
        return from_json(joined_surrogates(json.dumps(json.loads(content), ensure_ascii=False)))


def _first_choice(body: Json) -> tuple[Json, str]:
    """The first choice with a text, else the first that can be read."""
    choices = body.get("choices")
    readable, problem = [], "expected a list of choices with at least one"
    for choice in choices if isinstance(choices, list) else []:
        try:
            readable.append((choice, text_of(choice.get("message") if isinstance(choice, dict) else None)))
        except ValueError as error:
            problem = str(error)
    if not readable:
        raise Unavailable(f"the reply is not a chat completion: {problem}")
    return next((found for found in readable if found[1]), readable[0])


def _check_finish(finish: str, choice: Json, hide: Callable[[str], str]) -> None:
    """Raise for a reply that ended for a reason other than its own end or its length."""
    if _FILTERED.search(finish):
        raise ToolError(f"a filter of the server stopped the reply (finish reason {finish!r})")
    if _BROKEN_OFF.search(finish):
        said = complaint_in_reply({"error": choice.get("error")}, hide)
        raise RefusedError(said) if said else Unavailable(f"the reply broke off (finish reason {finish!r})")


def _is_cut(finish: str) -> bool:
    return bool(_CUT.search(finish)) and not _WHOLE.search(finish)


def _bounded(text: str, limit: int) -> str:
    if len(text) > limit:
        raise Unavailable(f"an answer of {len(text):,} characters, over {limit:,}", strikes=0)
    return text


def _tokens(usage: Any) -> Tokens:
    fields = usage if isinstance(usage, dict) else {}
    return Tokens(_count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens")))


def _count(value: Any) -> int:
    """A number of tokens in any form; 0 if it is not a number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return int(number) if math.isfinite(number) and 0 <= number < 2**40 else 0
