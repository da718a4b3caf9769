"""The benchmarks and captioned folders as rows, and what is told about those that are not as they should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import load_dataset
from tests.support.people_dataset import mtg_records, save_records

Entry = dict[str, Any]


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
    (rstp / "imgs" / "0000_C1.jpg").touch()
    said = r"imgs \(but 0000_C1.jpg is there\): check"
    with pytest.raises(CtgiError, match=said):
        load_dataset("rstp", rstp)
    with pytest.raises(CtgiError, match=r"4 \(0000_c1.jpg, 0002_c0.jpg, 0003_c0.jpg, ...\) of 12 images missing below"):
        load_dataset("rstp", rstp)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries[4].update(split="one"), r"object 4: split 'one': expected one of train, val, test"),
        (lambda entries: entries[4].pop("split"), r"object 4: split is missing: expected one of train, val, test"),
        (lambda entries: entries[4].update(captions=7), r"object 4: captions 7: expected a list of texts"),
        (lambda entries: entries[4].update(captions=["x", 7]), r"object 4: captions \['x', 7\]: expected a list of te"),
        (lambda entries: entries[4].update(id="x"), r"object 4: id 'x': expected a number"),
        (lambda entries: entries[4].update(id=-1), r"object 4: id -1: expected a number"),
        (lambda entries: entries[4].update(id=1.5), r"object 4: id 1.5: expected a number"),
        (lambda entries: entries[4].update(id=10**30), r"object 4: id 1000.*: expected a number"),
        (lambda entries: entries[4].update(id="9" * 5000), r"object 4: id '9999.*: expected a number"),
        (lambda entries: entries[4].update(id=True), r"object 4: id True: expected a number"),
        (lambda entries: entries[4].update(id=float("nan")), r"object 4: id nan: expected a number"),
        (lambda entries: entries[4].pop("id"), r"object 4: id is missing: expected a number"),
        (lambda entries: entries[4].pop("img_path"), r"object 4: img_path is missing: expected the path"),
        (lambda entries: entries.__setitem__(4, 5), r"object 4: 5: expected an object"),
        (lambda entries: [entry.pop("id") for entry in entries], r"expected a list of objects with img_path"),
        (lambda entries: entries[4:6] and [entry.update(id="x") for entry in entries[4:6]], r"\(2 faults in all; ctgi"),
        (lambda entries: entries[11].update(img_path="./0005_c0.jpg", id=99), r"1 \(0005_c0.jpg\) under more than one"),
        (lambda entries: entries[11].update(img_path=r"imgs\0000_c0.jpg"), r"1 \(0000_c0.jpg\) in more than one split"),
        (lambda entries: entries[4].update(img_path="../x.jpg"), r"1 \(../x.jpg\) outside the image folder"),
        (lambda entries: entries[11].update(img_path="0000_c0.jpg"), r"1 \(0000_c0.jpg\) in more than one split"),
    ],
)
def test_wrong_annotations(rstp: Path, change: Callable[[list[Entry]], object], message: str) -> None:
    edit(rstp, change)
    with pytest.raises(CtgiError, match=message):
        load_dataset("rstp", rstp)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: {**one, "split": one["split"].capitalize()}, "splits written Val, taken as val: 2"),
        (lambda one: {**one, "split": {"val": "valid"}.get(one["split"], one["split"])}, "written valid, taken as val"),
        (lambda one: {**one, "id": f"{one['id']:04}"}, "ids written as text: 12"),
        (lambda one: {**one, "id": float(one["id"])}, "ids with a decimal point: 12"),
        (lambda one: {**one, "img_path": f"imgs/{one['img_path']}"}, "paths that begin with imgs/: 12"),
        (lambda one: {**one, "img_path": f"imgs\\{one['img_path']}"}, "paths that begin with imgs/: 12"),
        (lambda one: {**one, "img_path": f".\\{one['img_path']}"}, "paths of Windows: 12"),
        (lambda one: {**one, "img_path": f"./{one['img_path']}"}, "paths that begin with ./ or hold //: 12"),
        (lambda one: {**one, "img_path": f"D:\\RSTP\\imgs\\{one['img_path']}"}, "paths of another machine"),
        (lambda one: {**one, "img_path": f"/data/RSTPReid/imgs/{one['img_path']}"}, "paths of another machine"),
        (lambda one: {"file_path": one.pop("img_path"), **one}, "paths under file_path instead of img_path: 12"),
        (lambda one: {"caption": one.pop("captions"), **one}, "captions under caption instead of captions: 12"),
        (lambda one: {**one, "captions": [*one["captions"], None]}, "captions that are null, left out: 12"),
        (lambda one: {**one, "captions": [{"raw": text} for text in one["captions"]]}, "RSTPReid train: 6 images"),
    ],
)
def test_annotations_in_other_words_are_read_as_meant(
    rstp: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Entry], Entry], told: str
) -> None:
    expected = load_dataset("rstp", rstp)
    edit(rstp, lambda entries: entries.__setitem__(slice(None), [change(dict(entry)) for entry in entries]))
    assert load_dataset("rstp", rstp) == expected
    assert told in caplog.text


def test_a_caption_that_is_one_text_is_one_caption(rstp: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = load_dataset("rstp", rstp).split("test").captions[::2]
    edit(rstp, lambda entries: [entry.update(captions=entry["captions"][0]) for entry in entries])
    assert load_dataset("rstp", rstp).split("test").captions == expected
    assert "captions that are one text instead of a list: 12" in caplog.text


@pytest.mark.parametrize("shape", ["lines", "blank lines", "splits", "wrapped", "by path", "split files"])
def test_annotations_in_another_shape_are_the_same(rstp: Path, shape: str) -> None:
    expected, file = load_dataset("rstp", rstp), rstp / "data_captions.json"
    entries: list[Entry] = json.loads(file.read_text())
    by_split = {split: [one for one in entries if one["split"] == split] for split in ("train", "val", "test")}
    content: Any = {
        "splits": {key: [{**one, "split": ""} for one in value] for key, value in by_split.items()} | {"licenses": []},
        "wrapped": {"info": {"year": 2026}, "annotations": entries},
        "by path": {one["img_path"]: {key: one[key] for key in ("id", "captions", "split")} for one in entries},
    }.get(shape)
    blank = "\ufeff\n\n" if shape == "blank lines" else ""
    lines = blank + "".join(f"{json.dumps(one)}\n{blank[1:]}" for one in entries)
    file.write_text(lines if shape.endswith("lines") else json.dumps(content))
    if shape == "split files":
        file.unlink()
        for split, some in by_split.items():
            (rstp / f"{split}_reid.json").write_text(json.dumps([{**one, "split": None} for one in some]))
        assert load_dataset("cuhk", rstp).split("test") == expected.split("test")
        return
    assert load_dataset("rstp", rstp) == expected
    assert load_dataset("rstp", file) == expected, "the file may be named as the root"


def test_annotations_that_were_cut_off_are_refused(rstp: Path) -> None:
    file = rstp / "data_captions.json"
    lines = [json.dumps(one) for one in json.loads(file.read_text())]
    file.write_text("\n".join(lines)[:-5])
    with pytest.raises(CtgiError, match=r"data_captions.json, line 12: cut off: copy the file again"):
        load_dataset("rstp", rstp)


def test_an_image_that_is_listed_twice_counts_once_with_all_its_captions(
    rstp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    test = load_dataset("rstp", rstp).split("test")
    edit(rstp, lambda entries: entries.append({**entries[-1], "img_path": "./0005_c1.jpg", "captions": ["Again."]}))
    now = load_dataset("rstp", rstp).split("test")
    assert (now.images, now.captions) == (test.images, (*test.captions, "Again."))
    assert "images listed again, taken once with all their captions: 1" in caplog.text


def test_captions_lose_control_characters_and_halves_of_letters(rstp: Path) -> None:
    file = rstp / "data_captions.json"
    edit(
        rstp,
        lambda entries: entries[-1].update(captions=["A bag\0\7.", "Half HALF here, 一个人\u3000red.", "...", " "]),
    )
    file.write_text(file.read_text().replace("HALF", "\\ud83d"))
    assert load_dataset("rstp", rstp).split("test").captions[-2:] == ("A bag  .", "Half \ufffd here, 一个人\u3000red.")


def test_a_layout_that_is_not_there_names_what_is(rstp: Path) -> None:
    with pytest.raises(
        CtgiError, match=r"no reid_raw.json or caption_all.json here.*; data_captions.json is there, as for --data rstp"
    ):
        load_dataset("cuhk", rstp)


# --- other layouts


def people_in(file: Path, images: Path, *entries: Entry) -> Path:
    """Annotations, and an image for each of their paths."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(entries))
    save_images(images, *(entry["file_path"].removeprefix("imgs/") for entry in entries))
    return file.parent


