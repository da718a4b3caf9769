"""Rows of an ablation that say the same are named."""

from typing import Any

from ctgi.reports.ablation_table import identical_rows


def row(model: str, mtg: bool, mti: bool, r1: float) -> dict[str, Any]:
    numbers = {"R@1": r1, "R@5": 80.0, "R@10": 90.0, "mAP": 50.0, "mINP": 40.0}
    return {"model": model, "MTG": mtg, "MTI": mti, "context": 248, **numbers}


def test_rows_with_the_same_numbers_are_named_with_what_changed_nothing() -> None:
    table = [
        row("irra", False, False, 60.0),
        row("irra", True, False, 61.0),
        row("irra", False, True, 60.0),
        row("rde", False, False, 60.0),
    ]
    assert identical_rows(table) == [(1, 3, ["MTI"])]
