from random import Random

import numpy as np
import pytest
import torch

from recipes.embedded import emphasis
from recipes.embedded.answers import ANSWERS
from recipes.embedded.batches import Pictures
from recipes.embedded.fields import FIELDS, truth
from recipes.embedded.pictures import PARTS, SHARD, Shard
from recipes.embedded.variation import vary
from recipes.embedded.warmup import Heads
from tests.support.scenes import draw_scene

SIDE = list(FIELDS).index("side")
SIDES = ("unseen", *FIELDS["side"][1])


def shard(count: int, side: str, *, width: int = 84, first: int = 0) -> Shard:
    pixels = np.full((count, 168, width, 3), 40, np.uint8)
    pixels[:, :, : width // 2] = 200  # the left half is bright
    parts = np.zeros((count, 12, width // 14, PARTS), np.uint8)
    parts[:, :, 0, 7] = 255  # and holds the bag
    fields = np.array([truth(draw_scene(first + seed, side=side)) for seed in range(count)], np.uint8)
    size = (168, width)
    return Shard({size: pixels}, {size: parts}, {size: fields}, {size: np.arange(first, first + count)})


def pictures(*shards: Shard) -> Pictures:
    held = Pictures()
    held.extend(list(enumerate(shards)))
    return held


def test_a_batch_is_the_same_for_the_same_randomness() -> None:
    held = pictures(shard(20, "front"))
    first, again, other = (held.draw(6, Random(seed)) for seed in (1, 1, 2))
    assert first.pixels.equal(again.pixels) and first.fields.equal(again.fields)
    assert not first.fields.equal(other.fields)


def test_pictures_of_a_batch_have_one_size() -> None:
    held = pictures(shard(10, "front"), shard(10, "front", width=112))
    assert len(held) == 20
    assert {held.draw(4, Random(seed)).pixels.shape[2] for seed in range(20)} == {84, 112}


def test_pictures_are_found_by_their_number_whenever_they_came() -> None:
    held = pictures(shard(4, "front"))
    held.extend([(1, shard(4, "back", first=4))])
    taken = held.take((168, 84), [SHARD + 6, 2], torch.tensor([False, False]))
    assert taken.fields[0].tolist() == truth(draw_scene(6, side="back"))
    assert taken.fields[1].tolist() == truth(draw_scene(2, side="front"))


def test_a_mirrored_picture_is_mirrored_in_all_it_tells() -> None:
    batch = pictures(shard(40, "left")).draw(40, Random(0))
    mirrored = batch.pixels[:, 0, 0, 0] < 100
    assert 10 < mirrored.sum() < 30
    for turned, parts, fields in zip(mirrored.tolist(), batch.parts, batch.fields, strict=True):
        assert SIDES[fields[SIDE]] == ("right" if turned else "left")
        assert parts[:, -1 if turned else 0, 7].min() == 255
        assert parts[:, 0 if turned else -1, 7].max() == 0


def test_light_varies_but_colors_stay() -> None:
    batch = pictures(shard(40, "front")).draw(40, Random(0))
    seen = vary(batch.pixels, 3)
    assert seen.equal(vary(batch.pixels, 3)) and not seen.equal(vary(batch.pixels, 4))
    assert seen.isfinite().all() and seen.min() >= 0 and seen.max() <= 255
    middle = torch.where(batch.pixels[..., :1] > 100, seen, torch.nan).nanmean((1, 2))  # of the bright half
    assert middle.std(0).min() > 8
    assert middle.min() > 110
    assert (middle.amax(1) - middle.amin(1)).max() < 60


def test_black_and_white_survive_any_light() -> None:
    for level in (0, 255):
        seen = vary(torch.full((10, 56, 28, 3), level, dtype=torch.uint8), 1)
        assert seen.isfinite().all()
        assert abs(seen.mean() - level) < 45


def test_hard_edges_stay_numbers() -> None:
    """What is made smaller and larger again overshoots, and a power of less than nothing is no number."""
    edges = torch.zeros(10, 56, 56, 3, dtype=torch.uint8)
    edges[:, :, ::7] = 255
    assert all(vary(edges, seed).isfinite().all() for seed in range(4))


def test_what_is_weak_counts_more_and_all_together_as_much_as_before() -> None:
    shares = dict(zip(FIELDS, Heads(8, 8).get_buffer("emphasis").tolist(), strict=True))
    assert shares["gender"] == pytest.approx(2 * shares["hat"])
    assert sum(shares.values()) == pytest.approx(len(FIELDS))
    assert emphasis.FIELDS.keys() <= FIELDS.keys()
    assert emphasis.ANSWERS.keys() <= ANSWERS.keys()


def test_rare_classes_count_more() -> None:
    heads = Heads(8, 8)
    bag = list(FIELDS).index("bag")
    fields = torch.zeros(100, len(FIELDS), dtype=torch.uint8)
    fields[:10, bag] = 2
    heads.weigh(fields)
    weights = heads.get_buffer("weights")[bag]
    assert weights[2] == 5**0.5
    assert weights[0] == pytest.approx((50 / 90) ** 0.5)
