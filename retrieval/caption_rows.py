"""Rows that stand for an image and its dense caption, so that one search compares a query with both."""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ctgi.places import key_of, on_temporary_disk
from ctgi.retrieval.encoder import Encoder

CAPTION_WEIGHT = 0.5
"""Share of the caption in a score; the best on validation queries (benchmarks/caption_search.py)."""
CaptionOf = Callable[[str], str | None]
"""The dense caption of an image, by its sha256."""
_AT_ONCE, _ROWS = 256, 16_384


@dataclass(frozen=True)
class Owners:
    """Which images have a caption, and which of them share it."""

    places: NDArray[np.int64]
    """Of the images that have one, among all, ascending."""
    captions: NDArray[np.int64]
    """Of each of them: the number of its caption among the different ones."""
    firsts: NDArray[np.int64]
    """Of each different caption: where in `places` the first image with it stands."""
    crc32: int
    """Of the captions, the images and the weight."""


def owners(images: Iterable[tuple[int | str, str]], caption_of: CaptionOf, weight: float) -> Owners:
    """Look for the caption of each image, which is not kept.

    Args:
        images: the name of each, which tells galleries apart, and its sha256.
        caption_of: tells a caption.
        weight: share of the caption in a score.
    """
    places, keys, checksum = array("q"), bytearray(), crc32(b"[[")
    for place, (name, sha256) in enumerate(images):
        caption = caption_of(sha256)
        if caption is not None:
            told = (", " if places else "") + json.dumps([name, caption])
            checksum = crc32(told.encode(), checksum)
            places.append(place)
            keys += key_of(caption)
    _, firsts, captions = np.unique(np.frombuffer(keys, "S16"), return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(order))
    end = f"], {json.dumps(weight)}]".encode()
    return Owners(np.array(places, np.int64), numbers[captions], firsts[order], crc32(end, checksum))


def caption_vectors(texts: Iterable[str], encoder: Encoder) -> NDArray[np.float32]:
    """The vectors of captions, [N, D], less their mean, in a temporary file that goes with them.

    Similarities of two texts are higher than those of a text and an image. Without the mean, an image that has no
    caption is neither preferred nor left behind: its caption counts as an average one.

    Raises:
        CtgiError: the temporary file cannot be written.
    """
    vectors = mapped(encoder.encode_texts(some).vectors for some in _batches(texts))
    vectors -= vectors.mean(axis=0)
    return vectors


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def mapped(blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Blocks of rows, [n, D] each and one at least, as one array in a temporary file.

    Raises:
        CtgiError: the file cannot be written.
    """
    dim = 0
    with TemporaryFile() as file:
        for block in blocks:
            dim = block.shape[1]
            with on_temporary_disk():
                file.write(np.ascontiguousarray(block, np.float32).data)
                file.flush()
        return np.memmap(file, np.float32, "r+").reshape(-1, dim)


def fused_gallery(
    rows: NDArray[np.floating], owners: Owners, vectors: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """As `with_captions`, block by block, in a temporary file. Raises as `mapped` does."""
    starts = range(0, len(rows), _ROWS)
    ends = np.searchsorted(owners.places, [*starts, len(rows)])
    blocks = (
        with_captions(
            rows[start : start + _ROWS], owners.places[first:last] - start, vectors[owners.captions[first:last]], weight
        )
        for start, first, last in zip(starts, ends[:-1], ends[1:], strict=True)
    )
    return mapped(blocks)


def with_captions(
    rows: NDArray[np.floating], owners: NDArray[np.int64], vectors: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """(1 - weight) * image + weight * caption, [N, D], so that an inner product with a query is the fused score.

    Args:
        rows: the images, [N, D].
        owners: the rows that have a caption, [M]; the others have none.
        vectors: their captions, [M, D].
        weight: share of the caption, in [0, 1].
    """
    fused = np.float32(1 - weight) * rows.astype(np.float32)
    fused[owners] += np.float32(weight) * vectors
    return fused
