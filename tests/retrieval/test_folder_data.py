"""Folders and trees of images as data sets: who is who, and which split, by names."""

from pathlib import Path
from typing import Any

import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import DataSet, load_dataset
from tests.retrieval.test_datasets import captions_file, save_images


def load_folder(root: Path, names: list[str], **options: Any) -> DataSet:
    save_images(root, *names)
    file = captions_file(root / "captions.jsonl", **{str(root / name): f"This is {name}." for name in names})
    return load_dataset("folder", root, captions=f"mtg:{file}", **options)


def test_a_folder_of_people(tmp_path: Path) -> None:
    train = load_folder(tmp_path, ["bob/1.png", "ann/2.png", "bob/3.png"]).split("train")
    assert [Path(path).name for path in train.images] == ["2.png", "1.png", "3.png"]
    assert train.image_pids == (0, 1, 1)
    assert train.captions[0] == "This is ann/2.png."


def test_a_folder_with_splits(tmp_path: Path) -> None:
    dataset = load_folder(tmp_path, ["train/ann/1.png", "test/ann/2.png", "test/bob/3.png"])
    assert list(dataset.splits) == ["train", "test"]
    assert dataset.split("test").image_pids == (0, 1)


def test_a_folder_without_people_needs_images_as_identities(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"no identity label for 2 \(1.png, 2.png\)"):
        load_folder(tmp_path, ["1.png", "2.png"])
    assert load_folder(tmp_path, ["1.png", "2.png"], identity="image").split("train").image_pids == (0, 1)


def test_a_folder_half_of_which_is_in_splits(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"some images lie in test/ and others do not \(1 \(ann/1.png\)\)"):
        load_folder(tmp_path, ["ann/1.png", "test/bob/3.png"])


MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000801_01.jpg",
    "bounding_box_train/0007_c1s1_000451_01.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "query/0001_c3s1_000151_00.jpg",
)
DUKE = ("bounding_box_train/0001_c2_f0046182.jpg", "bounding_box_train/0002_c2_f0046302.jpg", "query/0005_c2_f1.jpg")
FLAT = ("duke/all/0001_c2_f0046182.jpg", "duke/all/0002_c2_f0046302.jpg")
MSMT = ("mask_train_v2/0000_000_01_0303morning_0015_0.jpg", "mask_train_v2/0001_000_01_0303noon_0015_0.jpg")
OTHER = ("gallery/1_front.jpg", "gallery/2_front.jpg", "probe/1_back.jpg")


@pytest.mark.parametrize("names", [MARKET, DUKE, FLAT, MSMT, OTHER, tuple(f"Market-1501/{name}" for name in MARKET)])
def test_folders_that_are_splits_are_not_taken_for_people(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(CtgiError, match=r"are named for 2 people \([-\d]+, \d+\), as in Market-1501"):
        load_folder(tmp_path, list(names))
    assert load_folder(tmp_path, list(names), identity="image").split("train").classes == len(names)


def test_numbers_in_names_do_not_part_the_images_of_a_person(tmp_path: Path) -> None:
    names = ["ann/0001_c1.jpg", "ann/0002_c1.jpg", "0002/0002_c1s1_000451_03.jpg", "0002/0002_c2s1_000801_01.jpg"]
    assert load_folder(tmp_path, names).split("train").image_pids == (0, 0, 1, 1)


def test_an_overview_counts_images_people_and_folders(tmp_path: Path) -> None:
    train = ["train/ann/1.jpg", "train/ann/2.jpg", "train/bob/3.jpg", "train/cy/4.jpg", "train/di/5.jpg"]
    dataset = load_folder(tmp_path, [*train, "test/ed/6.jpg"])
    assert [split.overview(tmp_path) for split in dataset.splits.values()] == [
        "train: 5 images of 4 people: train/ann (2), train/bob (1), train/cy (1), ...",
        "test: 1 image of 1 person: test/ed (1)",
    ]


def test_a_folder_has_no_human_captions(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match="without human captions: give initial:FILE or mtg:FILE"):
        load_dataset("folder", tmp_path)


# --- trees whose names number people


def load_tree(spec: str, root: Path, names: list[str], **options: Any) -> DataSet:
    save_images(root, *names)
    file = captions_file(root / "captions.jsonl", **{str(root / name): f"This is {name}." for name in names})
    return load_dataset(spec, root, captions=f"mtg:{file}", **options)


@pytest.mark.parametrize("folder", ["", "Market-1501-v15.09.15/"])
def test_market_ids_stand_in_names(tmp_path: Path, folder: str, caplog: pytest.LogCaptureFixture) -> None:
    dataset = load_tree("market1501", tmp_path, [f"{folder}{name}" for name in (*MARKET, "query/0007.jpg")])
    train, test = dataset.split("train"), dataset.split("test")
    assert train.image_pids == (0, 0, 1)
    assert (test.image_pids, test.classes) == ((-1, 1), 1), "junk is left out, and a distractor is nobody"
    assert test.captions == (f"This is {folder}query/0001_c3s1_000151_00.jpg.",), "nobody is looked for"
    assert "images numbered -1 left out, not to be used as their authors say: 1" in caplog.text
    assert "images left out, since their names tell no person: 1 (query/0007.jpg)" in caplog.text


def test_duke_is_named_as_market_and_a_folder_without_splits_is_train(tmp_path: Path) -> None:
    dataset = load_tree("market1501", tmp_path / "duke", list(DUKE))
    assert {name: split.image_pids for name, split in dataset.splits.items()} == {"train": (0, 1), "test": (5,)}
    assert load_tree("market1501", tmp_path / "flat", list(FLAT)).split("train").image_pids == (0, 1)


def test_msmt_numbers_people_of_train_and_test_anew(tmp_path: Path) -> None:
    names = ["train/0000/0000_000_01_0303morning_0015_0.jpg", "test/0000/0000_000_05_0303noon_0015_0.jpg"]
    dataset = load_tree("msmt17", tmp_path, names)
    assert dataset.split("train").image_pids == (0,)
    assert dataset.split("test").image_pids == (1,), "another person"


def test_prw_has_people_in_its_query_boxes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "frames").mkdir()
    dataset = load_tree("prw", tmp_path, ["query_box/479_c1s3_016471.jpg", "query_box/480_c2s1_000151.jpg"])
    assert dataset.split("test").image_pids == (479, 480)
    assert "frames passed over: no images of one person each" in caplog.text


def test_a_tree_needs_captions_and_names(tmp_path: Path) -> None:
    save_images(tmp_path, "bounding_box_train/a.jpg")
    with pytest.raises(CtgiError, match="Market-1501 has no human captions: give initial:FILE or mtg:FILE"):
        load_dataset("market1501", tmp_path)
    file = captions_file(tmp_path / "c.jsonl", a="A.")
    with pytest.raises(CtgiError, match=r"no image is named as in Market-1501, like 0002_c1s1_000451_03.jpg"):
        load_dataset("market1501", tmp_path, captions=f"mtg:{file}")