@pytest.mark.parametrize(
    ("ids", "splits"),
    [
        ((1, 2, 11_004, 12_003, 12_004), {"train": 2, "val": 2, "test": 1}),
        ((3, 5, 9, 11, 12, 13, 20, 21, 22, 30), {"train": 8, "val": 1, "test": 1}),
        ((1, 2), {"train": 2}),
    ],
)
def test_cuhk_as_its_authors_send_it_is_parted_by_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ids: tuple[int, ...], splits: dict[str, int]
) -> None:
    entries = [{"id": pid, "file_path": f"CUHK01/{pid}.png", "captions": ["A.", "B."]} for pid in ids]
    root = people_in(tmp_path / "CUHK-PEDES" / "caption_all.json", tmp_path / "CUHK-PEDES" / "imgs", *entries)
    dataset = load_dataset("cuhk", root)
    assert {name: split.classes for name, split in dataset.splits.items()} == splits
    assert "images without a split, parted by the ids of people, not as in reid_raw.json" in caplog.text
    if "test" in splits:
        assert set(dataset.split("test").image_pids) == set(sorted(ids)[-splits["test"] :])


def test_cuhk_folders_beside_the_file_will_do(tmp_path: Path) -> None:
    entry = {"id": 1, "split": "train", "file_path": "cam_a/1.png", "captions": ["A."]}
    root = people_in(tmp_path / "reid_raw.json", tmp_path, entry)
    assert load_dataset("cuhk", root).split("train").images == (str(tmp_path / "cam_a/1.png"),)


