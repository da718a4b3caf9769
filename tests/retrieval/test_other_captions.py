"""Captions of files that other programs wrote, and people held out of train."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import hold_out, load_dataset
from tests.retrieval.test_datasets import people_in
from tests.support.people_dataset import save_people_dataset, save_records

FOREIGN: dict[str, Callable[[dict[str, list[str]]], Any]] = {
    "dictionary": lambda all_: {path: texts[0] for path, texts in all_.items()},
    "lists": lambda all_: all_,
    "MALS": lambda all_: [{"image": path, "caption": texts[0], "label": [1]} for path, texts in all_.items()],
    "SYNTH": lambda all_: [{"file_path": path, "captions": texts, "id": 1} for path, texts in all_.items()],
    "COCO": lambda all_: {
        "images": [{"id": number, "file_name": path} for number, path in enumerate(all_)],
        "annotations": [
            {"image_id": number, "caption": text} for number, texts in enumerate(all_.values()) for text in texts
        ],
    },
    "Karpathy": lambda all_: {
        "images": [
            {"filepath": "imgs", "filename": path, "sentences": [{"raw": text} for text in texts]}
            for path, texts in all_.items()
        ]
    },
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("indent", [None, 1])
def test_captions_made_elsewhere(rstp: Path, tmp_path: Path, kind: str, indent: int | None) -> None:
    names = sorted(path.name for path in (rstp / "imgs").iterdir())
    content = FOREIGN[kind]({name: [f"First of {name}.", f"Second of {name}."] for name in names})
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(content, indent=indent))
    several = kind not in ("dictionary", "MALS")
    train = load_dataset("rstp", rstp, captions=str(file)).split("train")
    expected = [f"{nth} of {name}." for name in names[:6] for nth in (("First", "Second") if several else ("First",))]
    assert list(train.captions) == expected


@pytest.mark.parametrize(
    ("image", "text"), [("path", "caption"), ("file", "text"), ("image", "description"), ("img", "captions")]
)
@pytest.mark.parametrize("before", ["", "./imgs/", "/somewhere/else/RSTPReid/imgs/", "C:\\data\\"])
def test_json_lines_with_other_keys(rstp: Path, tmp_path: Path, image: str, text: str, before: str) -> None:
    names = sorted(path.name for path in (rstp / "imgs").iterdir())
    lines = [{image: f"{before}{name}", text: f"{nth} of {name}."} for name in names for nth in ("One", "Two")]
    file = save_records(tmp_path / "theirs.jsonl", lines)
    train = load_dataset("rstp", rstp, captions=f"mtg:{file}").split("train")
    assert list(train.captions) == [f"{nth} of {name}." for name in names[:6] for nth in ("One", "Two")]


def test_captions_made_elsewhere_by_the_end_of_their_paths(tmp_path: Path) -> None:
    entries = [
        {"split": "train", "id": pid, "file_path": f"{folder}/1.png", "captions": ["Human."]}
        for pid, folder in enumerate(("cam_a", "cam_b"), 1)
    ]
    root = people_in(tmp_path / "reid_raw.json", tmp_path / "imgs", *entries)
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps({"/gpu7/CUHK/imgs/cam_b/1.png": "B.", "cam_a/1.png": "A.", "/other/1.png": "Nobody."}))
    assert load_dataset("cuhk", root, captions=str(file)).split("train").captions == ("A.", "B.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"image": "a.jpg"}, 5]', "object 1: 5: expected the path of an image"),
        ('{"a.jpg": 5}', "'a.jpg': .*expected the path of an image"),
        ('{"image": "a.jpg", "caption": "A."}\n{"caption": "B."}\n', "line 2: .*expected the path of an image"),
        ('[["a.jpg", "A."]]', "object 0"),
        ("a.jpg,A man.\n", "line 1: not JSON"),
    ],
)
def test_files_that_are_no_captions_are_named(rstp: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "theirs.json").write_text(content)
    with pytest.raises(CtgiError, match=rf"captions .*theirs\.json.*{message}"):
        load_dataset("rstp", rstp, captions=str(tmp_path / "theirs.json"))


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
