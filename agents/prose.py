"""Turns replies into plain prose: removes markup and talk around the answer, turns lists into sentences."""

import ast
import html
import json
import re
import unicodedata
from typing import Any

from ctgi.agents.lists import Item, sentences
from ctgi.text import joined
from ctgi.tools.backends import ChatReply
from ctgi.tools.types import Reply

_FENCE = re.compile(r"^\s*(?:```|~~~)[\w+-]*\s*$", re.MULTILINE)
_HEADING = re.compile(r"^\s*#{1,6}\s+(?P<text>.*?)\s*#*\s*$")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$")
_BOLD_LINE = re.compile(r"^[ \t]*(\*\*|__)(?P<text>[^*_\n]{1,40}?)(?<![.!?])[:：]?\1[:：]?[ \t]*$", re.MULTILINE)
_ONE_LINE_LIST = re.compile(r"(?<=\S)[ \t]+(?=\(?\d{1,2}[.)]\s)")
_BULLET = re.compile(r"^\s*(?:[-*+•‣◦▪·–—]|\(?\d{1,2}[.)](?!\d)|\(?[a-hA-H]\))\s+(?P<text>\S.*)$")
_TABLE = re.compile(r"^\s*\|(?P<cells>.*)\|\s*$")
_TABLE_RULER = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)+\|?\s*$")
_LABELED = re.compile(r"^(?P<key>[^\s:：.,!?\"“][^:：.!?\"“]{0,38}?)\s*[:：](?!\d|//)\s*(?P<value>.*)$", re.DOTALL)
_INLINE = (
    (re.compile(r"<\s*(?:br|/p|/div|/li|/h\d)\s*/?>", re.IGNORECASE), "\n"),
    (re.compile(r"<\s*li\b[^<>]*>", re.IGNORECASE), "\n- "),
    (re.compile(r"</?\s*(?:p|b|i|u|s|em|strong|span|div|ul|ol|h\d|code|pre|mark|small|sub|sup)\b[^<>]*>", re.I), ""),
    (re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)"), r"\1"),
    (re.compile(r"\$?\\boxed\{(?:\\text\{)?([^{}]*)\}{1,2}\$?"), r"\1"),
    (re.compile(r"(\*\*\*|\*\*|___|__|~~|`{1,2})(?=\S)(.+?)(?<=\S)\1", re.DOTALL), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_])_(?=[^\s_])([^_\n]+?)(?<=\S)_(?![\w_])"), r"\1"),
)
_NO_KEY = re.compile(r"\b(?:reads?|says?|saying|he|she|they|it|is|are|has|with|who|that)\b", re.IGNORECASE)
_ANSWERS = {"yes", "no", "true", "false"}
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "『": "』", "'": "'", "‘": "’"}
_END = ".!?…。！？؟।"
_MAX_LITERAL = 10_000

