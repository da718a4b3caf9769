import pytest

from ctgi.graphs.anchor_trust import overruled, weakness
from ctgi.records import Found, VerdictRecord


@pytest.mark.parametrize(
    ("rank", "probability", "threshold", "weak"),
    [
        (14, 0.61, 0.5, "P(yes) 0.61, rank 14"),
        (1, 0.74, 0.5, "P(yes) 0.74"),
        (1, 0.76, 0.5, None),
        (11, 0.99, 0.5, "rank 11"),
        (1, 0.91, 0.9, "P(yes) 0.91"),
        (1, 0.96, 0.9, None),
        (3, None, 0.5, None),
    ],
)
def test_an_anchor_is_weak_just_above_the_threshold_or_far_down(
    rank: int, probability: float | None, threshold: float, weak: str | None
) -> None:
    anchor = VerdictRecord(
        path="a", rank=rank, match=True, probability=probability, text="yes", error=None, threshold=threshold
    )
    assert weakness(anchor) == weak


def test_a_plain_result_that_an_anchor_displaced_is_named() -> None:
    def found(name: str, before: int | None) -> Found:
        return Found(path=name, sha256=name, score=0.5, score_before=0.5, rank_before=before)

    ranking = [found("anchor", 14), found("best", 1), found("next", 2)]
    assert overruled(ranking, {"anchor"}) == "best"
    assert overruled(ranking, ()) is None
    assert overruled([found("anchor", 1), found("next", 2)], {"anchor"}) is None
    assert overruled([], ()) is None
