"""The benchmarks and captioned folders as rows, and what is told about those that are not as they should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import DataSet, hold_out, load_dataset
from tests.support.people_dataset import mtg_records, save_people_dataset, save_records

Entry = dict[str, Any]


@pytest.fixture
def rstp(tmp_path: Path) -> Path:
    """3 people to train on, 1 to choose on, 2 to test on; 2 images of each, 2 captions an image."""
    return save_people_dataset(tmp_path / "RSTPReid", train=3, val=1, test=2, views=2)


def edit(root: Path, change: Callable[[list[Entry]], object]) -> None:
    """Change the annotations of a data set on disk."""
    file = root / "data_captions.json"
    entries = json.loads(file.read_text())
    change(entries)
    file.write_text(json.dumps(entries))


def save_images(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 32)).save(root / name)


def captions_file(path: Path, **captions: str) -> Path:
    return save_records(path, [{"path": name, "caption": text, "turns": []} for name, text in captions.items()])


def test_rstp_rows(rstp: Path) -> None:
    dataset = load_dataset("rstp", rstp)
    assert list(dataset.splits) == ["train", "val", "test"]
    train, test = dataset.split("train"), dataset.split("test")
    assert train.image_pids == (0, 0, 1, 1, 2, 2)
    assert train.caption_images == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    assert train.caption_pids == (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2)
    assert train.images[3] == str(rstp / "imgs" / "0001_c1.jpg")
    assert train.captions[6] == json.loads((rstp / "data_captions.json").read_text())[3]["captions"][0]
    assert train.classes == 3
    assert test.image_pids == (4, 4, 5, 5), "only training ids are renumbered"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_annotations_from_another_system_are_the_same(rstp: Path, encoding: str) -> None:
    expected = load_dataset("rstp", rstp)
    file = rstp / "data_captions.json"
    file.write_bytes(file.read_text().replace("\n", "\r\n").encode(encoding))
    assert load_dataset("rstp", rstp) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"captions": ["红色上衣"]}]'.encode("gbk"), "line 1: not UTF-8.*GBK.*: save it as UTF-8"),
        (b'[{"id": 1,\n "id": 1,}]', "line 2: not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"[\0]", "NUL bytes"),
        (b"", "not JSON"),
    ],
)
def test_annotations_that_cannot_be_read_are_named(rstp: Path, content: bytes, said: str) -> None:
    (rstp / "data_captions.json").write_bytes(content)
    with pytest.raises(CtgiError, match=rf"annotations .*data_captions\.json.*{said}"):
        load_dataset("rstp", rstp)


def test_the_folder_above_will_do(rstp: Path) -> None:
    assert load_dataset("rstp", rstp.parent) == load_dataset("rstp", rstp)


def test_cuhk_training_ids_lose_one_and_test_ids_keep_theirs(tmp_path: Path) -> None:
    save_images(tmp_path / "imgs", "cam_a/1.png", "Market/2.png", "cam_a/3.png")
    entries = [
        {"split": "train", "file_path": "cam_a/1.png", "id": 1, "captions": ["one", "uno"], "processed_tokens": []},
        {"split": "train", "file_path": "Market/2.png", "id": 2, "captions": ["two"], "processed_tokens": []},
        {"split": "test", "file_path": "cam_a/3.png", "id": 12004, "captions": ["three"], "processed_tokens": []},
    ]
    (tmp_path / "reid_raw.json").write_text(json.dumps(entries))
    dataset = load_dataset("cuhk", tmp_path)
    assert dataset.split("train").caption_pids == (0, 0, 1)
    assert dataset.split("test").caption_pids == (12004,)


def test_icfg_under_both_of_its_names(tmp_path: Path) -> None:
    save_images(tmp_path / "imgs", "train/0000/a.png", "test/0000/a.png")
    entries = [
        {"split": "train", "file_path": "test/0000/a.png", "id": 0, "captions": ["one"], "processed_tokens": []},
        {"split": "test", "file_path": "train/0000/a.png", "id": 1, "captions": ["two"], "processed_tokens": []},
    ]
    (tmp_path / "ICFG_PEDES.json").write_text(json.dumps(entries))
    dataset = load_dataset("icfg", tmp_path)
    assert dataset.split("train").images == (str(tmp_path / "imgs/test/0000/a.png"),), "the folder is no split"
    with pytest.raises(CtgiError, match="no split 'val': train and test only"):
        dataset.split("val")


# --- captions


@pytest.mark.parametrize(("kind", "field"), [("mtg", "caption"), ("initial", "initial_caption")])
def test_captions_of_a_file_replace_those_of_train_alone(rstp: Path, tmp_path: Path, kind: str, field: str) -> None:
    records = mtg_records(rstp)
    file = save_records(tmp_path / "captions.jsonl", records)
    human, ours = load_dataset("rstp", rstp), load_dataset("rstp", rstp, captions=f"{kind}:{file}")
    assert ours.split("train").captions == tuple(record[field] for record in records[:6])
    assert ours.split("train").caption_images == (0, 1, 2, 3, 4, 5)
    assert ours.split("test") == human.split("test")
    assert ours.split("val") == human.split("val")
    assert len(ours.split("train").confidences) == (6 if kind == "mtg" else 0)


def test_training_images_without_a_caption_are_left_out_and_told(
    rstp: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = save_records(tmp_path / "captions.jsonl", mtg_records(rstp)[2:5])
    train = load_dataset("rstp", rstp, captions=f"mtg:{file}").split("train")
    assert [Path(path).name for path in train.images] == ["0001_c0.jpg", "0001_c1.jpg", "0002_c0.jpg"]
    assert train.caption_pids == (0, 0, 1), "numbered without a gap again"
    assert "no caption for 3 (0000_c0.jpg, 0000_c1.jpg, 0002_c1.jpg) of 6 training images" in caplog.text


def test_a_file_about_other_images(rstp: Path, tmp_path: Path) -> None:
    file = captions_file(tmp_path / "captions.jsonl", **{"/elsewhere/x.jpg": "A man."})
    with pytest.raises(CtgiError, match="no caption for any of the 6 training images"):
        load_dataset("rstp", rstp, captions=f"mtg:{file}")


def test_a_file_of_captions_is_named_alone_or_with_mtg(rstp: Path, tmp_path: Path) -> None:
    file = save_records(tmp_path / "captions.jsonl", mtg_records(rstp))
    alone = load_dataset("rstp", rstp, captions=str(file)).split("train")
    assert alone.captions == load_dataset("rstp", rstp, captions=f"mtg:{file}").split("train").captions


@pytest.mark.parametrize("choice", ["robot", "mtg", "human:file"])
def test_unknown_captions(rstp: Path, choice: str) -> None:
    with pytest.raises(CtgiError, match="expected human, initial:FILE or mtg:FILE"):
        load_dataset("rstp", rstp, captions=choice)


def test_captions_without_a_word_are_left_out(rstp: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(rstp, lambda entries: entries[1]["captions"].__setitem__(0, "  "))
    train = load_dataset("rstp", rstp).split("train")
    assert train.caption_images == (0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    assert "captions without a word left out: 1 (0000_c1.jpg)" in caplog.text


def test_images_as_identities(rstp: Path) -> None:
    dataset = load_dataset("rstp", rstp, identity="image")
    train = dataset.split("train")
    assert train.image_pids == (0, 1, 2, 3, 4, 5)
    assert train.caption_pids == train.caption_images
    assert dataset.split("test").image_pids == (4, 4, 5, 5)


# --- what is wrong


def test_missing_images_are_counted_and_the_first_named(rstp: Path) -> None:
    for name in ("0000_c1.jpg", "0002_c0.jpg", "0003_c0.jpg", "0005_c1.jpg"):
        (rstp / "imgs" / name).unlink()
    with pytest.raises(CtgiError, match=r"4 \(0000_c1.jpg, 0002_c0.jpg, 0003_c0.jpg, ...\) of 12 images missing below"):
        load_dataset("rstp", rstp)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries[4].update(split="dev"), r"object 4: split 'dev': expected one of train, val, test"),
        (lambda entries: entries[4].update(captions="A man."), r"object 4: captions 'A man.': expected a list"),
        (lambda entries: entries[4].update(id="x"), r"object 4: id 'x': expected a number"),
        (lambda entries: entries[4].pop("img_path"), r"expected a list of objects with img_path"),
        (lambda entries: entries[4].update(img_path="../x.jpg"), r"1 \(../x.jpg\) outside the image folder"),
        (lambda entries: entries[11].update(img_path="0000_c0.jpg"), r"1 \(0000_c0.jpg\) in more than one split"),
    ],
)
def test_wrong_annotations(rstp: Path, change: Callable[[list[Entry]], object], message: str) -> None:
    edit(rstp, change)
    with pytest.raises(CtgiError, match=message):
        load_dataset("rstp", rstp)


@pytest.mark.parametrize(("spec", "message"), [("mars", "unknown data set 'mars'"), ("cuhk", "no reid_raw.json here")])
def test_another_data_set(rstp: Path, spec: str, message: str) -> None:
    with pytest.raises(CtgiError, match=message):
        load_dataset(spec, rstp)


def test_counts_other_than_published_are_told_not_refused(rstp: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_dataset("rstp", rstp)
    told = "RSTPReid train: 6 images, 12 captions, 3 people; published: 18,505 images, 37,010 captions, 3,701 people"
    assert told in caplog.text


def test_ids_with_a_gap_are_renumbered_and_told(rstp: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(rstp, lambda entries: [entry.update(id=entry["id"] + 5) for entry in entries[2:6]])
    assert load_dataset("rstp", rstp).split("train").image_pids == (0, 0, 1, 1, 2, 2)
    assert "ids are not 0 to 2 without gaps; renumbered" in caplog.text


def test_a_person_in_train_and_test_is_told(rstp: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(rstp, lambda entries: entries[-1].update(id=2))
    load_dataset("rstp", rstp)
    assert "ids in train and in another split: 1 (2)" in caplog.text


# --- any folder


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


# --- holding out


def test_people_held_out_of_train(tmp_path: Path) -> None:
    root = save_people_dataset(tmp_path, train=10, val=0, test=1, views=2)
    whole = load_dataset("rstp", root)
    parted = hold_out(whole, 0.2, seed=1)
    train, val = parted.split("train"), parted.split("val")
    assert (train.classes, val.classes) == (8, 2)
    assert set(train.image_pids) == set(range(8))
    assert {*train.images} | {*val.images} == {*whole.split("train").images}
    assert {Path(path).name[:4] for path in train.images}.isdisjoint(Path(path).name[:4] for path in val.images)
    assert parted == hold_out(whole, 0.2, seed=1) != hold_out(whole, 0.2, seed=2)
    assert parted.split("test") == whole.split("test")
    with pytest.raises(CtgiError, match="has a val split"):
        hold_out(parted, 0.2)
    with pytest.raises(CtgiError, match="cannot hold out 10 of the 10 people"):
        hold_out(whole, 1.0)