_KIND = r"(?:description|caption|answer|response|summary|query|text|rewrite|version)"
_LABEL = re.compile(
    rf"^(?:(?:the|a|my|your|final|new|initial|short|dense|detailed|brief|full|concise|refined|rewritten|revised|updated|"
    rf"image|person|person's)\s+)*(?:{_KIND}|verdict|reply|result|output|assistant|a)\s*[:：]\s*(?=\S)",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^(?:sure(?: thing)?|certainly|of course|absolutely|ok(?:ay)?|alright|great(?: question)?|got it|understood"
    r"|happy to help|i'd be happy to help|no problem)(?:[!.,:]+\s+|\s*[!.]$)",
    re.IGNORECASE,
)
_ANNOUNCEMENT = re.compile(
    r"^(?:(?:here(?:'s|’s| is| are)|below is|below are|the following is"
    rf"|i(?:'ll| will| can) (?:describe|provide)|let me describe)\b[^.!?\n:：]*\b(?:{_KIND}|details?|breakdown|list"
    r"|what i (?:can )?see|person|image)s?\b[^.!?\n:：]*[:：]"
    rf"|here(?:'s|’s| is) (?:a|an|the|my|your)\b[^.!?\n:：]*\b{_KIND}\b[^.!?\n:：]*(?:[.!]|\n))\s*",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"^(?:based on|according to|from|judging by|looking at|in)\s+(?:the|this|what)\b[^,.:]{0,60}"
    r"\b(?:image|photo|photograph|picture|visible|see|shown|provided|view)\b[^,.:]{0,30},\s+",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:^|(?<=[.!?:)\n\"])\s*)(?:(?:please )?let me know|feel free to|(?:i )?hope (?:this|that|it)\b"
    r"|is there anything (?:else|more)|would you like (?:me|to)|do you (?:want|need) (?:me|any)"
    r"|if you(?:'d| would)? (?:need|want|like|have)\b|(?:please )?don't hesitate|happy to (?:help|provide)"
    r"|i(?:'m| am) happy to|can i help)\b[^\n]*\Z",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"(?<=\S)\n\s*\W*(?:note|explanation|reasoning|rationale|justification|disclaimer|confidence)\W*[:：][^\n]*",
    re.IGNORECASE,
)
_REASONED = re.compile(
    r"^\W*(?:thinking|thoughts?|reasoning|analysis|chain of thought|let'?s think)\b[^\n]*.*"
    r"\n\W*(?:final )?(?:answer|caption|description|response|output)\W*[:：]\W*(?=\w)",
    re.IGNORECASE | re.DOTALL,
)
"""Thoughts without markers, up to the label of the answer."""
_JSON_WITHIN = re.compile(r"(?:```|~~~)[\w+-]*\s*([{\[].*[}\]])\s*(?:```|~~~)|(?:^|[:：]\s*)(\{\s*[\"'].*\})", re.S)
_JSON_TEXT = ("caption", "description", "answer", "text", "response", "refined_query", "query", "verdict", "match",
              "result", "output", "content", "final_answer", "message")  # fmt: skip


def prose(reply: str) -> str:
    """A model's reply as one line of prose, without markup, greetings and offers of help; lists become sentences.

    Quotations do not change. Returns "" if nothing is left.
    """
    text = _visible(reply.replace("\r\n", "\n").replace("\r", "\n")).strip()
    parsed = _json_within(text)
    text = _unfenced(text)
    text = _without_markup(parsed if parsed is not None else text)
    text = _without_talk(unquoted(text))
    return unquoted(" ".join(_flowing(text).split()))


def said(reply: ChatReply) -> Reply:
    """A model's reply as a tool's result: its prose, and the raw reply if it differs."""
    text, own = prose(reply.text), " ".join(reply.text.split())
    return Reply(text, reply.confidence, reply.tokens, "" if text == own else reply.text)


def unquoted(text: str) -> str:
    """The text without quotation marks around the whole of it; those around a part stay."""
    text = text.strip()
    close = _QUOTES.get(text[:1])
    end = text[:-1] if text.endswith(".") and text[-2:-1] == close else text
    if not close or len(end) < 2 or not end.endswith(close):
        return text
    inside = end[1:-1]
    first = re.search(f"[{re.escape(text[0] + close)}]", inside.replace("n't", "n t").replace("'s", " s"))
    if first and first.start() and not inside[first.start() - 1].isspace():
        return text  # the opening mark is closed before the end
    return inside.strip() or text


def _unfenced(text: str) -> str:
    return _FENCE.sub("", text).strip()


def _visible(text: str) -> str:
    """The text without invisible characters, such as control characters and direction marks."""
    return "".join(char for char in joined(text) if char in "\n\t\u200c\u200d" or unicodedata.category(char)[0] != "C")


def _json_within(text: str) -> str | None:
    """The words of a reply that is or contains JSON; None for any other reply."""
    whole = _from_json(_unfenced(text))
    found = _JSON_WITHIN.search(text) if whole is None else None
    return _from_json(found[1] or found[2]) if found else whole


def _from_json(text: str) -> str | None:
    if text[:1] not in ("{", "[", '"'):
        return None
    try:
        return _spoken(json.loads(re.sub(r",\s*(?=[}\]])", "", text)))
    except (ValueError, RecursionError):
        pass
    try:
        return _spoken(ast.literal_eval(text)) if text[0] == "{" and len(text) < _MAX_LITERAL else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _spoken(value: Any, depth: int = 0) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and depth < 4:
        told = next((value[key] for key in _JSON_TEXT if isinstance(value.get(key), str | bool)), None)
        if told is not None:
            return _spoken(told)
        parts = {str(key).replace("_", " "): _spoken(one, depth + 1) for key, one in value.items()}
        lines = [f"- {key}: {one}" for key, one in parts.items() if one]
        return "\n".join(lines) if depth == 0 else ", ".join(filter(None, parts.values()))
    if isinstance(value, list) and depth < 4:
        found = [one for one in (_spoken(part, depth + 1) for part in value) if one]
        return "\n".join(f"- {one}" for one in found) if depth == 0 else ", ".join(found)
    return "" if value is None else str(value)


def _without_markup(text: str) -> str:
    text = _BOLD_LINE.sub(r"# \g<text>", text)
    for mark, kept in _INLINE:
        text = mark.sub(kept, text)
    text = html.unescape(text)
    return "\n".join(re.sub(r"^\s*>\s?", "", line) for line in text.split("\n"))


def _without_talk(text: str) -> str:
    """The text without a model's talk around its answer."""
    text = _REMARK.sub("", _REASONED.sub("", text))
    while True:
        shorter = text
        for talk in (_CLOSING, _GREETING, _ANNOUNCEMENT, _LABEL, _ASIDE):
            shorter = talk.sub("", shorter, count=1).strip()
        if shorter == text or not shorter:
            return text if shorter else ""
        text = shorter[:1].upper() + shorter[1:] if len(shorter.split()) > 3 else shorter


def _flowing(text: str) -> str:
    """Lines, headings, list items and paragraphs as consecutive sentences."""
    told: list[str] = []
    items: list[Item] = []
    heading, broken = "", True
    if re.match(r"\(?1[.)]\s", text):
        text = _ONE_LINE_LIST.sub("\n", text)
    lines = _without_table_heads(text.split("\n"))
    if len(lines) == 1 and (only := _BULLET.match(lines[0])) and not _labeled(only["text"]):
        return only["text"].strip()
    labels = sum(bool(_labeled(line.strip())) for line in lines) > 1

    def end_list() -> None:
        nonlocal items
        told.extend(sentences(items))
        items = []

    for line in lines:
        if not line.strip() or _RULE.match(line):
            broken = True
            continue
        title = _HEADING.match(line)
        item = _item(line, heading, labels=labels)
        if title or (not item and line.strip().endswith((":", "：")) and len(line.split()) <= 8):
            end_list()
            heading, broken = (title["text"] if title else line).strip().rstrip(":："), True
        elif item:
            items += [item] if item.value else []
            heading = heading if item.value else item.key
        else:
            end_list()
            heading = "" if broken else heading
            _append(told, line.strip(), new=broken)
            broken = False
    end_list()
    return " ".join(told) or heading


def _without_table_heads(lines: list[str]) -> list[str]:
    """The lines without the first row and the ruler of a table."""
    rulers = {number for number, line in enumerate(lines) if _TABLE_RULER.match(line)}
    return [line for number, line in enumerate(lines) if number not in rulers and number + 1 not in rulers]


def _append(told: list[str], line: str, *, new: bool) -> None:
    if told and told[-1] == line:
        return
    if told and new and not told[-1].rstrip("\"'”’)").endswith(tuple(_END)):
        told[-1] += "."
    told.append(line)


def _labeled(text: str) -> tuple[str, str] | None:
    """The parts of a short `Top: red coat`."""
    found = _LABELED.match(text)
    if not found or len(found["key"].split()) > 4 or _NO_KEY.search(found["key"]) or found["key"].lower() in _ANSWERS:
        return None
    return found["key"].strip(), found["value"].strip()


def _item(line: str, heading: str, *, labels: bool) -> Item | None:
    """A line of a list or a table, or, with `labels`, a `Top: red coat` without a bullet."""
    table = _TABLE.match(line)
    if table:
        cells = [cell.strip() for cell in table["cells"].split("|")]
        return Item(cells[0], ", ".join(filter(None, cells[1:]))) if len(cells) > 1 else Item(heading, cells[0])
    bullet = _BULLET.match(line)
    text = (bullet["text"] if bullet else line).strip()
    labeled = _labeled(text) if bullet or labels else None
    if labeled:
        return Item(*labeled)
    return Item(heading, text) if bullet else None
