"""Batches: what is in them, that they come again the same, and what happens to images that cannot be read."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.retrieval.images import read_image
from ctgi.retrieval.tokenizer import END_ID, CaptionTokenizer
from ctgi.training.augment import Preprocess
from ctgi.training.loader import Batch, EpochOrder, TrainLoader, train_loader, trimmed
from tests.support.people_dataset import save_people_dataset

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
SIZE = (32, 16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_people_dataset(tmp_path_factory.mktemp("people"), train=5, val=1, test=1, views=2)


@pytest.fixture
def split(root: Path) -> Split:
    """20 captions of 10 images of 5 people."""
    return load_dataset("rstp", root).split("train")


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer(77)


@pytest.fixture
def load(split: Split, tokenizer: CaptionTokenizer) -> Any:
    def build(split: Split = split, *, batch_size: int = 8, **options: Any) -> TrainLoader:
        return train_loader(split, tokenizer, SIZE, MEAN, STD, batch_size=batch_size, **options)

    return build


def epoch(loader: TrainLoader, number: int = 1) -> list[Batch]:
    loader.set_epoch(number)
    return list(loader)


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(getattr(a, name), getattr(b, name)) for a, b in zip(left, right, strict=True) for name in vars(a)
    )


def test_what_a_batch_holds(load: Any, split: Split, tokenizer: CaptionTokenizer) -> None:
    batch = epoch(load(replace(split, weights=tuple(row / 10 for row in range(20))), augment="none"))[0]
    assert batch.pixels.shape == (8, 3, *SIZE) and batch.pixels.dtype == torch.float32
    for place, row in enumerate(batch.index.tolist()):
        image = split.caption_images[row]
        alone = Preprocess(SIZE, MEAN, STD)(read_image(split.images[image]), Random(0))
        assert torch.equal(batch.pixels[place], alone)
        assert (batch.pids[place], batch.image_ids[place]) == (split.caption_pids[row], image)
        assert batch.weights[place].item() == pytest.approx(row / 10)
        assert torch.equal(batch.ids[place], tokenizer([split.captions[row]])[0, : batch.ids.shape[1]])


def test_weights_are_1_unless_given(load: Any) -> None:
    assert torch.equal(epoch(load())[0].weights, torch.ones(8))


def test_ids_are_trimmed_to_the_longest_caption(load: Any, split: Split) -> None:
    captions = ("a man in red!",) * 19 + ("a woman in a blue coat walking",)
    batch = epoch(load(replace(split, captions=captions), batch_size=20))[0]
    assert batch.ids.shape == (20, 9)
    assert (batch.ids == END_ID).sum(dim=1).tolist() == [1] * 20


def test_trimming_keeps_inner_padding_and_one_column() -> None:
    ids = torch.tensor([[7, 0, 9, 0, 0], [7, 9, 0, 0, 0]])
    assert trimmed(ids).tolist() == [[7, 0, 9], [7, 9, 0]]
    assert trimmed(torch.zeros(2, 5)).shape == (2, 1)
    assert trimmed(torch.tensor([[7, 1, 1], [7, 9, 1]]), padding=1).tolist() == [[7, 1], [7, 9]]


def test_a_caption_without_a_word_is_start_and_end(load: Any, split: Split) -> None:
    batch = epoch(load(replace(split, captions=("",) * 20)))[0]
    assert batch.ids.tolist() == [[END_ID - 1, END_ID]] * 8


def test_every_row_once_an_epoch_in_another_order(load: Any) -> None:
    loader = load()
    orders = [[row for batch in epoch(loader, number) for row in batch.index.tolist()] for number in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("augment", ["irra", "tbps"])
def test_epochs_repeat_bit_by_bit_on_any_number_of_workers(load: Any, augment: str) -> None:
    alone, workers = load(augment=augment, seed=3), load(augment=augment, seed=3, workers=2)
    third = epoch(alone, 3)
    torch.rand(5)
    assert same(epoch(workers, 2), epoch(alone, 2))
    assert same(epoch(workers, 3), third), "the same workers, another epoch"
    assert same(epoch(load(augment=augment, seed=3), 3), third), "as after a resume"
    assert not same(epoch(load(augment=augment, seed=4), 3), third)


def test_views_change_from_epoch_to_epoch(load: Any, split: Split) -> None:
    loader = load(split.rows(range(1)), batch_size=1)
    first, second = epoch(loader, 1)[0], epoch(loader, 2)[0]
    assert not torch.equal(first.pixels, second.pixels)


def test_the_models_random_numbers_are_left_alone(load: Any) -> None:
    before = torch.get_rng_state()
    epoch(load())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_what_one_would(load: Any, world: int) -> None:
    alone = epoch(load(), 2)
    parts = [epoch(load(rank=rank, world=world), 2) for rank in range(world)]
    assert [len(part) for part in parts] == [3] * world
    for step, batch in enumerate(alone):
        assert torch.equal(batch.index, torch.cat([part[step].index for part in parts]))
        assert torch.equal(batch.pixels, torch.cat([part[step].pixels for part in parts]))


@pytest.mark.parametrize(
    ("rows", "world", "drop_last", "sizes"),
    [
        (20, 1, False, [8, 8, 4]),
        (20, 1, True, [8, 8]),
        (17, 1, False, [8, 8, 1]),
        (18, 4, False, [8, 10]),
        (18, 4, True, [8, 8]),
        (5, 1, False, [5]),
        (3, 3, False, [3]),
    ],
)
def test_steps_of_an_epoch(rows: int, world: int, drop_last: bool, sizes: list[int]) -> None:
    orders = [EpochOrder(rows, 8, rank=rank, world=world, drop_last=drop_last) for rank in range(world)]
    steps = [[len(items) for items in order] for order in orders]
    assert [sum(parts) for parts in zip(*steps, strict=True)] == sizes
    assert {len(order) for order in orders} == {len(sizes)}
    assert all(max(parts) - min(parts) <= 1 and min(parts) > 0 for parts in zip(*steps, strict=True))


def test_fewer_rows_than_a_step_takes() -> None:
    with pytest.raises(CtgiError, match="5 captions to train on, fewer than one step takes"):
        EpochOrder(5, 8, drop_last=True)
    with pytest.raises(CtgiError, match="2 captions to train on, fewer than one step takes"):
        EpochOrder(2, 8, world=3)
    with pytest.raises(CtgiError, match="batch size 2 for 3 processes"):
        EpochOrder(20, 2, world=3)


def test_a_batch_of_one_person(load: Any, split: Split) -> None:
    batch = epoch(load(split.rows(range(4)), batch_size=4))[0]
    assert batch.pids.tolist() == [0] * 4


# --- images that cannot be read


@pytest.fixture
def broken(tmp_path: Path, split: Split) -> Split:
    """Images 1 and 2 are no images: captions 2 to 5."""
    for name in ("torn.jpg", "empty.jpg"):
        (tmp_path / name).write_bytes(b"no image" if name == "torn.jpg" else b"")
    images = list(split.images)
    images[1:3] = [str(tmp_path / "torn.jpg"), str(tmp_path / "empty.jpg")]
    return replace(split, images=tuple(images))


@pytest.mark.parametrize("workers", [0, 1])
def test_stop_names_the_image(load: Any, broken: Split, workers: int) -> None:
    with pytest.raises(CtgiError, match=r"(torn|empty)\.jpg: .*: repair or download the image, or set data.on_bad"):
        epoch(load(broken, workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_skip_takes_the_next_row_and_tells_each_image_once(
    load: Any, broken: Split, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    loader = load(broken, workers=workers, on_bad_image="skip", augment="none")
    batches = epoch(loader) + epoch(loader, 2)
    assert [len(batch.index) for batch in batches] == [8, 8, 4] * 2
    seen = sorted(row for batch in batches[:3] for row in batch.index.tolist())
    assert seen == sorted([*range(2), *range(6, 20), 6, 6, 6, 6])
    assert {Path(path).name: reason for path, reason in loader.bad_images.items()} == {
        "torn.jpg": "not an image that can be read",
        "empty.jpg": "the file is empty (0 bytes)",
    }
    assert len(caplog.records) >= 2
    assert sum("another row takes its place" in record.message for record in caplog.records) == 2


def test_nothing_can_be_read(load: Any, broken: Split) -> None:
    hopeless = replace(broken, images=(broken.images[1],) * len(broken.images))
    with pytest.raises(CtgiError, match="none of the 1 training images can be read"):
        epoch(load(hopeless, on_bad_image="skip", workers=1))


class Deadly(tuple[str, ...]):
    """Image paths that kill the worker which asks for one."""

    def __getitem__(self, index: Any) -> Any:
        if torch.utils.data.get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_worker_that_is_killed(load: Any, split: Split) -> None:
    """What the system does when memory runs out."""
    with pytest.raises(CtgiError, match=r"a process that decodes images died, .*lower data\.workers"):
        epoch(load(replace(split, images=Deadly(split.images)), workers=1))
