"""Reads the message of a chat completion: its text in any form, and the thoughts in other fields."""

from typing import Any

from ctgi.reading import Json

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Fields for thoughts on various servers; several may hold the same."""
_THOUGHT_PARTS = {"thinking", "reasoning", "reasoning_text", "reasoning_content", "redacted_thinking", "thought"}
_TEXT_PARTS = {None, "text", "output_text", "refusal"}
_DEPTH = 6
"""Nesting depth of lists and objects that is searched."""


def text_of(message: Any) -> str:
    """The content: a text, or the joined texts of its parts, including a refusal.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(message, dict):
        raise ValueError("expected a message")
    content = message.get("content")
    parts = [content] if isinstance(content, str | dict) else content or []
    if not isinstance(parts, list):
        raise ValueError("expected a text as content, or a list of parts")
    refusal = message.get("refusal")
    return "".join(map(_text, parts)).strip() or (refusal.strip() if isinstance(refusal, str) else "")


def thoughts_beside(message: Json) -> int:
    """Characters of thought in separate fields and parts."""
    beside = next((message[name] for name in _THOUGHTS if message.get(name)), None)
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    apart = [one for one in parts if isinstance(one, dict) and _is_thought(one)]
    return _characters(beside) + _characters(apart)


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") not in _TEXT_PARTS or _is_thought(part):
        return ""
    text = part.get("text") or part.get("refusal")
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""


def _is_thought(part: Json) -> bool:
    return part.get("type") in _THOUGHT_PARTS or part.get("thought") is True


def _characters(value: Any, depth: int = _DEPTH) -> int:
    if isinstance(value, str):
        return len(value.strip())
    if isinstance(value, dict) and depth:
        return sum(_characters(inner, depth - 1) for name, inner in value.items() if name not in ("type", "id"))
    return sum(_characters(one, depth - 1) for one in value) if isinstance(value, list) and depth else 0
