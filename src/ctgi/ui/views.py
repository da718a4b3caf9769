"""What the search page shows of a search, as plain values for the templates."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ctgi.graphs.mti_state import ALL, Filter, filter_of
from ctgi.records import Anchor, Match, SearchRecord, VerdictRecord
from ctgi.reports.rankings import added
from ctgi.retrieval.sources.references import file_name
from ctgi.runs.steered import Moment
from ctgi.ui.store import Begun, Kept

_STAGES = {
    "propose": "Finding out what to ask",
    "ask_anchor": "Asking about the match",
    "aggregate": "Writing the refined query",
    "rerank": "Ranking again",
}
"""By the step that comes next."""


@dataclass(frozen=True)
class Verdict:
    """The verifier's word on one candidate."""

    answer: str
    """yes, unsure, no or failed."""
    percent: int | None
    """P(yes) in per cent; None where the backend tells none."""
    needed: int
    """Per cent from which on it is a match."""
    why: str
    """Its words, what makes it unsure, or the error."""

    @property
    def told(self) -> str:
        """How likely it is a match and why, in sentences; empty where nothing is known beyond the answer."""
        likely = "" if self.percent is None else f"How likely it is a match: {self.percent} %"
        if likely and self.answer == "no":
            likely += f"; {self.needed} % are needed"
        why = "" if self.why.strip(" .!").casefold() in ("yes", "no", "") else self.why
        return ". ".join(filter(None, (likely, why)))


@dataclass(frozen=True)
class Card:
    """One place of the ranking."""

    id: str
    """Names its elements: unique where copies of an image are ranked too."""
    sha256: str
    name: str
    rank: int
    score: float
    moved: int | None
    """Ranks gained by the dialogue, negative when lost; None for an image from below the first thousand."""
    rank_before: int | None
    verdict: Verdict | None
    anchor: str
    """Who or what confirmed it, as its badge; empty for all others."""
    kept: bool
    """On the shortlist."""


@dataclass(frozen=True)
class SearchView:
    """A search at one moment."""

    begun: Begun
    found: SearchRecord | None
    """None before the first ranking."""
    cards: tuple[Card, ...]
    aside: tuple[str, ...]
    """sha256 of images that the person set aside."""
    pieces: tuple[tuple[str, bool], ...]
    """The refined query; true for what the dialogue added."""
    question: str | None
    """What the person is asked now."""
    left: int
    """Questions after this one."""
    running: bool
    stage: str
    """What goes on, in a few words."""
    shortlist: tuple[Kept, ...]
    unknown: tuple[str, ...]
    """Words that mean nothing to the embedded models, where these answer."""
    old: bool
    """Whether another encoder made it."""
    filter: Filter = ALL
    """Which images are ranked."""

    @property
    def cut(self) -> int:
        """Tokens of the query that the encoder did not read."""
        return self.found.truncated_tokens if self.found else 0

    @property
    def trust(self) -> str:
        """How sure the search is of its anchor, in plain words; empty where nothing is to be said yet."""
        found = self.found
        if found is None or self.running or self.question or not (found.verified or found.anchors):
            return ""
        if not found.anchors:
            return f"No confident match: {found.no_match}. The ranking is that of your words alone."
        if any(anchor.by_person for anchor in found.anchors):
            return "You confirmed the match; the ranking follows it."
        if self.weak:
            return f"A weak match: confirmed, but only just ({self.weak}). Look at the pictures yourself."
        return f"A match was confirmed at rank {found.anchors[0].rank}{_surety(found.anchors[0].probability)}."

    @property
    def reranked(self) -> bool:
        """Whether the dialogue has changed the ranking."""
        return any(card.moved != 0 for card in self.cards)

    @property
    def weak(self) -> str:
        """Why the anchor is weak; empty for a sound one, or none."""
        return next((anchor.weak for anchor in self.found.anchors if anchor.weak), "") if self.found else ""


def view(
    begun: Begun, moment: Moment | None, kept: list[Kept], *, running: bool = False, unknown: tuple[str, ...] = (),
    old: bool = False,
) -> SearchView:  # fmt: skip
    """The page's view of a search."""
    found = moment.found if moment else None
    on_list = frozenset(one.sha256 for one in kept)
    pieces = added(found.query, found.refined_query) if found and found.refined_query else []
    return SearchView(
        begun=begun,
        found=found,
        cards=_cards(found, on_list) if found else (),
        aside=tuple(moment.state.get("excluded", ())) if moment else (),
        pieces=tuple(pieces),
        question=moment.question if moment and not old else None,
        left=moment.left if moment else 0,
        running=running,
        stage=_stage(moment) if moment else "Searching",
        shortlist=tuple(kept),
        unknown=unknown,
        old=old,
        filter=filter_of(moment.state) if moment else ALL,
    )


def _stage(moment: Moment) -> str:
    seen = len(moment.found.verified)
    checked = f": {seen} seen, {sum(one.confirmed for one in moment.found.verified)} confirmed" if seen else ""
    if moment.node == "verify":
        return f"Looking closely at the best candidates{checked}"
    return _STAGES.get(moment.node or "", "Searching")


def _cards(found: SearchRecord, kept: frozenset[str]) -> tuple[Card, ...]:
    verdicts = {record.path: _verdict(record) for record in found.verified}
    anchors = {anchor.sha256: anchor for anchor in found.anchors}
    refined = found.refined_query is not None or any(match.rank != match.rank_before for match in found.results)
    seen: Counter[str] = Counter()
    cards = []
    for match in found.results:
        seen[match.sha256] += 1
        cards.append(_card(match, seen[match.sha256], verdicts.get(match.path), anchors, kept, refined))
    return tuple(cards)


def _card(
    match: Match, copy: int, verdict: Verdict | None, anchors: Mapping[str, Anchor], kept: frozenset[str],
    refined: bool,
) -> Card:  # fmt: skip
    before = match.rank_before if refined else match.rank
    anchor = anchors.get(match.sha256)
    return Card(
        id=match.sha256[:16] + (f"-{copy}" if copy > 1 else ""),
        sha256=match.sha256,
        name=file_name(match.path),
        rank=match.rank,
        score=match.score,
        moved=None if before is None else before - match.rank,
        rank_before=before,
        verdict=verdict,
        anchor="" if anchor is None else "You" if anchor.by_person else "Weak match" if anchor.weak else "Match",
        kept=match.sha256 in kept,
    )


def _verdict(record: VerdictRecord) -> Verdict:
    answer = "failed" if record.error else "yes" if record.confirmed else "unsure" if record.match else "no"
    percent = None if record.probability is None else round(record.probability * 100)
    return Verdict(answer, percent, round(record.threshold * 100), record.error or record.doubt or record.text)


def _surety(probability: float | None) -> str:
    return "" if probability is None else f", {round(probability * 100)} % sure"
