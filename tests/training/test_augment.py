"""Variations of training images, against torchvision's own operations and by what may be left of an image."""

from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize, Resize, ToTensor
from torchvision.transforms.functional import crop, hflip, pad

from ctgi.errors import CtgiError
from ctgi.training.augment import Augment, Preprocess, erased_box

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SIZE = (48, 24)
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@pytest.fixture(scope="module")
def noise() -> Image.Image:
    """An image no part of which is like another, nor black."""
    pixels = np.random.default_rng(0).integers(1, 256, (60, 30, 3), np.uint8)
    return Image.fromarray(pixels)


def erased(pixels: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """[H, W]: where the two differ."""
    return (pixels != normal).any(dim=0)


def test_without_variation_it_is_the_evaluation_transform(noise: Image.Image) -> None:
    expected = Compose([Resize(SIZE), ToTensor(), Normalize(MEAN, STD)])(noise)
    torch.testing.assert_close(Preprocess(SIZE, MEAN, STD)(noise, Random(0)), expected, rtol=1e-6, atol=1e-6)


def test_flip_is_half_of_the_time(noise: Image.Image) -> None:
    straight = Preprocess(SIZE, MEAN, STD)(noise, Random(0))
    views = [Preprocess(SIZE, MEAN, STD, "flip")(noise, Random(seed)) for seed in range(200)]
    count = Counter("straight" if torch.equal(view, straight) else "mirrored" for view in views)
    assert all(torch.equal(view, straight) or torch.equal(view, straight.flip(2)) for view in views)
    assert 75 < count["mirrored"] < 125


def test_irra_is_resize_flip_pad_crop(noise: Image.Image) -> None:
    resized = Resize(SIZE)(noise)
    padded = {mirrored: pad(hflip(resized) if mirrored else resized, 10) for mirrored in (False, True)}
    crops = {
        (ToTensor()(crop(image, top, left, *SIZE)).numpy().tobytes()): (mirrored, top, left)
        for mirrored, image in padded.items()
        for top in range(21)
        for left in range(21)
    }
    assert len(crops) == 2 * 21 * 21
    preprocess = Preprocess(SIZE, **PLAIN, augment="irra")
    found = [crops.get(preprocess(noise, Random(seed)).numpy().tobytes()) for seed in range(400)]
    whole = [place for place in found if place is not None]
    assert 160 < len(whole) < 240, "half are erased in part"
    assert {place[1] for place in whole} == {place[2] for place in whole} == set(range(21))


@pytest.mark.parametrize(("augment", "fill"), [("irra", (0.0, 0.0, 0.0)), ("irra_as_released", MEAN)])
def test_what_erased_parts_are_filled_with(augment: Augment, fill: tuple[float, ...]) -> None:
    """After normalization: 0 is the mean color; CLIP's mean there is a lighter one, as IRRA was released."""
    black = Image.new("RGB", (30, 60))  # padding cannot be told from the rest
    normal = Preprocess(SIZE, MEAN, STD)(black, Random(0))
    areas = []
    for seed in range(200):
        view = Preprocess(SIZE, MEAN, STD, augment)(black, Random(seed))
        if (where := erased(view, normal)).any():
            areas.append(where.float().mean().item())
            assert torch.equal(view[:, where], torch.tensor(fill)[:, None].expand(3, int(where.sum())))
            rows, columns = where.any(dim=1).sum(), where.any(dim=0).sum()
            assert rows * columns == where.sum(), "one rectangle"
    assert 75 < len(areas) < 125
    assert 0.01 < min(areas) < 0.06 and 0.3 < max(areas) < 0.42


def test_no_rectangle_where_none_fits() -> None:
    assert all(erased_box(200, 2, (0.3, 0.4), Random(seed)) is None for seed in range(50))


def test_tbps_keeps_the_size_and_draws_every_variation(noise: Image.Image) -> None:
    preprocess, normal = Preprocess(SIZE, **PLAIN, augment="tbps"), Preprocess(SIZE, **PLAIN)(noise, Random(0))
    views = [preprocess(noise, Random(seed)) for seed in range(200)]
    assert {view.shape for view in views} == {normal.shape}
    assert any((view[0] == view[2]).all() for view in views), "grey"
    assert any(torch.equal(view, normal.flip(2)) for view in views), "flipped"
    assert any((view[:, 0, 0] == 0).all() and (view[:, -1, -1] == 0).all() for view in views), "turned: black corners"
    assert sum(torch.equal(view, normal) for view in views) < 60


@pytest.mark.parametrize("augment", ["none", "flip", "irra", "irra_as_released", "tbps"])
def test_the_same_seed_gives_the_same_view(noise: Image.Image, augment: Augment) -> None:
    preprocess = Preprocess(SIZE, MEAN, STD, augment)
    first, again, other = (preprocess(noise, Random(seed)) for seed in (7, 7, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (augment == "none")


def test_unknown_augmentation() -> None:
    with pytest.raises(CtgiError, match="augment 'mixup': expected one of none, flip, irra, irra_as_released, tbps"):
        Preprocess(SIZE, MEAN, STD, "mixup")  # type: ignore[arg-type]
