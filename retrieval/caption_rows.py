"""Rows that stand for an image and its dense caption, so that one search compares a query with both."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.encoder import Encoder

CAPTION_WEIGHT = 0.5
"""Share of the caption in a score; the best on validation queries (benchmarks/caption_search.py)."""
_AT_ONCE = 256


def caption_vectors(texts: Sequence[str], encoder: Encoder) -> NDArray[np.float32]:
    """The vectors of captions, [N, D], less their mean.

    Similarities of two texts are higher than those of a text and an image. Without the mean, an image that has no
    caption is neither preferred nor left behind: its caption counts as an average one.
    """
    vectors = np.concatenate(
        [encoder.encode_texts(texts[at : at + _AT_ONCE]).vectors for at in range(0, len(texts), _AT_ONCE)]
    )
    centered: NDArray[np.float32] = vectors - vectors.mean(axis=0)
    return centered


def with_captions(
    rows: NDArray[np.floating], captions: Mapping[int, int], vectors: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """(1 - weight) * image + weight * caption, [N, D], so that an inner product with a query is the fused score.

    Args:
        rows: the images, [N, D].
        captions: row -> place of its caption in `vectors`; other rows have none.
        vectors: the captions, [M, D].
        weight: share of the caption, in [0, 1].
    """
    fused = np.float32(1 - weight) * rows.astype(np.float32)
    fused[list(captions)] += np.float32(weight) * vectors[list(captions.values())]
    return fused
