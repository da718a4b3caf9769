"""What `ctgi data check` finds in a data set: in its annotations, its folders, and the files of its images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.layouts import Counts
from ctgi.runs import image_scan
from ctgi.runs.data_check import DataCheck, check_data
from ctgi.runs.events import Logged
from tests.support.people_dataset import save_people_dataset

Entry = dict[str, Any]


@pytest.fixture
def rstp(tmp_path: Path) -> Path:
    """3 people to train on, 1 to choose on, 2 to test on; 2 images of each, 2 captions an image."""
    return save_people_dataset(tmp_path / "RSTPReid", train=3, val=1, test=2, views=2)


def checked(root: Path, layout: str | None = None) -> DataCheck:
    return check_data(root, layout, Logged())


def problems(found: DataCheck) -> dict[str, list[str]]:
    return {one.kind: list(one.items) for one in found.problems}


def notes(found: DataCheck) -> dict[str, list[str]]:
    return {
        kind: [item for one in found.notes if one.kind == kind for item in one.items]
        for kind in {one.kind for one in found.notes}
    }


def edit(root: Path, change: Callable[[list[Entry]], object]) -> None:
    file = root / "data_captions.json"
    entries = json.loads(file.read_text())
    change(entries)
    file.write_text(json.dumps(entries))


def save_images(root: Path, *names: str) -> None:
    """Images that differ from each other."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 32), (40 * number % 256, number, 0)).save(root / name)


def test_a_sound_data_set_has_no_problem(rstp: Path) -> None:
    found = checked(rstp)
    assert (found.layout, found.name) == ("rstp", "RSTPReid")
    assert found.splits == {"train": Counts(6, 12, 3), "val": Counts(2, 4, 1), "test": Counts(4, 8, 2)}
    assert found.published["train"] == Counts(18_505, 37_010, 3_701)
    assert found.problems == []
    assert notes(found)["counts"] == ["train", "val", "test"]
    assert found.to_json()["ok"] is True
    json.dumps(found.to_json())


def test_what_is_wrong_is_named_by_object_and_field(rstp: Path) -> None:
    edit(rstp, lambda entries: (entries[1].update(id="x"), entries[4].pop("split"), entries[7].update(captions=5)))
    found = checked(rstp)
    file = rstp / "data_captions.json"
    assert problems(found)["fault"] == [
        f"{file}, object 1: id 'x': expected a number from 0",
        f"{file}, object 4: split is missing: expected one of train, val, test",
        f"{file}, object 7: captions 5: expected a list of texts",
    ]
    first = found.to_json()["faults"][0]
    assert (first["field"], first["what"]) == ("id", "'x': expected a number from 0")
    assert found.splits["train"] == Counts(4, 8, 3), "the others are counted"


def test_every_object_may_be_wrong(rstp: Path) -> None:
    edit(rstp, lambda entries: [entry.pop("id") for entry in entries])
    found = checked(rstp)
    assert (list(problems(found)), found.splits) == (["fault"], {})
    assert [one["field"] for one in found.to_json()["faults"]] == ["id"] * 12
    (rstp / "data_captions.json").write_text("[]")
    assert list(problems(checked(rstp))) == ["annotations"]


def test_paths_that_lead_elsewhere_are_not_followed(rstp: Path) -> None:
    Image.new("RGB", (16, 32)).save(rstp / "out.png")
    edit(rstp, lambda entries: (entries[0].update(img_path="../out.png"), entries[1].update(img_path="/etc/a.jpg")))
    assert problems(checked(rstp)) == {"outside": ["../out.png", "/etc/a.jpg"]}


def test_images_and_people_in_two_places(rstp: Path) -> None:
    def change(entries: list[Entry]) -> None:
        entries.append({**entries[0], "img_path": "./0000_c0.jpg", "split": "test"})
        entries.append({**entries[11], "id": 99})

    edit(rstp, change)
    found = problems(checked(rstp))
    assert found == {
        "two splits": ["0000_c0.jpg"],
        "two people": ["0005_c1.jpg (5, 99)"],
        "people in train and elsewhere": ["0"],
    }


