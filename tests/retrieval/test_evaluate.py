from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.retrieval.evaluate import encode_split, image_to_text, text_to_image
from ctgi.retrieval.metrics import evaluate_scores
from tests.support.color_encoder import ColorEncoder
from tests.support.people_dataset import save_people_dataset

SETTINGS = RetrieverSettings(batch_size=4, workers=1)


class Counting(ColorEncoder):
    """The double, counting what it encodes."""

    def __init__(self) -> None:
        self.images = self.texts = 0

    def encode_images(self, images):
        self.images += len(images)
        return super().encode_images(images)

    def encode_texts(self, texts):
        self.texts += len(texts)
        return super().encode_texts(texts)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    root = save_people_dataset(tmp_path / "rstp", train=2, val=1, test=4, views=3)
    return load_dataset("rstp", root).split("test")


def test_features_are_in_the_order_of_the_split(split: Split, tmp_path: Path) -> None:
    turned = replace(split, images=split.images[::-1], image_pids=split.image_pids[::-1])
    encoded = encode_split(turned, ColorEncoder(), SETTINGS, tmp_path / "out")
    again = encode_split(split, ColorEncoder(), SETTINGS, tmp_path / "other")
    np.testing.assert_array_equal(encoded.image_features[::-1], again.image_features)
    np.testing.assert_allclose(np.linalg.norm(encoded.image_features, axis=1), 1, rtol=1e-5)
    assert [image.path for image in encoded.images] == list(turned.images)


def test_both_directions_agree_with_the_matrix(split: Split, tmp_path: Path) -> None:
    encoded = encode_split(split, ColorEncoder(), SETTINGS, tmp_path / "out")
    scores = encoded.text_features @ encoded.image_features.T
    assert text_to_image(encoded) == evaluate_scores(scores, split.caption_pids, split.image_pids)
    assert image_to_text(encoded) == evaluate_scores(scores.T.copy(), split.image_pids, split.caption_pids)


def test_a_second_time_nothing_is_encoded(split: Split, tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    one = encode_split(split, first, SETTINGS, tmp_path / "out")
    two = encode_split(split, second, SETTINGS, tmp_path / "out")
    assert (first.images, first.texts) == (len(split.images), len(split.captions))
    assert (second.images, second.texts) == (0, 0)
    np.testing.assert_array_equal(one.text_features, two.text_features)
    np.testing.assert_array_equal(one.image_features, two.image_features)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 100, None])
def test_damaged_features_of_an_earlier_run_are_made_anew(
    split: Split, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    first = encode_split(split, ColorEncoder(), SETTINGS, tmp_path / "out")
    (kept,) = (tmp_path / "out").rglob("texts-*.npz")
    if content is None:
        np.savez(kept, features=np.zeros((1, 2), np.float64), truncated=np.zeros(1, np.int64))
    else:
        kept.write_bytes(content)
    again = encode_split(split, ColorEncoder(), SETTINGS, tmp_path / "out")
    np.testing.assert_array_equal(again.text_features, first.text_features)
    assert "damaged" in caplog.text
    assert kept.stat().st_size > 200


class Lenient(ColorEncoder):
    """As our own encoders, takes any text."""

    def encode_texts(self, texts):
        return super().encode_texts([text.encode(errors="replace").decode() for text in texts])


def test_lone_surrogates_in_a_caption_are_no_fault(split: Split, tmp_path: Path) -> None:
    odd = replace(split, captions=(split.captions[0] + " \ud83d\udce9", *split.captions[1:]))
    assert len(encode_split(odd, Lenient(), SETTINGS, tmp_path / "out").text_features) == len(odd.captions)


def test_an_image_under_two_names_counts_twice(split: Split, tmp_path: Path) -> None:
    twin = tmp_path / "rstp" / "imgs" / "twin.jpg"
    twin.hardlink_to(split.images[0])
    doubled = replace(split, images=(*split.images, str(twin)), image_pids=(*split.image_pids, split.image_pids[0]))
    encoded = encode_split(doubled, ColorEncoder(), SETTINGS, tmp_path / "out")
    np.testing.assert_array_equal(encoded.image_features[-1], encoded.image_features[0])


def test_an_unreadable_image_ends_the_evaluation(split: Split, tmp_path: Path) -> None:
    Path(split.images[2]).write_bytes(b"no image")
    with pytest.raises(CtgiError, match="1 images of the test split cannot be read"):
        encode_split(split, ColorEncoder(), SETTINGS, tmp_path / "out")


def test_a_split_without_captions_is_refused(split: Split, tmp_path: Path) -> None:
    empty = replace(split, captions=(), caption_pids=(), caption_images=())
    with pytest.raises(CtgiError, match="nothing to evaluate"):
        encode_split(empty, ColorEncoder(), SETTINGS, tmp_path / "out")
