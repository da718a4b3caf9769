"""Synthetic people on disk: the same by however many processes and kills, and readable as RSTPReid."""

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import load_dataset
from ctgi.synth.dataset import Splits, write_dataset
from ctgi.synth.person import VIEWS, Person, View, draw_person
from ctgi.synth.processes import in_order

SPLITS = Splits(train=3, val=1, test=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "attributes.jsonl").read_text().splitlines()]


def test_any_number_of_processes_draws_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "three", SPLITS, seed=7, workers=3)
    assert contents(tmp_path / "three") == contents(drawn)
    write_dataset(tmp_path / "other", SPLITS, seed=8)
    assert not set(contents(tmp_path / "other")["attributes.jsonl"].split()) >= set(
        contents(drawn)["attributes.jsonl"].split()
    )


def test_a_person_looks_the_same_in_a_larger_set(drawn: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "two", Splits.of(2), seed=7)
    small, large = contents(tmp_path / "two"), contents(drawn)
    images = [name for name in small if name.startswith("imgs/")]
    assert len(images) == 2 * VIEWS
    assert all(small[name] == large[name] for name in images)


def test_our_own_loader_reads_it(drawn: Path) -> None:
    dataset = load_dataset("rstp", drawn)
    assert {name: len(split.images) for name, split in dataset.splits.items()} == {"train": 15, "val": 5, "test": 10}
    train, test = dataset.split("train"), dataset.split("test")
    assert train.classes == 3
    assert train.image_pids == tuple(pid for pid in range(3) for _ in range(VIEWS))
    assert test.image_pids == (4,) * VIEWS + (5,) * VIEWS
    assert len(train.captions) == 30
    assert len(set(train.captions)) > 25
    for path in train.images + test.images:
        with Image.open(path) as image:
            image.load()
            assert (image.mode, image.format) == ("RGB", "JPEG")
            assert image.height > image.width >= 24


def test_the_table_holds_the_truth(drawn: Path) -> None:
    table, annotations = rows(drawn), json.loads((drawn / "data_captions.json").read_text())
    assert len(table) == len(annotations) == 30
    for row, entry in zip(table, annotations, strict=True):
        assert entry == {
            "id": row["id"], "img_path": row["path"].removeprefix("imgs/"), "captions": row["captions"],
            "split": row["split"],
        }  # fmt: skip
        assert Person(**row["person"]) == draw_person(Random(f"7/{row['id']}"))
        View(**row["view"])
        left, top, right, bottom = row["box"]
        with Image.open(drawn / row["path"]) as image:
            assert 0 <= left < right <= image.width
            assert 0 <= top < bottom <= image.height
        assert row["visible"] == sorted(set(row["visible"]))
        assert all(8 <= len(caption.split()) <= 40 for caption in row["captions"])
    assert {row["view"]["side"] for row in table} >= {"front", "back"}
    assert len({(row["id"], row["path"].split("_")[1]) for row in table}) == 30, "another camera for each view"


def test_the_record_counts(drawn: Path) -> None:
    record = json.loads((drawn / "synth.json").read_text())
    assert record["complete"] is True
    assert (record["seed"], record["identities"], record["images"], record["captions"]) == (7, 6, 30, 60)
    assert record["images_by_split"] == {"train": 15, "val": 5, "test": 10}


class Stopped(Exception):
    """What a test stops a run with."""


def stop_after(people: int) -> Any:
    def stop(done: int, total: int) -> None:
        if done == people:
            raise Stopped

    return stop


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_run_goes_on_where_it_was(drawn: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stopped):
        write_dataset(out, SPLITS, seed=7, workers=workers, on_progress=stop_after(2))
    assert len(rows(out)) == 2 * VIEWS
    assert not (out / "data_captions.json").exists()
    first = out / rows(out)[0]["path"]
    os.utime(first, (1, 1))
    with (out / "attributes.jsonl").open("a") as table:  # as a kill leaves it: two views of somebody, and half a line
        table.write('{"path": "imgs/0002_c1.jpg"}\n{"path": "imgs/0002_c2.jpg"}\n{"pa')
    (out / "imgs" / ".half.tmp").write_bytes(b"\xff\xd8")
    report = write_dataset(out, SPLITS, seed=7, workers=workers)
    assert (report.images, report.drawn) == (30, 20)
    assert contents(out) == contents(drawn)
    assert first.stat().st_mtime == 1, "drawn once"
    assert write_dataset(out, SPLITS, seed=7).drawn == 0


def test_another_set_in_the_same_folder_is_refused(drawn: Path) -> None:
    before = contents(drawn)
    for splits, seed in ((SPLITS, 8), (Splits(4, 1, 2), 7), (Splits(2, 2, 2), 7)):
        with pytest.raises(CtgiError, match=r"holds another synthetic set .*seed 7.*choose a new folder"):
            write_dataset(drawn, splits, seed)
    assert contents(drawn) == before


def test_folders_of_others_are_left_alone(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CtgiError, match=r"not empty and holds no synth\.json"):
        write_dataset(tmp_path, SPLITS)
    for content in ("no JSON", "[1]", "{}"):
        folder = tmp_path / content
        folder.mkdir()
        (folder / "synth.json").write_text(content)
        with pytest.raises(CtgiError, match="choose a"):
            write_dataset(folder, SPLITS)
    with pytest.raises(CtgiError, match="cannot write a data set here"):
        write_dataset(tmp_path / "letter.txt", SPLITS)


def test_two_writers(drawn: Path, tmp_path: Path) -> None:
    def write_too(done: int, total: int) -> None:
        with pytest.raises(CtgiError, match="another ctgi synth is writing"):
            write_dataset(tmp_path / "out", Splits.of(1))

    write_dataset(tmp_path / "out", Splits.of(1), on_progress=write_too)


def test_splits_are_tenths_or_as_asked() -> None:
    assert Splits.of(200) == Splits(160, 20, 20)
    assert Splits.of(1) == Splits(1, 0, 0)
    assert Splits.of(300, val=0, test=200) == Splits(100, 0, 200)
    assert [Splits(2, 1, 1).name(pid) for pid in range(4)] == ["train", "train", "val", "test"]
    for count, val, test in ((10, 5, 5), (10, None, 9), (3, -1, 0)):
        with pytest.raises(CtgiError, match="expected at least one more"):
            Splits.of(count, val, test)


def test_results_come_in_order_and_a_dead_process_is_told() -> None:
    with in_order(abs, range(-20, 0), 2) as results:
        assert list(results) == list(range(20, 0, -1))
    with pytest.raises(CtgiError, match="fewer --workers"), in_order(os._exit, [3], 2) as results:
        list(results)
