"""When a yes of the verifier is enough: the calibration of a verifier for confirming a match."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """How sure a verifier must be below the first ranks, where most of its yeses are mistakes.

    The default is for a verifier that was never calibrated: every yes counts.
    """

    near: int | None = None
    """Ranks of retrieval in which every yes counts; None: all."""
    deep: float = 0.0
    """P(yes) that a candidate below them must exceed."""

    def doubt(self, probability: float | None, rank: int) -> str | None:
        """Why a yes is not enough, in words; None where it is."""
        if probability is None or self.near is None or rank <= self.near or probability > self.deep:
            return None
        return f"P(yes) {probability:.2f} at rank {rank}, where more than {self.deep:.2f} is needed"


EVERY_YES = Trust()
"""Whatever the rank."""
