"""Encodes a split and measures retrieval: text to image, and image to text."""

import hashlib
import io
import logging
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.reading import MALFORMED
from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.retrieval.checkpoint import first_line
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.finding import canonical
from ctgi.retrieval.gallery import Gallery, build_gallery, open_gallery
from ctgi.retrieval.images import ImageRef
from ctgi.retrieval.metrics import Metrics, QueryMetrics, measure_features, measure_queries, row_slices
from ctgi.retrieval.rerank import Matcher, matcher_of, rescored
from ctgi.retrieval.sources.references import is_reference
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class EncodedSplit:
    """A split as L2-normalized features, in the order of the split."""

    split: Split
    images: tuple[ImageRef, ...]
    """Path and content of each image."""
    image_features: NDArray[np.float32]
    """[G, D]."""
    text_features: NDArray[np.float32]
    """[Q, D]."""
    truncated: tuple[int, ...]
    """[Q]: tokens of each caption beyond the encoder's context, which were not read."""
    matcher: Matcher | None = None
    """Looks again at the best images of each caption."""


def encode_split(
    split: Split, encoder: Encoder, settings: RetrieverSettings, folder: Path, *, progress: Progress | None = None
) -> EncodedSplit:
    """Encode a split and keep the features in `folder`: the next call with the same model encodes only what is new.

    Args:
        split: images and captions.
        encoder: the model; its features are kept in a subfolder named by its fingerprint.
        settings: batch size and decoding threads.
        folder: where features are kept.
        progress: called with (images done, images to do).

    Raises:
        CtgiError: nothing to rank, an image that cannot be read, or a folder that cannot be written.
    """
    if not split.images or not split.captions:
        raise CtgiError(f"the {split.name} split holds no image or no caption: nothing to evaluate")
    kept = folder / f"features-{encoder.fingerprint[:12]}" / split.name
    unindexed = settings.model_copy(update={"index": "Flat", "storage": "float32"})
    report = build_gallery(list(split.images), kept, encoder, unindexed, progress=progress)
    if report.failed:
        path, reason = report.failed[0]
        raise CtgiError(
            f"{len(report.failed)} images of the {split.name} split cannot be read, the first {plain(path)}: {reason}; "
            "metrics need every image of the gallery, so repair these files or download them again"
        )
    gallery = open_gallery(report.folder)
    rows = _rows(gallery, split)
    text_features, truncated = _encode_texts(split.captions, encoder, settings.batch_size, kept)
    images = tuple(ImageRef(path, gallery.ref(row).sha256) for path, row in zip(split.images, rows, strict=True))
    return EncodedSplit(split, images, gallery.vectors(rows), text_features, truncated, matcher_of(encoder))


def _rows(gallery: Gallery, split: Split) -> NDArray[np.int64]:
    """The gallery row of each image of the split; a file with two names has one row."""
    row_of = {_file(ref.path): row for row, ref in enumerate(gallery.refs())}
    return np.array([row_of[_file(path)] for path in split.images], np.int64)


def _file(path: str) -> object:
    """The same for two names of one file."""
    if is_reference(path):
        return canonical(path)
    status = Path(path).stat()
    return status.st_dev, status.st_ino


def _encode_texts(
    texts: tuple[str, ...], encoder: Encoder, batch: int, folder: Path
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    digest = hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()
    file = folder / f"texts-{digest[:16]}.npz"
    if file.is_file() and (kept := _kept(file, len(texts))):
        return kept
    parts = [encoder.encode_texts(texts[start : start + batch]) for start in range(0, len(texts), batch)]
    features, truncated = np.concatenate([part.vectors for part in parts]), sum((part.truncated for part in parts), ())
    content = io.BytesIO()
    np.savez(content, features=features, truncated=np.array(truncated, np.int64))
    write_whole(file, content.getvalue())
    return features, truncated


def _kept(file: Path, count: int) -> tuple[NDArray[np.float32], tuple[int, ...]] | None:
    """The features of an earlier run; None if they are damaged."""
    try:
        with file.open("rb") as content, np.load(content) as kept:
            features, truncated = kept["features"], tuple(map(int, kept["truncated"].tolist()))
    except (OSError, EOFError, BadZipFile, zlib.error, *MALFORMED) as error:
        logger.warning("%s: damaged (%s): computed again", plain(str(file)), first_line(error))
        return None
    whole = features.dtype == np.float32 and features.ndim == 2 and len(features) == len(truncated) == count
    if not whole:
        logger.warning("%s: damaged (of another shape): computed again", plain(str(file)))
    return (features, truncated) if whole else None


def text_to_image(encoded: EncodedSplit) -> Metrics:
    """Every caption as a query; each image of its person is a match."""
    return measure_texts(encoded).mean()


def image_to_text(encoded: EncodedSplit) -> Metrics:
    """Every image as a query; each caption of its person is a match."""
    return measure_images(encoded).mean()


def measure_texts(encoded: EncodedSplit) -> QueryMetrics:
    """`text_to_image` query by query."""
    split, shape = encoded.split, (len(encoded.text_features), len(encoded.image_features))
    return measure_queries(_scores(encoded, shape), shape, split.caption_pids, split.image_pids)


def _scores(encoded: EncodedSplit, shape: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    """Blocks of rows of the captions' scores."""
    for rows in row_slices(*shape):
        block = encoded.text_features[rows] @ encoded.image_features.T
        if encoded.matcher is not None:
            texts = encoded.split.captions[rows]
            pairs = zip(block, texts, strict=True)
            block = np.stack([rescored(row, text, encoded.images, encoded.matcher) for row, text in pairs])
        yield block


def measure_images(encoded: EncodedSplit) -> QueryMetrics:
    """`image_to_text` query by query."""
    split = encoded.split
    return measure_features(encoded.image_features, encoded.text_features, split.image_pids, split.caption_pids)
