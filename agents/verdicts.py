"""Verdicts: whether a reply says yes or no to "does this person match the description?"."""

import re

from ctgi.agents.languages import yes_or_no
from ctgi.agents.prose import prose
from ctgi.agents.statements import tells_nothing_seen

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x2019: "'", 0xFE0F: None}
_SIGNS = dict.fromkeys(["y", "1", "✅", "✔", "✓", "👍"], True) | dict.fromkeys(["n", "0", "❌", "✘", "✗", "👎"], False)
_STOP = r"(?=\s*(?:[.,;:!)\"'*\u2013\u2014-]|$|because\b|since\b|as\b))"
_LABELED = re.compile(
    rf"\b(?:answer|verdict|conclusion|decision|match(?:es)?)\s*(?:is|[:=])+\s*[\"'(*]*(yes|no|true|false)\b{_STOP}",
    re.I,
)
_LAST = re.compile(r"(?:^|[\s,.:;(])(yes|no)[\s.!)\"']*$", re.IGNORECASE)
_ECHO = re.compile(r"^\W*yes or no\W*[:?]\s*", re.IGNORECASE)
_BOTH = re.compile(r"^\W*(?:yes\W+(?:(?:and|or|but)\W+)?no|no\W+(?:(?:and|or|but)\W+)?yes)\b(?!\s+\w)", re.IGNORECASE)
_NO_THING = re.compile(
    r"^\W*no\s+(?!(?:because|as|since|the|this|that|he|she|they|it|there|i|his|her|its|their|not|match\w*|coincide\w*"
    r"|corresponde\w*|es|se|lleva|son|hay|ha)\b)[a-z]",
    re.IGNORECASE,
)
"""The "no" of "no hat", which may not be the answer to the question."""
_NO_TROUBLE = re.compile(
    r"^\W*no\s+(?:\w+\s+)?(?:doubt|question|differences?|discrepanc\w+|contradict\w+|conflicts?|inconsistenc\w+|mismatch\w*"
    r"|issues?|problems?)\b",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(r"\b(?:cannot|can't|could not|unable to) (?:tell|say|determine|judge|decide)\b", re.IGNORECASE)
_WHOLE = (
    (True, r"certainly|absolutely|definitely|of course|indeed|sure|yup|right|(?:the )?same person"
           r"|(?:that is|that's|it is) (?:right|correct|true)|(?:it|he|she|they|(?:the|this) person) (?:does|do)"),
    (False, r"wrong|(?:that is|that's|it is) (?:wrong|incorrect|false)|(?:a )?different person|unmatched"
            r"|(?:(?:definitely|certainly|absolutely|of course|clearly) )?not(?: (?:quite|really|at all|exactly))?"
            r"|(?:it|he|she|they|(?:the|this) person) (?:does|do)(?: not|n't)"),
)  # fmt: skip
_WHOLE_REPLIES = [(says, re.compile(rf"^\W*(?:{words})(?:\W*$|[.,;!])", re.IGNORECASE)) for says, words in _WHOLE]

_MATCH = re.compile(r"\b(?P<mis>mis)?(?:match(?:es|ed|ing)?|corresponds?)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.!?;:,]|\b(?:so|but|and|which|because)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|never|cannot|no|fail(?:s|ed)? to)|n't)\s+(?:(?:appears?|seems?|looks?|to|be|a|an|any|in|the|good"
    r"|perfect|exact|clear|fully|really|quite|entirely|exactly|completely|clearly|closely|actually)\s+)*$"
    r"|^\W*(?:none|neither)\b",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"\b(?:no|not|never|without|nor|hardly|partial|partially|partly|may|might|could|possibl[ey]|perhaps|maybe|probably"
    r"|somewhat|some|roughly|near|close|potential|whether|if)\b|n't",
    re.IGNORECASE,
)
_LIMITED = re.compile(
    r"\b(?:but|except|however|although|partial|partially|partly|differs?|different|poor|missing)\b"
    r"|\b(?:does|do|is|are) not\b|n't\b",
    re.IGNORECASE,
)


def read_verdict(text: str) -> bool | None:
    """Whether a reply says yes or no in a known language; None if it says neither, or both."""
    said = _ECHO.sub("", (prose(text) or text).translate(_WIDE))
    sign = said.strip(" .!\"'*()[]").lower()
    if sign in _SIGNS:
        return _SIGNS[sign]
    if labeled := {word.lower() in ("yes", "true") for word in _LABELED.findall(said)}:
        return labeled.pop() if len(labeled) == 1 else None
    if _BOTH.match(said):
        return None
    first = yes_or_no(said)
    if first is False and _NO_THING.match(said):
        return _after_no_thing(said)
    return _later(said) if first is None else _unless_taken_back(said, first)


def _after_no_thing(said: str) -> bool | None:
    later = _ending(said)
    later = _read_match(said) if later is None else later
    return False if later is None and not _NO_TROUBLE.match(said) else later


def _unless_taken_back(said: str, first: bool) -> bool | None:
    """The verdict at the beginning of a reply, unless it ends with the other one, or says that it cannot tell."""
    if _ending(said) is (not first) or (not first and _NO_ANSWER.search(said)):
        return None
    return first


def _later(said: str) -> bool | None:
    """The verdict of a reply that does not begin with one."""
    if tells_nothing_seen(said):
        return None
    whole = next((says for says, pattern in _WHOLE_REPLIES if pattern.match(said)), None)
    if whole is not None:
        return whole
    last = _ending(said)
    if last is not None:
        return last
    _, colon, rest = said.rpartition(":")
    told = yes_or_no(rest) if colon else None
    return _read_match(said) if told is None else told


def _ending(said: str) -> bool | None:
    last = _LAST.search(said)
    return last[1].lower() == "yes" if last else None


def _read_match(said: str) -> bool | None:
    """The verdict of "matches", "does not match", "no match" or "mismatch"; None if doubted or contradictory."""
    told = {_said_of(found, said) for found in _MATCH.finditer(said)}
    return told.pop() if len(told) == 1 else None


def _said_of(found: re.Match[str], said: str) -> bool | None:
    before = _CLAUSE.split(said[: found.start()])[-1]
    denied = bool(_DENIED.search(before))
    if (not denied and _DOUBTED.search(before)) or (denied and found["mis"]):
        return None
    if denied or found["mis"]:
        return False
    return None if _LIMITED.search(said, found.end()) else True
