"""Exports as other people's loaders see them, and what stays of a data set's own annotations."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.captions import CaptionLine
from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import load_dataset
from ctgi.retrieval.benchmarks.layouts import LAYOUTS
from ctgi.runs.events import Logged
from ctgi.runs.export import FILE_NAMES, ExportReport, export_all, export_captions
from tests.support.people_dataset import save_records


def records(root: Path, **captions: str) -> list[CaptionLine]:
    return [
        CaptionLine({"path": str(root / f"{name}.jpg"), "sha256": name, "caption": text, "turns": []})
        for name, text in captions.items()
    ]


def load_as_irra(file: Path, layout: str, split: str = "train") -> list[tuple[int, int, str, str]]:
    """(pid, image_id, path, caption) as loaders of the IRRA family build them.

    Ids of CUHK-PEDES are shifted by 1 in the training split; training ids must then be 0, 1, 2 ... without a gap.
    """
    path_key = "img_path" if layout == "rstp" else "file_path"
    samples, pids = [], set()
    entries = [entry for entry in json.loads(file.read_text("ascii")) if entry["split"] == split]
    for image_id, entry in enumerate(entries):
        pid = int(entry["id"]) - (layout == "cuhk" and split == "train")
        pids.add(pid)
        samples += [(pid, image_id, f"imgs/{entry[path_key]}", caption) for caption in entry["captions"]]
    if split == "train":
        assert sorted(pids) == list(range(len(pids)))
    return samples


@pytest.mark.parametrize("layout", ["cuhk", "icfg", "rstp"])
def test_without_annotations_each_image_is_a_person_of_its_own(tmp_path: Path, layout: str) -> None:
    out = tmp_path / "out.json"
    lines = records(tmp_path / "a", zoe="A woman.", adam="A man in a T-shirt.")
    report = export_captions(lines, layout, out, images_root=tmp_path)
    assert report == ExportReport(written=2, replaced=0, kept=0, without_caption=0, unmatched=0)
    assert load_as_irra(out, layout) == [
        (0, 0, "imgs/a/adam.jpg", "A man in a T-shirt."),
        (1, 1, "imgs/a/zoe.jpg", "A woman."),
    ]
    first = json.loads(out.read_text())[0]
    assert first.get("processed_tokens") == (None if layout == "rstp" else [["a", "man", "in", "a", "t-shirt"]])
    assert first["id"] == (1 if layout == "cuhk" else 0)


def test_test_ids_are_not_shifted(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    export_captions(records(tmp_path, a="A man."), "cuhk", out, images_root=tmp_path, split="test")
    assert load_as_irra(out, "cuhk", "test") == [(0, 0, "imgs/a.jpg", "A man.")]


def test_the_last_caption_of_a_path_wins_and_empty_ones_are_counted(tmp_path: Path) -> None:
    lines = records(tmp_path, a="old", b="") + records(tmp_path, a="new") + records(tmp_path, a=" ")
    report = export_captions(lines, "rstp", tmp_path / "out.json", images_root=tmp_path)
    assert (report.written, report.without_caption) == (1, 1)
    assert load_as_irra(tmp_path / "out.json", "rstp") == [(0, 0, "imgs/a.jpg", "new")]


def test_the_folder_above_imgs_is_understood(tmp_path: Path) -> None:
    (tmp_path / "imgs").mkdir()
    export_captions(records(tmp_path / "imgs", a="A man."), "icfg", tmp_path / "out.json", images_root=tmp_path)
    assert load_as_irra(tmp_path / "out.json", "icfg") == [(0, 0, "imgs/a.jpg", "A man.")]


def test_paths_are_taken_from_the_working_directory_and_through_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    lines = records(Path("real"), a="A man.") + records(Path("link/../link"), b="A boy.")
    export_captions(lines, "rstp", tmp_path / "out.json", images_root=Path("link"))
    assert [sample[2] for sample in load_as_irra(tmp_path / "out.json", "rstp")] == ["imgs/a.jpg", "imgs/b.jpg"]


def test_an_image_that_is_a_link_counts_where_the_link_lies(tmp_path: Path) -> None:
    (tmp_path / "imgs").mkdir()
    (tmp_path / "a.jpg").touch()
    (tmp_path / "imgs" / "a.jpg").symlink_to(tmp_path / "a.jpg")
    export_captions(records(tmp_path / "imgs", a="A."), "rstp", tmp_path / "out.json", images_root=tmp_path)
    assert load_as_irra(tmp_path / "out.json", "rstp") == [(0, 0, "imgs/a.jpg", "A.")]


def test_a_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    export_captions(
        [CaptionLine({"path": path, "caption": "A man."})], "rstp", tmp_path / "out.json", images_root=tmp_path
    )
    (sample,) = load_as_irra(tmp_path / "out.json", "rstp")
    assert os.fsencode(sample[2]) == b"imgs/caf\xe9.jpg"


@pytest.fixture
def cuhk(tmp_path: Path) -> Path:
    """Annotations in the layout of CUHK-PEDES: a.jpg lies in two folders, so that its name alone says nothing."""

    def entry(pid: int, split: str, path: str) -> dict[str, Any]:
        tokens = [["human", "words"], ["second", "ones"]]
        captions = ["Human words.", "Second ones ☂."]
        return {"split": split, "captions": captions, "file_path": path, "processed_tokens": tokens, "id": pid}

    file = tmp_path / "reid_raw.json"
    entries = [
        entry(1, "train", "CUHK01/a.jpg"),
        entry(12004, "test", "Market/t.jpg"),
        entry(1, "train", "CUHK03/a.jpg"),
        entry(2, "train", "CUHK03/b.jpg"),
        entry(11004, "val", "CUHK03/a.jpg"),  # as if listed twice
    ]
    file.write_text(json.dumps(entries, ensure_ascii=False, indent=1), "utf-8")
    return file


def test_captions_replace_those_of_their_split_only(tmp_path: Path, cuhk: Path) -> None:
    out, imgs = tmp_path / "out.json", tmp_path / "imgs"
    lines = (
        records(imgs / "CUHK03", a="A man in blue.")  # by path
        + records(Path("/elsewhere"), b="A girl.", t="Not for the test split.", nobody="Nobody.")  # b by name
        + records(Path("/elsewhere/more"), a="One of two a.jpg, nobody knows which.")
    )
    report = export_captions(lines, "cuhk", out, images_root=imgs, annotations=cuhk)
    assert report == ExportReport(written=5, replaced=2, kept=1, without_caption=0, unmatched=3)
    was, now = json.loads(cuhk.read_text("utf-8")), json.loads(out.read_text("ascii"))
    assert [now[i] for i in (0, 1, 4)] == [was[i] for i in (0, 1, 4)]
    assert list(now[2]) == list(was[2])
    assert now[2] == was[2] | {
        "captions": ["A man in blue."],
        "processed_tokens": [["a", "man", "in", "blue"]],
    }
    assert now[3]["captions"] == ["A girl."]
    assert [sample[0] for sample in load_as_irra(out, "cuhk")] == [0, 0, 0, 1]


def test_a_name_given_twice_by_us_is_matched_to_nothing(tmp_path: Path, cuhk: Path) -> None:
    lines = records(Path("/x"), b="One.") + records(Path("/y"), b="Other.")
    with pytest.raises(CtgiError, match="none of the 2 captioned images is in its split 'train'"):
        export_captions(lines, "cuhk", tmp_path / "out.json", images_root=tmp_path, annotations=cuhk)
    assert not (tmp_path / "out.json").exists()


def test_the_own_annotations_of_a_data_set_are_spared(tmp_path: Path, cuhk: Path) -> None:
    was = cuhk.read_bytes()
    (tmp_path / "link.json").symlink_to(cuhk)
    with pytest.raises(CtgiError, match="the data set's own annotation file"):
        export_captions(
            records(Path("/x"), b="A man."), "cuhk", tmp_path / "link.json", images_root=tmp_path, annotations=cuhk
        )
    assert cuhk.read_bytes() == was


def test_an_image_outside_the_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"/elsewhere/x\.jpg: not below .* give the folder that holds all"):
        export_captions(records(Path("/elsewhere"), x="A."), "icfg", tmp_path / "o.json", images_root=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("\xff", "not UTF-8"),
        ('{"a": 1}', "expected a list of objects with file_path"),
        ('[{"file_path": "a.jpg", "id": 1, "captions": ["x"]}]', "annotation file with the splits"),
        ('[{"picture": "a.jpg", "id": 1, "captions": ["x"], "split": "train"}]', "its layout"),
    ],
)
def test_other_files_are_not_taken_for_annotations(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content, "latin-1")
    lines = records(tmp_path, a="A man.")
    with pytest.raises(CtgiError, match=message):
        export_captions(lines, "cuhk", tmp_path / "o.json", images_root=tmp_path, annotations=tmp_path / "a.json")


def test_set_up_errors_say_what_is_possible(tmp_path: Path) -> None:
    lines, out = records(tmp_path, a="A man."), tmp_path / "o.json"
    with pytest.raises(CtgiError, match="unknown export layout 'coco': expected one of cuhk, icfg, rstp"):
        export_captions(lines, "coco", out, images_root=tmp_path)
    with pytest.raises(CtgiError, match="layout icfg has no split 'val': expected one of train, test"):
        export_captions(lines, "icfg", out, images_root=tmp_path, split="val")
    with pytest.raises(CtgiError, match="none of 1 images has a caption: run ctgi caption first"):
        export_captions(records(tmp_path, a=""), "icfg", out, images_root=tmp_path)
    with pytest.raises(CtgiError, match=r"annotations .*gone\.json: No such file"):
        export_captions(lines, "icfg", out, images_root=tmp_path, annotations=tmp_path / "gone.json")
    with pytest.raises(CtgiError, match=r"cannot write .*none/o\.json"):
        export_captions(lines, "icfg", tmp_path / "none" / "o.json", images_root=tmp_path)


# --- the folder that official loaders expect


def annotated(root: Path, layout: str, *entries: dict[str, Any]) -> Path:
    """A data set's own annotations in this layout, with its images."""
    (root / "imgs").mkdir(parents=True)
    for entry in entries:
        (root / "imgs" / Path(entry.get("file_path") or entry["img_path"]).name).touch()
    (root / FILE_NAMES[layout]).write_text(json.dumps(entries))
    return root / FILE_NAMES[layout]


