"""What pictures and pages of a search are made from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.records import SearchRecord

Search = Callable[..., dict[str, Any]]


def _refuse_unknown_keys(record: SearchRecord) -> None:
    """What is written by hand here must have the names that a search has."""
    for part in (record, *record.anchors, *record.dialogue, *record.verified, *record.results):
        assert not part.model_extra


@pytest.fixture
def people(tmp_path: Path) -> list[str]:
    """Thirteen images, each of one grey of its own: 10, 20, ... 130."""
    paths = []
    for number in range(1, 14):
        path = tmp_path / f"p{number:02}.png"
        Image.new("RGB", (40, 100), (number * 10,) * 3).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def search(people: list[str]) -> Search:
    """A result of `ctgi search` in which p04 was confirmed and rose to the top; p12 came from out of sight."""

    def build(**changes: Any) -> dict[str, Any]:
        order = [4, 1, 12, 2, 3, 6, 7, 8, 9, 10, 11, 13]  # p05 fell out of the list
        anchor = people[3]
        turn = {"attribute": "shoes", "question": "What shoes?", "kept": True, "reason": None, "anchor": anchor}
        turn |= {"confidence": None, "statement": ""}
        result = {
            "query": "woman with a bag",
            "refined_query": "woman with a red bag, brown shoes",
            "anchors": [{"path": anchor, "sha256": "4", "rank": 4, "probability": 0.93}],
            "dialogue": [
                turn | {"answer": "Brown shoes."},
                turn | {"answer": "Not visible.", "kept": False, "reason": "unusable", "anchor": None},
            ],
            "verified": [
                {
                    "path": people[i],
                    "rank": i + 1,
                    "match": i == 3,
                    "probability": 0.93 if i == 3 else 0.1,
                    "text": "",
                    "error": None,
                    "round": 1,
                }
                for i in range(4)
            ],
            "calls": {"verify_match": 4, "search_gallery": 2},
            "results": [
                {
                    "path": people[number - 1],
                    "sha256": str(number),
                    "rank": rank,
                    "score": 0.5 - rank / 100,
                    "rank_before": None if number == 12 else number,
                    "score_before": 0.4 - number / 100,
                }
                for rank, number in enumerate(order, 1)
            ],
            "early_stop": False,
            "rounds": 1,
            "seconds": 1.5,
            "gallery": "airport",
            "encoder": "open_clip:ViT-B-16",
            "bindings": {"verify_match": "vllm:qwen"},
            "truncated_tokens": 0,
            "trace": None,
        }
        _refuse_unknown_keys(SearchRecord.from_json(result))
        return result | changes

    return build
