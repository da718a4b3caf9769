"""A yes below the first ranks must be surer."""

import pytest

from ctgi.agents import abilities
from ctgi.agents.abilities import trust_in
from ctgi.agents.trust import Trust
from ctgi.config import load_settings


@pytest.mark.parametrize(
    ("probability", "rank", "sure"),
    [(0.65, 3, True), (0.65, 4, False), (0.81, 20, True), (0.8, 20, False), (None, 20, True)],
)
def test_how_sure_a_yes_must_be_depends_on_its_rank(probability: float | None, rank: int, sure: bool) -> None:
    doubt = Trust(near=3, deep=0.8).doubt(probability, rank)
    assert (doubt is None) is sure
    assert sure or doubt == f"P(yes) {probability:.2f} at rank {rank}, where more than 0.80 is needed"


def test_a_verifier_without_a_calibration_is_believed() -> None:
    assert Trust().doubt(0.51, 1000) is None


def test_the_calibration_lies_beside_its_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"verify_match": {"threshold": 0.6, "near": 4, "deep": 0.7}}
    monkeypatch.setattr(abilities, "measured", lambda: table)
    assert trust_in(load_settings()) == Trust(4, 0.7)
    assert trust_in(load_settings(binds=["images=vllm:x"])) == Trust()
    del table["verify_match"]["near"]
    assert trust_in(load_settings()) == Trust()