def test_images_that_are_missing_or_damaged(rstp: Path) -> None:
    imgs = rstp / "imgs"
    (imgs / "0000_c0.jpg").rename(imgs / "0000_c0.JPG")
    (imgs / "0001_c0.jpg").rename(imgs / "0001_c0.png")
    (imgs / "0002_c0.jpg").unlink()
    (imgs / "0003_c0.jpg").write_bytes((imgs / "0003_c1.jpg").read_bytes()[:400])
    (imgs / "0004_c0.jpg").write_bytes(b"")
    (imgs / "0005_c0.jpg").write_text("<html>Not found</html>")
    found = checked(rstp)
    assert problems(found)["missing image"] == [
        "0000_c0.jpg (but 0000_c0.JPG is there)",
        "0001_c0.jpg (but 0001_c0.png is there)",
        "0002_c0.jpg",
    ]
    bad = dict(item.split(": ", 1) for item in problems(found)["unreadable image"])
    assert bad.keys() == {"0003_c0.jpg", "0004_c0.jpg", "0005_c0.jpg"}
    assert "damaged image" in bad["0003_c0.jpg"]
    assert bad["0004_c0.jpg"] == "the file is empty (0 bytes)"
    assert notes(found)["not annotated"] == ["0000_c0.JPG", "0001_c0.png"]


def test_copies_of_a_picture(rstp: Path) -> None:
    imgs = rstp / "imgs"
    for copy, of in (("0001_c0", "0000_c0"), ("0003_c1", "0002_c0"), ("0005_c1", "0005_c0")):
        (imgs / f"{copy}.jpg").write_bytes((imgs / f"{of}.jpg").read_bytes())
    found = checked(rstp)
    assert problems(found) == {
        "copies in two splits": ["0002_c0.jpg (train, 2) = 0003_c1.jpg (val, 3)"],
        "copies of two people": ["0000_c0.jpg (train, 0) = 0001_c0.jpg (train, 1)"],
    }
    assert notes(found)["copies"] == ["0005_c0.jpg (test, 5) = 0005_c1.jpg (test, 5)"]


def test_what_is_odd_about_captions(rstp: Path) -> None:
    def change(entries: list[Entry]) -> None:
        entries[0].update(captions=["A man in Red.", "..."])
        entries[4].update(captions=["a man in  red."])
        entries[6].update(captions=[])

    edit(rstp, change)
    found = notes(checked(rstp))
    assert found["captions of two people"] == ['"a man in red." (0, 2)']
    assert found["no words"] == [f"{rstp / 'data_captions.json'}, object 0"]
    assert found["no caption"] == ["0003_c0.jpg"]


def test_gaps_and_other_words_are_worth_knowing(rstp: Path) -> None:
    edit(rstp, lambda entries: [entry.update(id=7, split="Train") for entry in entries[4:6]])
    found = notes(checked(rstp))
    assert found["gaps"] == ["2"]
    assert any("splits written Train, taken as train: 2" in item for item in found["read as meant"])


def test_annotations_that_cannot_be_read_are_a_problem(rstp: Path) -> None:
    (rstp / "data_captions.json").write_bytes('[{"captions": ["红色上衣"]}]'.encode("gbk"))
    (problem,) = checked(rstp).problems
    assert "line 1: not UTF-8, but perhaps GBK or Latin-1: save it as UTF-8" in problem.what


