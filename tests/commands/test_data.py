"""`ctgi data check` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_truth_of_synthetic_people_is_not_taken_for_annotations(ctgi: Run, tmp_path: Path) -> None:
    root = save_people_dataset(tmp_path / "data", train=1, val=1, test=1, views=1)
    objects = json.loads((root / "data_captions.json").read_text())
    truth = ({"path": f"imgs/{one['img_path']}", **one} for one in objects)
    (root / "attributes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in truth).replace("img_path", "of"))
    done = ctgi("data", "check", root, "--data", "cuhk")
    assert done.code == 2
    assert done.err.endswith("data_captions.json is there, as for --data rstp\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_lines_of_json_in_another_encoding_are_told(ctgi: Run, tmp_path: Path, encoding: str) -> None:
    root = save_people_dataset(tmp_path / "data", train=1, val=1, test=1, views=1)
    objects = json.loads((root / "data_captions.json").read_text())
    (root / "lines.jsonl").write_text("".join(json.dumps(one) + "\n" for one in objects), encoding=encoding)
    done = ctgi("data", "check", root / "lines.jsonl", "--data", "rstp")
    told = f"in {encoding[:6].upper()}, which cannot be read line by line: save it as UTF-8"
    assert told in done.out + done.err


@pytest.mark.slow
def test_counts_other_than_published_are_told_once_and_not_if_quiet(tmp_path: Path, tiny_clip: Path) -> None:
    root = save_people_dataset(tmp_path / "data", train=1, val=1, test=1, views=2)
    given = ["evaluate", "--data", "rstp", "--root", str(root), "--retriever", f"open_clip:local-dir:{tiny_clip}"]
    for quiet, count in (([], 1), (["-q"], 0)):
        told = subprocess.run(
            [sys.executable, "-m", "ctgi", *given, *quiet], capture_output=True, text=True, check=True, cwd=tmp_path
        ).stderr
        assert told.count("RSTPReid train: ") == count
        assert "all of its 2 images show the same person" in told
