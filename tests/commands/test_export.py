"""`ctgi export`, and what `ctgi caption` writes beside its captions."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ctgi.captions import read_captions
from ctgi.corrections import Change, correct
from ctgi.testing import ScriptedServer
from tests.commands.test_caption import answer, bind
from tests.support.caption_records import record, write
from tests.support.commands import Run
from tests.support.people_dataset import save_people_dataset


@pytest.fixture
def captions(work: Path) -> Path:
    path = write(work / "captions.jsonl", record(str(work / "a.png")), record(str(work / "b.png")))
    line = next(read_captions(path))
    correct(path, line, [Change(None, line.caption, "A woman.")], "Ann")
    return path


def test_captions_are_written_in_every_form(ctgi: Run, captions: Path) -> None:
    done = ctgi(
        "export", captions, "--html", "page.html", "--csv", "table.csv",
        "--layout", "rstp", "--images-root", captions.parent, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    exported = str(captions.parent / "captions-rstp" / "RSTPReid" / "data_captions.json")
    counts = {"written": 2, "replaced": 0, "kept": 0, "unmatched": 0, "without_caption": 0, "corrected": 1}
    splits = {"train": {"images": 2, "captions": 2, "people": 2}}
    assert done.json == {
        "images": 2, "corrected": 1, "written": ["page.html", "table.csv", exported], "kept_human": {exported: []},
        "exports": {exported: {**counts, "renumbered": False, "splits": splits, "cut": []}},
    }  # fmt: skip
    assert f"{exported}: 1 caption as a person corrected it" in done.err
    assert [one["captions"] for one in json.loads(Path(exported).read_text())] == [
        ["A woman."],
        ["A man. The person wears white sneakers."],
    ]
    assert "A woman." in Path("page.html").read_text()
    assert "A woman." in Path("table.csv").read_text()


def test_what_was_written_is_told(ctgi: Run, captions: Path) -> None:
    done = ctgi("export", captions, "--csv", "table.csv")
    assert done.out == "2 images, 1 of them corrected by people\ntable.csv\n"


def test_captions_made_elsewhere_are_exported(ctgi: Run, work: Path) -> None:
    for name in ("a", "b", "c"):
        Image.new("RGB", (16, 32)).save(work / f"{name}.png")
    (work / "theirs.json").write_text(json.dumps({f"{name}.png": [f"A {name}.", "Again."] for name in "abc"}))
    done = ctgi("export", "theirs.json", "--layout", "rstp", "--images-root", work)
    assert done.code == 0, done.err
    file = Path("theirs-rstp/RSTPReid/data_captions.json")
    assert f"{file}: train 1 images of 1 people; val 1 images of 1 people; test 1 images" in done.out
    assert "all captions are ours" in done.out
    written = {entry["img_path"]: entry["captions"] for entry in json.loads(file.read_text())}
    assert written == {f"{name}.png": [f"A {name}.", "Again."] for name in "abc"}
    assert sorted(path.name for path in (file.parent / "imgs").glob("*.png")) == ["a.png", "b.png", "c.png"]
    assert "cut from train, since there was none: 1 people in val, 1 people in test" in done.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "nothing to write: add --html FILE, --csv FILE or --layout LAYOUT"),
        (["--layout", "rstp"], "--layout needs --images-root FOLDER"),
        (["--layout", "coco", "--images-root", "."], "expected one of cuhk, icfg, rstp"),
        (["--csv", "table.csv", "--images-root", "."], "--images-root: without effect without --layout LAYOUT"),
        (["--csv", "table.csv", "--images", "."], "--images: without effect without --html"),
        (["--html", "nowhere/page.html"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_written(ctgi: Run, captions: Path, options: list[str], expected: str) -> None:
    done = ctgi("export", captions, *options)
    assert (done.code, done.out) == (2, "")
    assert expected in done.err


def test_no_captions(ctgi: Run, work: Path) -> None:
    done = ctgi("export", "nothing.jsonl", "--csv", "table.csv")
    assert done.code == 2
    assert "nothing.jsonl: no such file: ctgi caption makes one" in done.err


def test_caption_writes_page_and_table_too(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies = answer
    done = ctgi("caption", people, *bind(double), "--limit", 2, "--html", "page.html", "--csv", "table.csv")
    assert done.code == 0, done.err
    assert Path("page.html").read_text().count("data:image/jpeg") == 2
    assert len(Path("table.csv").read_text().splitlines()) > 2
    assert "wrote page.html" in done.err


def test_an_export_of_caption_counts_corrections(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies = answer
    assert ctgi("caption", people, *bind(double)).code == 0
    captions = Path("captions.jsonl")
    line = next(read_captions(captions))
    correct(captions, line, [Change(None, line.caption, "A woman.")], "")
    done = ctgi("caption", people, *bind(double), "--export", "rstp", "--json")
    assert done.json["corrected"] == {"captions-rstp/RSTPReid/data_captions.json": 1}
    assert "A woman." in Path("captions-rstp/RSTPReid/data_captions.json").read_text()


def test_a_limit_that_leaves_images_out_is_refused_before_any_is_captioned(
    ctgi: Run, double: ScriptedServer, tmp_path: Path, work: Path
) -> None:
    dataset, before = save_people_dataset(tmp_path / "data", train=3, val=1, test=1, views=1), [*work.iterdir()]
    given = ["caption", dataset, "--split", "train", "--export", "rstp", *bind(double)]
    refused = ctgi(*given, "--limit", 2)
    assert refused.code == 2
    assert "with --limit at most 2 of 3 train images would have a caption of ours" in refused.err
    assert "leave out --limit, or add --keep-human" in refused.err
    assert double.seen == []
    assert [*work.iterdir()] == before
    double.replies = answer
    assert ctgi(*given, "--limit", 2, "--keep-human").code == 0
    assert ctgi(*given, "--limit", 1).code == 0  # with those that have one, these are all


def test_an_export_that_fails_leaves_no_folder(ctgi: Run, work: Path, tmp_path: Path) -> None:
    dataset = save_people_dataset(tmp_path / "data", train=2, val=1, test=1, views=1)
    write(work / "captions.jsonl", record("imgs/0000_c0.jpg"))
    done = ctgi("export", "captions.jsonl", "--layout", "rstp", "--annotations", dataset, "--images-root", dataset)
    assert done.code == 2
    assert "1 of 2 train images (0001_c0.jpg) would keep the captions that people wrote" in done.err
    assert not (work / "captions-rstp").exists()