@pytest.mark.parametrize(("file", "split"), [("UFine6926.json", "train"), ("UFine3C_Annotations.json", None)])
def test_ufine(tmp_path: Path, file: str, split: str | None) -> None:
    entry = {"id": 7, "file_path": "images/1.jpg", "captions": ["A.", "B."]} | ({"split": split} if split else {})
    root = people_in(tmp_path / file, tmp_path, entry)
    found = load_dataset("ufine", root).split(split or "test")
    assert (found.images, found.captions) == ((str(tmp_path / "images/1.jpg"),), ("A.", "B."))


def test_interactive_pedes_is_asked_for_with_the_first_description(tmp_path: Path) -> None:
    def entry(pid: int, split: str) -> Entry:
        texts = {"initial_description": "A man.", "fine-grained_description": "A man in a long red coat."}
        asked = {"questions": ["What color?"], "answers": ["Red."], "captions": ["By a person."]}
        return {"id": pid, "split": split, "file_path": f"CUHK-PEDES/imgs/{pid}.png", **texts, **asked}

    file = tmp_path / "Interactive-PEDES_interactive_annos.json"
    root = people_in(file, tmp_path, entry(0, "train"), entry(1, "test"))
    dataset = load_dataset("interactive-pedes", root)
    assert dataset.split("train").captions == ("A man in a long red coat.",)
    assert dataset.split("test").captions == ("A man.",)


@pytest.mark.parametrize("many", [False, True])
def test_chatpedes_has_a_conversation_for_a_caption(tmp_path: Path, many: bool) -> None:
    turns = [{"from": "user", "value": "Who is it?"}, {"from": "gpt", "value": "A man in red."}]
    entry = {"id": 3, "file_path": "cam_a/1.png", "chats": [turns, turns] if many else turns}
    root = people_in(tmp_path / "train_reid.json", tmp_path / "imgs00", entry)
    train = load_dataset("chatpedes", root).split("train")
    assert train.captions == ("Who is it? A man in red.",) * (2 if many else 1)
    assert train.images == (str(tmp_path / "imgs00/cam_a/1.png"),)


@pytest.mark.parametrize(
    ("spec", "message"), [("mars", "unknown data set 'mars'"), ("icfg", "no ICFG-PEDES.json or ICFG_PEDES.json here")]
)
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
