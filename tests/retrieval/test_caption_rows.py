"""A query is compared with images and their captions at once."""

import json
from zlib import crc32

import numpy as np
import pytest

from ctgi.retrieval import caption_rows
from ctgi.retrieval.caption_rows import caption_vectors, fused_gallery, owners, with_captions
from ctgi.retrieval.encoder import TextFeatures


class Axes:
    """A test double of an encoder: the n-th word of the alphabet is the n-th axis."""

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        return TextFeatures(np.eye(4, dtype=np.float32)[[ord(text[0]) - ord("a") for text in texts]], (0,) * len(texts))


def test_the_fused_score_is_one_inner_product() -> None:
    encoder, rows = Axes(), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    captions = caption_vectors(["a", "b", "d"], encoder)  # type: ignore[arg-type]
    fused = with_captions(rows, np.array([0, 3, 4]), captions[[1, 0, 2]], 0.25)
    query = np.array([1, 0, 0, 0], np.float32)
    scores = fused @ query
    images, texts = rows @ query, captions @ query
    np.testing.assert_allclose(scores[3], 0.75 * images[3] + 0.25 * texts[0], rtol=1e-5)
    np.testing.assert_allclose(scores[[1, 2]], 0.75 * images[[1, 2]], rtol=1e-5)
    assert texts[0] > 0 > texts[1]


def test_an_image_without_a_caption_counts_as_if_it_had_an_average_one() -> None:
    captions = caption_vectors(["a", "b", "c"], Axes())  # type: ignore[arg-type]
    np.testing.assert_allclose(captions.sum(axis=0), 0, atol=1e-6)


def test_more_captions_than_are_encoded_at_once() -> None:
    texts = ["abcd"[number % 4] for number in range(1000)]
    assert caption_vectors(texts, Axes()).shape == (1000, 4)  # type: ignore[arg-type]


def test_images_share_the_vector_of_a_caption_and_no_text_is_kept() -> None:
    captions = {"x": "b", "y": "ä", "z": "b", "other": "c"}
    known = owners(enumerate(["none", "x", "y", "none", "z"]), captions.get, 0.25)
    assert known.places.tolist() == [1, 2, 4]
    assert known.captions.tolist() == [0, 1, 0]
    assert known.firsts.tolist() == [0, 1]
    assert known.crc32 == crc32(json.dumps([[(1, "b"), (2, "ä"), (4, "b")], 0.25]).encode())
    assert len(owners(enumerate(["none"]), captions.get, 0.25).places) == 0


def test_a_gallery_is_fused_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_rows, "_ROWS", 3)
    rows = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float16)
    known = owners(enumerate("n.abn..acn"), {"a": "a", "b": "b", "c": "c"}.get, 0.25)
    vectors = caption_vectors("abc", Axes())  # type: ignore[arg-type]
    whole = with_captions(rows, np.array([2, 3, 7, 8]), vectors[[0, 1, 0, 2]], 0.25)
    np.testing.assert_array_equal(fused_gallery(rows, known, vectors, 0.25), whole)
