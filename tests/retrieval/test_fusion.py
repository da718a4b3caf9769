import numpy as np
import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.fusion import fuse


def test_parity_icl_thi_merge(golden) -> None:
    for case in golden("icl_thi"):
        for k in range(1, int(case["K"]) + 1):
            anchors = [None if column < 0 else [column] for column in case[f"anchor_after_round{k}"]]
            refined = case[f"refined_similarity_round{k}"]
            merged = fuse(case["similarity"], refined, anchors, float(case["lam"]), "refined")
            np.testing.assert_allclose(merged, case[f"merged_after_round{k}"], rtol=0, atol=1e-6)


def test_both_readings_of_eq_7() -> None:
    scores = np.array([[0.5, 0.4, 0.3], [0.5, 0.4, 0.3]], np.float32)
    refined = np.array([[0.1, 0.6, 0.7], [0.9, 0.9, 0.9]], np.float32)
    np.testing.assert_allclose(
        fuse(scores, refined, [[2], None], 0.8, "refined"), [[0.42, 0.44, 0.44], [0.5, 0.4, 0.3]], atol=1e-6
    )
    np.testing.assert_allclose(fuse(scores, refined, [[2], ()], 0.8, "final")[0], [0.42, 0.44, 1], atol=1e-6)
    np.testing.assert_allclose(fuse(scores, refined, [[2], ()], 0.8, "final")[1], [0.58, 0.5, 0.42], atol=1e-6)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(CtgiError, match="expected one of refined, final"):
        fuse(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), [None], 0.8, "mean")