@pytest.mark.parametrize(("layout", "splits"), [("cuhk", (8, 1, 1)), ("icfg", (9, 0, 1)), ("rstp", (8, 1, 1))])
def test_val_and_test_are_cut_by_person(tmp_path: Path, layout: str, splits: tuple[int, ...]) -> None:
    out = tmp_path / "out.json"
    names = {f"{person:04}_c{camera}": f"Person {person}." for person in range(10) for camera in (1, 2)}
    lines = records(tmp_path / "a", **names)
    report = export_captions(lines, layout, out, images_root=tmp_path, cut_splits=True)
    samples = {split: load_as_irra(out, layout, split) for split in ("train", "val", "test")}
    assert tuple(len({pid for pid, *_ in samples[split]}) for split in samples) == splits
    told = {split: {text for *_, text in found} for split, found in samples.items()}
    assert not (told["train"] & told["test"]) and not (told["train"] & told["val"]), "both images of a person together"
    assert report.people == "people by the numbers in file names"
    assert report.cut == (("test",) if layout == "icfg" else ("val", "test"))
    again = tmp_path / "again.json"
    export_captions(lines, layout, again, images_root=tmp_path, cut_splits=True)
    assert again.read_bytes() == out.read_bytes(), "the same people each time"


def test_a_tree_keeps_its_splits_and_people(tmp_path: Path) -> None:
    names = ["bounding_box_train/0002_c1s1_1_1", "bounding_box_train/0007_c1s1_1_1", "query/0001_c1s1_1_1"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").touch()
    lines = [line for name in names for line in records(tmp_path, **{name: "A man."})]
    report = export_captions(lines, "rstp", tmp_path / "o.json", images_root=tmp_path, cut_splits=True)
    assert [sample[0] for sample in load_as_irra(tmp_path / "o.json", "rstp")] == [0, 1]
    assert [sample[0] for sample in load_as_irra(tmp_path / "o.json", "rstp", "test")] == [2]
    assert (report.people, report.cut) == ("people and splits as in Market-1501", ())


def test_a_data_set_of_train_alone_is_cut_and_keeps_human_captions_to_measure_on(tmp_path: Path) -> None:
    entries = [{"img_path": f"{n}.jpg", "id": n, "captions": [f"Human {n}."], "split": "train"} for n in range(10)]
    file = annotated(tmp_path / "RSTPReid", "rstp", *entries)
    lines = records(tmp_path / "RSTPReid" / "imgs", **{str(n): f"Ours {n}." for n in range(10)})
    out = tmp_path / "out.json"
    report = export_captions(lines, "rstp", out, images_root=file.parent, annotations=file, cut_splits=True)
    assert (report.replaced, report.kept, report.unmatched, report.renumbered) == (8, 0, 2, True)
    assert all(text.startswith("Ours") for *_, text in load_as_irra(out, "rstp"))
    for split in ("val", "test"):
        (sample,) = load_as_irra(out, "rstp", split)
        assert sample[3].startswith("Human"), split
        assert sample[0] >= 8


def test_other_spellings_come_out_as_the_official_loader_reads_them(tmp_path: Path) -> None:
    odd = [
        {"file_path": "imgs\\a.jpg", "id": "0007", "caption": "Human a.", "split": "Train", "note": 1},
        {"file_path": "./b.jpg", "id": 9.0, "captions": ["Human b.", None], "split": "TEST"},
    ]
    file = annotated(tmp_path / "RSTPReid", "rstp", *odd)
    lines = records(tmp_path / "RSTPReid" / "imgs", a="Ours a.")
    export_captions(lines, "rstp", tmp_path / "o.json", images_root=file.parent, annotations=file)
    assert json.loads((tmp_path / "o.json").read_text()) == [
        {"id": 0, "split": "train", "note": 1, "img_path": "a.jpg", "captions": ["Ours a."]},
        {"id": 1, "captions": ["Human b."], "split": "test", "img_path": "b.jpg"},
    ]


@pytest.mark.parametrize("layout", ["cuhk", "icfg", "rstp"])
def test_the_assembled_folder_is_found_by_our_own_loader_too(tmp_path: Path, layout: str) -> None:
    images = tmp_path / "pictures"
    images.mkdir()
    for number in range(10):
        Image.new("RGB", (16, 32)).save(images / f"{number:04}_c1.jpg")
    lines = [{"path": str(path), "sha256": path.name, "caption": f"{path.name}."} for path in images.iterdir()]
    captions = save_records(tmp_path / "captions.jsonl", lines)
    (written,) = export_all(captions, [layout], Logged(), images_root=images)
    assert Path(written).parent.name == LAYOUTS[layout].name
    dataset = load_dataset(layout, tmp_path / f"captions-{layout}")
    assert sum(len(split.images) for split in dataset.splits.values()) == 10
    export_all(captions, [layout], Logged(), images_root=images)  # again, over what is there
    assert (Path(written).parent / "imgs").resolve() == images


def test_images_that_are_not_where_the_loader_looks_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    captions = save_records(tmp_path / "captions.jsonl", [{"path": "gone.jpg", "sha256": "1", "caption": "A."}])
    export_all(captions, ["rstp"], Logged(), images_root=Path())
    assert "1 of 1 listed images (gone.jpg) are not below" in caplog.text
    assert "too few people to cut a test from train" in caplog.text
