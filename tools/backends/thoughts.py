"""Separates a reasoning model's answer from its thoughts."""

import re
from dataclasses import dataclass

_NAME = (
    r"(?:\w+[:_])?(?:think|thinking|thoughts?|reason|reasoning|reflect|reflection|scratchpad|analysis|cot|monologue"
    r"|思考|chain_of_thought)(?:_\w+)?"
)
_OPEN = re.compile(
    rf"<\s*{_NAME}\b[^<>]*(?<!/)>|\[\s*{_NAME}\s*\]|◁\s*{_NAME}\s*▷|<\|\s*(?:begin_of_|start_)?{_NAME}\s*\|>"
    r"|<\|channel\|>\s*(?:analysis|commentary)[^<]*<\|message\|>|<unused94>(?:thought)?",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"<\s*/\s*{_NAME}\s*>|\[\s*/\s*{_NAME}\s*\]|◁\s*/\s*{_NAME}\s*▷|<\|\s*(?:end_of_|end_|/){_NAME}\s*\|>"
    r"|<\|channel\|>\s*final[^<]*<\|message\|>|<unused95>|assistantfinal",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)
_WRAPPED = re.compile(
    r"<(?P<tag>response|output|caption|description|final_answer|solution)>(.*)</(?P=tag)>", re.IGNORECASE | re.DOTALL
)
_TURN_BEGINS = re.compile(
    r"\A(?:\s|<bos>|\[/?INST\]|<\|(?:im_start|start_header_id)\|>|<start_of_turn>)*"
    r"(?:(?:<\|assistant\|>|(?<=[>])(?:assistant|model)\b)(?:<\|end_header_id\|>|\s)*)?",
    re.IGNORECASE,
)
_TURN_ENDS = re.compile(
    r"(?:<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|end|im_start|user)\|>|<end_of_turn>|<eos>|</s>\s*\Z"
    r"|<\uff5cend\u2581of\u2581sentence\uff5c>).*\Z",
    re.IGNORECASE | re.DOTALL,
)
"""Markers of a chat template; text after the end of a turn belongs to another speaker."""
_QUOTES = "\"'“”«»「」"
_WRAPPING = re.compile(
    r"<\|(?:begin|end)_of_(?:solution|box|answer)\|>|<\|(?:START|END)_RESPONSE\|>|\[/?RESPONSE\]"
    r"|<\|(?:start|end|return|channel|message)\|>|<\s*think(?:ing)?\s*/>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Parted:
    """A reply split into answer and thoughts."""

    answer: str
    thoughts: int
    """Characters of thought that were removed."""
    unfinished: bool
    """Whether the reply ends inside a thought."""


def part(text: str, *, opened: bool = False) -> Parted:
    """Split a reply into answer and thoughts, for any of the known markers.

    A closing marker without an opening one was opened by the prompt, so everything before it is thought. An opening
    marker without a closing one begins a thought that the reply did not finish.

    Args:
        text: the raw reply.
        opened: whether the prompt ends inside a thought.
    """
    answer, thoughts, unfinished = _outside(text, opened)
    if found := _ANSWER.search(answer):
        thoughts += len(answer[: found.start()].strip())
        answer = found[1]
    answer = _WRAPPING.sub("", _TURN_ENDS.sub("", _TURN_BEGINS.sub("", answer))).strip()
    wrapped = _WRAPPED.fullmatch(answer)
    return Parted(wrapped[2].strip() if wrapped else answer, thoughts, unfinished)


def is_mark(token: str) -> bool:
    """Whether a token of a vocabulary opens or closes thoughts."""
    return bool(_OPEN.fullmatch(token) or _CLOSE.fullmatch(token))


def opens(text: str) -> bool:
    """Whether a prompt ends with the beginning of a thought."""
    return any(not text[mark.end() :].strip() for mark in _OPEN.finditer(text))


def closing(opened: str) -> str:
    """The marker that closes the thought in which a prompt ends, to be appended; "" if there is none."""
    if not opens(opened):
        return ""
    mark = list(_OPEN.finditer(opened))[-1][0]
    named = re.sub("begin_of_|START_", lambda word: {"b": "end_of_", "S": "END_"}[word[0][0]], mark)
    return named if named != mark else re.sub(r"^(\W+)", r"\1/", mark)


def after_thoughts(text: str) -> int:
    """Offset of the text after the last closing marker; 0 without one."""
    return max((mark.end() for mark in _CLOSE.finditer(text)), default=0)


def _is_quoted(mark: re.Match[str], text: str) -> bool:
    """Whether a marker is only mentioned: it is in quotation marks, or they open before it and no thought ever ends."""
    before, after = text[: mark.start()][-1:], text[mark.end() :][:1]
    opened = bool(before) and before in _QUOTES
    return opened and ((bool(after) and after in _QUOTES) or not _CLOSE.search(text))


def _outside(text: str, inside: bool) -> tuple[str, int, bool]:
    """The text outside of the markers, the number of characters inside, and whether the text ends inside."""
    kept, thoughts, at = "", 0, 0
    found = [mark for kind in (_OPEN, _CLOSE) for mark in kind.finditer(text) if not _is_quoted(mark, text)]
    marks = sorted(found, key=lambda mark: mark.start())
    for mark in marks:
        piece, closes = text[at : mark.start()].strip(), bool(_CLOSE.fullmatch(mark[0]))
        at = mark.end()
        if inside:
            thoughts += len(piece)
        elif closes:
            kept, thoughts = "", thoughts + len(f"{kept} {piece}".strip())
        else:
            kept = f"{kept} {piece}".strip()
        inside = not closes
    rest = text[at:].strip()
    return (kept, thoughts + len(rest), True) if inside else (f"{kept} {rest}".strip(), thoughts, False)
