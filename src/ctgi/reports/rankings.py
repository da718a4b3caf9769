"""What a picture of a search shows: the ranking before and after the dialogue (the paper's Figure 3)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatch
from pathlib import PurePath

from ctgi.records import Origin, SearchRecord

TOP = 10
"""Images in a row."""

Relevant = Callable[[str], bool]
"""Whether the image at a path shows the person who is looked for, where ground truth is given."""

_JOINTS = frozenset(".,;:\u3002\uff0c\uff1b\uff1a")
_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff]|\w+|[^\w\s]")  # no spaces in CJK: one character a word


@dataclass(frozen=True)
class Card:
    """One place of a ranking and the image on it."""

    rank: int
    path: str | None
    """None: the image that stood here has left the list, so that its name is not in the result."""
    score: float | None
    moved: int | None = 0
    """Ranks gained; negative when lost, None when it came from below the depth that was looked at."""
    rank_before: int | None = None
    anchor: bool = False
    weak: bool = False
    """Whether it is an anchor that can hardly be trusted."""
    right: bool | None = None
    """Whether it shows the right person; None without ground truth."""
    origin: Origin | None = None
    """Where it was cut out; None for an image that ctgi crop did not make."""


def named(patterns: Sequence[str]) -> Relevant:
    """By file name: any of these globs."""
    return lambda path: any(fnmatch(PurePath(path).name, pattern) for pattern in patterns)


def before(result: SearchRecord, relevant: Relevant | None) -> list[Card]:
    """The first places of the ranking by the query as it was typed."""
    found: dict[int | None, tuple[str, float | None]] = {
        item.rank_before: (item.path, item.score_before) for item in result.results
    }
    found |= {item.rank: (item.path, item.score) for item in result.left}
    for item in result.verified:
        if item.round == 1:  # later rounds verify in the order of a refined ranking
            score = item.score if "score" in item.model_fields_set else None
            found.setdefault(item.rank, (item.path, score))
    anchors, weak = anchor_paths(result), weak_paths(result)
    cards = []
    for rank in range(1, min(TOP, len(result.results)) + 1):
        path, score = found.get(rank, (None, None))
        cards.append(Card(rank, path, score, anchor=path in anchors, weak=path in weak, right=_judge(path, relevant)))
    return cards


def after(result: SearchRecord, relevant: Relevant | None) -> list[Card]:
    """The whole final ranking."""
    anchors, weak = anchor_paths(result), weak_paths(result)
    return [
        Card(
            rank=item.rank,
            path=item.path,
            score=item.score,
            moved=None if item.rank_before is None else item.rank_before - item.rank,
            rank_before=item.rank_before,
            anchor=item.path in anchors,
            weak=item.path in weak,
            right=_judge(item.path, relevant),
            origin=item.origin,
        )
        for item in result.results
    ]


def added(query: str, refined: str) -> list[tuple[str, bool]]:
    """The refined query in pieces that join to it again, each with whether the dialogue added it.

    The full stop or comma that joins an addition to the query is not part of the addition.
    """
    old = [word.group().lower() for word in _WORD.finditer(query)]
    words = list(_WORD.finditer(refined))
    matcher = SequenceMatcher(None, old, [word.group().lower() for word in words])
    pieces, at = [], 0
    for change, _, _, first, last in matcher.get_opcodes():
        while first + 1 < last and words[first].group() in _JOINTS:
            first += 1
        if change in ("insert", "replace") and first < last:
            start, end = words[first].start(), words[last - 1].end()
            pieces += [(refined[at:start], False), (refined[start:end], True)]
            at = end
    return [piece for piece in [*pieces, (refined[at:], False)] if piece[0]]


def is_reranked(result: SearchRecord) -> bool:
    """Whether the ranking is that of Eq. 7: a refined query, or a confirmed image that rose."""
    risen = bool(result.anchors) and any(item.score != item.score_before for item in result.results)
    return risen or result.refined_query is not None


def anchor_paths(result: SearchRecord) -> set[str]:
    """The images that were confirmed."""
    return {anchor.path for anchor in result.anchors}


def weak_paths(result: SearchRecord) -> set[str]:
    """Those of them that can hardly be trusted."""
    return {anchor.path for anchor in result.anchors if anchor.weak}


def _judge(path: str | None, relevant: Relevant | None) -> bool | None:
    return None if relevant is None or path is None else relevant(path)
