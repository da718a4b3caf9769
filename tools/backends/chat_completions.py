"""The OpenAI chat-completions format: requests as JSON, replies read strictly."""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.endpoint import Unavailable
from ctgi.tools.types import Tokens

MAX_ANSWER_CHARS = 20_000
MIN_CHOICE_MASS = 0.5
"""Less of the probability on the choices than this, and the reply was about something else."""

Json = dict[str, Any]


class _Alternative(BaseModel):
    token: str
    logprob: float = Field(le=0.01)  # also refuses NaN; masked tokens come as -9999 or -Infinity


class _Token(_Alternative):
    top_logprobs: list[_Alternative] = []


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def messages(request: ChatRequest, image_url: str | None) -> list[Json]:
    """System, then the image before the first prompt, then the dialogue: what calls share comes first.

    Servers cache the longest common prefix, so the image is computed once for all questions about it.
    """
    turns: list[Json] = [{"role": "system", "content": request.system}] if request.system else []
    prompts = [prompt for prompt, _ in request.history] + [request.prompt]
    for number, prompt in enumerate(prompts):
        turns.append({"role": "user", "content": _first(prompt, image_url) if number == 0 else prompt})
        if number < len(request.history):
            turns.append({"role": "assistant", "content": request.history[number][1]})
    return turns


def _first(prompt: str, image_url: str | None) -> str | list[Json]:
    if image_url is None:
        return prompt
    return [{"type": "image_url", "image_url": {"url": image_url}}, {"type": "text", "text": prompt}]


def read_reply(content: bytes, choices: Sequence[str] = (), *, needs_text: bool = True) -> ChatReply:
    """The reply in the body of a response with status 200.

    Raises:
        Unavailable: it is no chat completion, or says far too much, or nothing where it `needs_text`.
    """
    try:
        completion = _Completion.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise Unavailable(f"the reply is no chat completion: {problem['msg']}") from None
    choice = completion.choices[0]
    tokens = (choice.logprobs and choice.logprobs.content) or []
    usage = completion.usage or _Usage()
    return ChatReply(
        text=_text(choice, needs_text),
        confidence=_confidence(tokens),
        choices=choice_probabilities({t.token: t.logprob for t in tokens[0].top_logprobs}, choices) if tokens else {},
        tokens=Tokens(usage.prompt_tokens or 0, usage.completion_tokens or 0),
    )


def _text(choice: _Choice, needed: bool) -> str:
    """What was said; a refusal is said, too. Raises Unavailable as `read_reply` does."""
    text = (choice.message.content or choice.message.refusal or "").strip()
    if needed and not text:
        raise Unavailable(f"the answer is empty (finish reason {choice.finish_reason!r:.40})", strikes=0)
    if len(text) > MAX_ANSWER_CHARS:
        raise Unavailable(f"an answer of {len(text):,} characters, over {MAX_ANSWER_CHARS:,}", strikes=0)
    return text


def _confidence(tokens: Sequence[_Alternative]) -> float | None:
    """Geometric mean of the token probabilities."""
    if not tokens:
        return None
    return min(1.0, math.exp(sum(token.logprob for token in tokens) / len(tokens)))


def choice_probabilities(first_token: dict[str, float], choices: Sequence[str]) -> dict[str, float]:
    """Probability of each choice, from the logprobs of the alternatives at the first generated token.

    A choice may be spelt in several tokens, with a space before it or in capitals ("y", " Yes", "YES"), so
    every token counts that begins exactly one of the choices. Normalised over the choices; empty where they
    hold less than MIN_CHOICE_MASS of the probability.
    """
    mass = dict.fromkeys(choices, 0.0)
    for token, logprob in first_token.items():
        start = token.strip().lower()
        begun = [choice for choice in choices if start and choice.lower().startswith(start)]
        if len(begun) == 1:
            mass[begun[0]] += math.exp(logprob)
    total = sum(mass.values())
    return {choice: part / total for choice, part in mass.items()} if total >= MIN_CHOICE_MASS else {}