@pytest.mark.parametrize(
    ("layout", "file", "entry"),
    [
        ("cuhk", "reid_raw.json", {"file_path": "a.jpg", "split": "train", "captions": ["A."]}),
        ("cuhk", "caption_all.json", {"file_path": "a.jpg", "captions": ["A."]}),
        ("icfg", "ICFG_PEDES.json", {"file_path": "a.jpg", "split": "train", "captions": ["A."]}),
        ("ufine", "UFine6926.json", {"file_path": "a.jpg", "split": "train", "captions": ["A."]}),
        ("chatpedes", "train_reid.json", {"file_path": "a.jpg", "chats": [{"from": "gpt", "value": "A."}]}),
        ("cuhk", "train_reid.json", {"file_path": "a.jpg", "captions": ["A."]}),
        ("rstp", "anything.json", {"img_path": "a.jpg", "split": "train", "captions": ["A."]}),
        (
            "interactive-pedes",
            "Interactive-PEDES_interactive_annos.json",
            {"file_path": "a.jpg", "split": "test", "initial_description": "A.", "fine-grained_description": "B."},
        ),
    ],
)
def test_layouts_are_recognized(tmp_path: Path, layout: str, file: str, entry: Entry) -> None:
    save_images(tmp_path, "imgs/a.jpg")
    (tmp_path / file).write_text(json.dumps([{"id": 1, **entry}]))
    for root in (tmp_path, tmp_path / file):
        found = checked(root)
        assert (found.layout, found.problems) == (layout, [])
        assert sum(counts.captions for counts in found.splits.values()) == 1


def test_trees_are_recognized_and_counted(tmp_path: Path) -> None:
    market, msmt, prw = tmp_path / "market", tmp_path / "msmt", tmp_path / "prw"
    save_images(market, "bounding_box_train/0002_c1s1_1_1.jpg", "query/0001_c3s1_1_1.jpg", "bounding_box_test/x.jpg")
    save_images(market, "bounding_box_test/-1_c1s1_1_1.jpg", "bounding_box_test/0000_c2s1_1_1.jpg")
    save_images(msmt, "train/0000/0000_000_01_0303noon_1.jpg", "test/0000/0000_000_05_0303noon_1.jpg")
    save_images(prw, "query_box/479_c1s3_016471.jpg", "frames/c1s1_000151.jpg")
    found = checked(market)
    assert (found.layout, found.cameras) == ("market1501", 3)
    assert found.splits == {"train": Counts(1, 0, 1), "test": Counts(2, 0, 1)}
    assert any("numbered -1 left out" in item for item in notes(found)["left out"])
    assert [checked(root).layout for root in (msmt, prw)] == ["msmt17", "prw"]
    assert checked(msmt).splits == {"train": Counts(1, 0, 1), "test": Counts(1, 0, 1)}


def test_a_plain_folder(tmp_path: Path) -> None:
    save_images(tmp_path / "sound", "ann/1.jpg", "bob/2.jpg", "bob/3.jpg")
    found = checked(tmp_path / "sound")
    assert (found.layout, found.splits, found.problems) == ("folder", {"train": Counts(3, 0, 2)}, [])
    save_images(tmp_path / "mixed", "test/ann/1.jpg", "bob/2.jpg")
    assert "splits" in problems(checked(tmp_path / "mixed"))
    save_images(tmp_path / "flat", "1.jpg", "all/0002_c1s1_1_1.jpg", "all/0003_c1s1_1_1.jpg")
    found = checked(tmp_path / "flat")
    assert "as in Market-1501" in found.problems[0].what
    assert notes(found)["no person"] == ["1.jpg"]


@pytest.mark.parametrize(
    ("place", "layout", "said"),
    [
        ("nowhere", None, "nowhere: no such folder: give the folder of the data set"),
        ("RSTPReid", "rtsp", "unknown data set 'rtsp': expected one of cuhk.*rstp"),
        ("RSTPReid", "icfg", "no ICFG-PEDES.json or ICFG_PEDES.json here"),
    ],
)
def test_no_data_set(rstp: Path, place: str, layout: str | None, said: str) -> None:
    with pytest.raises(CtgiError, match=said):
        checked(rstp.parent / place, layout)


@pytest.mark.slow
def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:03}.png" for number in range(250)]
    save_images(tmp_path, *names)
    (tmp_path / names[-1]).write_bytes(b"\x89PNG\r\n\x1a\n")
    alone = image_scan.scan_images(tmp_path, names, lambda done: None)
    monkeypatch.setattr(image_scan, "_FEW", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    done: list[int] = []
    assert image_scan.scan_images(tmp_path, names, done.append) == alone
    assert done == [100, 200, 250]
    assert [one.name for one in alone.values() if one.fault] == [names[-1]]
