"""A query is compared with images and their captions at once."""

import numpy as np

from ctgi.retrieval.caption_rows import caption_vectors, with_captions
from ctgi.retrieval.encoder import TextFeatures


class Axes:
    """A test double of an encoder: the n-th word of the alphabet is the n-th axis."""

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        return TextFeatures(np.eye(4, dtype=np.float32)[[ord(text[0]) - ord("a") for text in texts]], (0,) * len(texts))


def test_the_fused_score_is_one_inner_product() -> None:
    encoder, rows = Axes(), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    captions = caption_vectors(["a", "b", "d"], encoder)  # type: ignore[arg-type]
    fused = with_captions(rows, {0: 1, 3: 0, 4: 2}, captions, 0.25)
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
