"""`ctgi data check` as a user runs it."""

import json
from pathlib import Path

from tests.support.commands import Run
from tests.support.people_dataset import save_people_dataset


def test_a_sound_data_set(ctgi: Run, work: Path) -> None:
    save_people_dataset(work / "RSTPReid", train=3, val=1, test=2, views=2)
    done = ctgi("data", "check", "RSTPReid")
    assert done.code == 0
    assert done.out.startswith("RSTPReid (--data rstp): RSTPReid/data_captions.json; images in RSTPReid/imgs\n")
    assert ["train", "6", "12", "3", "no"] in [line.split() for line in done.out.splitlines()]
    assert done.out.endswith("no problems, 3 notes\n") or "no problems" in done.out
    assert ctgi("data", "check", "RSTPReid", "--json").json["splits"]["test"] == {
        "images": 4, "captions": 8, "people": 2,
    }  # fmt: skip


def test_problems_are_listed_with_cures_and_end_in_1(ctgi: Run, work: Path) -> None:
    root = save_people_dataset(work / "RSTPReid", train=3, val=1, test=1, views=2)
    for path in (root / "imgs").glob("000[01]*"):
        path.unlink()
    done = ctgi("data", "check", "RSTPReid")
    assert done.code == 1
    assert "problem: images missing below RSTPReid/imgs (4): check the folder, or download them" in done.out
    assert "    0000_c0.jpg\n" in done.out
    assert "    ... and 1 more; --json lists all\n" in done.out
    found = ctgi("data", "check", "RSTPReid", "--json")
    assert (found.code, found.json["ok"]) == (1, False)
    assert len(found.json["problems"][0]["items"]) == 4


def test_text_of_files_stays_text(ctgi: Run, work: Path) -> None:
    entry = {"id": "\x1b[31m", "img_path": "a\nb.jpg", "captions": ["x"], "split": "train"}
    sound = {"id": 0, "img_path": "\x1b[2J.jpg", "captions": ["x"], "split": "train"}
    (work / "data_captions.json").write_text(json.dumps([entry, sound]))
    done = ctgi("data", "check", ".")
    assert (done.code, "\x1b" in done.out) == (1, False)


def test_no_folder(ctgi: Run) -> None:
    done = ctgi("data", "check", "nowhere")
    assert (done.code, "nowhere: no such folder" in done.err) == (2, True)
