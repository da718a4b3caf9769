"""What a caption claims, one thing at a time, so that each can be held against the picture by itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ctgi.agents.grammar import COLORS
from ctgi.agents.pool import PoolQuestion, QuestionPool
from ctgi.agents.statements import content_words

_VERBS = (
    r"(?:is |are |was |and |who |which )*(?:wear(?:s|ing)?|carr(?:ies|ying)|holds?|holding|has|have|having|dressed in)"
)
_SENTENCE = re.compile(r"[^.;!?。！？；]+(?:[.;!?](?!\s|$)[^.;!?。！？；]*)*")
_JOINT = re.compile(
    rf"[,，、]\s*(?:and\s+)?(?:(?:with|{_VERBS})\s+)?|\s+(?:and|with|while)\s+(?:{_VERBS}\s+)?|\s+{_VERBS}\s+"
    rf"|\s+in\s+(?=(?:an?|{'|'.join(sorted(COLORS))})\b)|\s+(?:is|are)\s+(?=\w+ing\b)",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"([\w-]+)\W*$")
_FIRST_WORD = re.compile(r"\W*([\w-]+)")


@dataclass(frozen=True)
class Claim:
    """A part of a caption that answers questions of the pool."""

    start: int
    """Where it stands in the caption, in characters."""
    end: int
    text: str
    questions: tuple[PoolQuestion, ...]
    """Those that it answers."""


def claims(caption: str, pool: QuestionPool) -> list[Claim]:
    """The claims of a caption, in order and each once. A sentence that answers no question is a claim too."""
    spans = [span for sentence in _SENTENCE.finditer(caption) for span in _claimed(caption, sentence, pool)]
    found = (_claim(caption, start, end, pool) for start, end in spans)
    once: dict[str, Claim] = {}
    for claim in found:
        once.setdefault(claim.text.lower(), claim)
    return [*once.values()]


def _claim(caption: str, start: int, end: int, pool: QuestionPool) -> Claim:
    text = caption[start:end]
    start += len(text) - len(text.lstrip())
    return Claim(start, start + len(text.strip()), text.strip(), pool.answered_by(text))


def _claimed(caption: str, sentence: re.Match[str], pool: QuestionPool) -> Iterator[tuple[int, int]]:
    """The places of the claims of a sentence: what answers no question belongs to the claim before it, or after it."""
    start, open_end = sentence.start(), 0
    for begin, end in _pieces(caption, sentence.start(), sentence.end()):
        if pool.answered_by(caption[begin:end]):
            if open_end:
                yield start, open_end
                start = begin
            open_end = end
        elif open_end:
            open_end = end
    if open_end or content_words(caption[start : sentence.end()]):
        yield start, open_end or sentence.end()


def _pieces(caption: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The places between joints; two colors that "and" joins are not torn apart."""
    for joint in _JOINT.finditer(caption, start, stop):
        if joint.start() > start:
            if _joins_colors(caption, joint):
                continue
            yield start, joint.start()
        start = joint.end()
    if start < stop:
        yield start, stop


def _joins_colors(caption: str, joint: re.Match[str]) -> bool:
    before, after = _LAST_WORD.search(caption[: joint.start()]), _FIRST_WORD.match(caption, joint.end())
    return bool(before and after and before[1].lower() in COLORS and after[1].lower() in COLORS)
