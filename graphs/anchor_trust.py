"""Trust in anchors: reasons for doubt that are reported with a ranking."""

from collections.abc import Collection, Sequence
from pathlib import PurePath

from ctgi.agents.abilities import NOT_JUDGED
from ctgi.records import Found, VerdictRecord

WEAK_RANK = 10
"""Below this rank of plain retrieval a confirmed candidate is more often a mistake than a find."""


def weakness(anchor: VerdictRecord) -> str | None:
    """Why an anchor is weak, like "P(yes) 0.61, rank 14"; None for a sound one.

    P(yes) is weak in the lower half of what counts as a yes. What a person confirmed is sound.
    """
    if anchor.by_person:
        return None
    reasons = []
    if anchor.probability is not None and anchor.probability < (1 + anchor.threshold) / 2:
        reasons.append(f"P(yes) {anchor.probability:.2f}")
    if anchor.rank > WEAK_RANK:
        reasons.append(f"rank {anchor.rank}")
    return ", ".join(reasons) or None


def no_match(verdicts: Sequence[VerdictRecord], anchors: Collection[str]) -> str | None:
    """Why nothing was confirmed; None where something was, or nothing was verified."""
    if anchors or not verdicts:
        return None
    told = f"none of {len(verdicts)} candidates was confirmed"
    likeliest = max((one for one in verdicts if one.doubt), key=lambda one: one.probability or 0.0, default=None)
    if likeliest:
        return f"{told}; the likeliest, {PurePath(likeliest.path).name}, has {likeliest.doubt}"
    failed = [one for one in verdicts if one.error]
    if failed:
        return f"{told}; {len(failed)} could not be looked at ({failed[0].error})"
    unjudged = next((one.text for one in verdicts if one.text.startswith(NOT_JUDGED)), None)
    return f"{told}; {unjudged}" if unjudged else told


def overruled(ranking: Sequence[Found], anchors: Collection[str]) -> str | None:
    """Path of plain retrieval's first image, if an anchor (given by sha256) took its place; else None."""
    if not ranking or ranking[0].sha256 not in anchors or ranking[0].rank_before in (None, 1):
        return None
    return next((found.path for found in ranking if found.rank_before == 1), None)
