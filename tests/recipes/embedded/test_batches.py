from random import Random

import numpy as np

from recipes.embedded.batches import Batches
from recipes.embedded.pictures import PARTS, Sample
from tests.support.scenes import draw_scene


def sample(seed: int, side: str, width: int = 84) -> Sample:
    pixels = np.full((168, width, 3), 40, np.uint8)
    pixels[:, : width // 2] = 200  # the left half is bright
    parts = np.zeros((12, width // 14, PARTS), np.uint8)
    parts[:, 0, 7] = 255  # and holds the bag
    return Sample(pixels, parts, draw_scene(seed, side=side))


def test_a_batch_is_the_same_for_the_same_randomness():
    batches = Batches([sample(seed, "front") for seed in range(20)])
    first, again, other = (batches.draw(6, Random(seed)) for seed in (1, 1, 2))
    assert first.scenes == again.scenes
    assert first.pixels.equal(again.pixels)
    assert first.scenes != other.scenes


def test_pictures_of_a_batch_have_one_size():
    batches = Batches([sample(seed, "front", 84 if seed % 2 else 112) for seed in range(20)])
    widths = {batches.draw(4, Random(seed)).pixels.shape[2] for seed in range(20)}
    assert widths == {84, 112}


def test_a_mirrored_picture_is_mirrored_in_all_it_tells():
    batch = Batches([sample(seed, "left") for seed in range(40)]).draw(40, Random(0))
    mirrored = batch.pixels[:, 0, 0, 0] < 100
    assert 10 < mirrored.sum() < 30
    for turned, parts, scene in zip(mirrored.tolist(), batch.parts, batch.scenes, strict=True):
        assert scene.view.side == ("right" if turned else "left")
        assert parts[:, -1 if turned else 0, 7].min() == 255
        assert parts[:, 0 if turned else -1, 7].max() == 0


def test_light_varies_but_colors_stay():
    batch = Batches([sample(seed, "front") for seed in range(40)]).draw(40, Random(0))
    bright = batch.pixels.amax((1, 2))
    assert bright.std(0).min() > 5
    assert bright.min() > 130
    assert (bright.amax(1) - bright.amin(1)).max() < 40
