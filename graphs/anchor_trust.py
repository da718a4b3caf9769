"""Trust in anchors: reasons for doubt that are reported with a ranking."""

from collections.abc import Collection, Sequence

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


def overruled(ranking: Sequence[Found], anchors: Collection[str]) -> str | None:
    """Path of plain retrieval's first image, if an anchor (given by sha256) took its place; else None."""
    if not ranking or ranking[0].sha256 not in anchors or ranking[0].rank_before in (None, 1):
        return None
    return next((found.path for found in ranking if found.rank_before == 1), None)
