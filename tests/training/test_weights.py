"""Confidences of MTG against injected wrong answers: what a filter keeps and where weights go."""

from pathlib import Path

import numpy as np
import pytest

from ctgi.captions import CaptionLine
from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.training.weights import keep_confident, weigh_by_confidence
from tests.support.people_dataset import mtg_records, save_people_dataset, save_records

SPLIT = Split(
    "train",
    images=("a", "b", "c"),
    image_pids=(0, 1, 1),
    captions=("one", "two", "three"),
    caption_pids=(0, 1, 1),
    caption_images=(0, 1, 2),
    confidences=(0.2, None, 0.8),
)


@pytest.mark.parametrize(
    ("turns", "confidence"),
    [
        ([(0.9, True), (0.4, True)], 0.6),
        ([(0.9, True), (0.1, False)], 0.9),
        ([(0.9, True), (None, True)], 0.9),
        ([(1.5, True), (-1.0, True)], 0.0),
        ([(None, True)], None),
        ([], None),
    ],
)
def test_confidence_is_the_geometric_mean_of_kept_answers(
    turns: list[tuple[float | None, bool]], confidence: float | None
) -> None:
    record = {"turns": [{"confidence": value, "kept": kept} for value, kept in turns]}
    assert CaptionLine(record).confidence == (None if confidence is None else pytest.approx(confidence))


def test_filter_drops_captions_and_people_left_without() -> None:
    kept = keep_confident(SPLIT, 0.5)
    assert (kept.images, kept.image_pids, kept.captions) == (("b", "c"), (0, 0), ("two", "three"))
    assert (kept.caption_pids, kept.caption_images, kept.confidences) == ((0, 0), (0, 1), (None, 0.8))
    with pytest.raises(CtgiError, match=r"the highest is 0\.800"):
        keep_confident(Split(*list(vars(SPLIT).values())[:6], confidences=(0.2, 0.5, 0.8)), 0.9)


def test_weights_follow_confidence_and_are_1_on_average() -> None:
    assert weigh_by_confidence(SPLIT, power=1).weights == pytest.approx((0.4, 1.0, 1.6))
    assert weigh_by_confidence(SPLIT, power=2).weights == pytest.approx((0.04 / 0.34, 1.0, 0.64 / 0.34))


def test_captions_without_confidences() -> None:
    silent = Split(*list(vars(SPLIT).values())[:6])
    for change in (lambda: keep_confident(silent, 0.5), lambda: weigh_by_confidence(silent)):
        with pytest.raises(CtgiError, match="these captions have no confidences"):
            change()


def test_against_injected_wrong_answers(tmp_path: Path) -> None:
    """One answer in five is false: the filter halves the share of wrong captions, weights take a fifth of theirs."""
    root = save_people_dataset(tmp_path, train=40, val=0, test=0)
    records = mtg_records(root, wrong=0.2)
    file = save_records(tmp_path / "captions.jsonl", records)
    split = load_dataset("rstp", root, captions=f"mtg:{file}").split("train")
    wrong_paths = {record["path"] for record in records if record["wrong_answers"]}

    def wrong(split: Split) -> np.ndarray:
        return np.array([split.images[image] in wrong_paths for image in split.caption_images])

    before, kept = wrong(split), keep_confident(split, 0.75)
    weights = np.array(weigh_by_confidence(split).weights)
    assert 0.4 < before.mean() < 0.6
    assert wrong(kept).mean() < before.mean() / 2
    assert len(kept.captions) > 0.3 * len(split.captions)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[before].sum() / weights.sum() < 0.8 * before.mean()
