"""Captions as a page and as a table: all that counts is there, and nothing of it acts."""

import csv
import shutil
from pathlib import Path

import pytest

from ctgi.captions_index import CaptionsIndex
from ctgi.corrections import Change, correct
from ctgi.reports import captions_page
from ctgi.reports.captions_page import COLUMNS, write_captions_page, write_captions_table
from ctgi.retrieval.images import digest
from tests.reports.test_search_page import Page
from tests.support.caption_records import BAG, SHOES, record, turn, write
from tests.support.tiny_clip import save_people

HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return save_people(tmp_path / "photographs")


@pytest.fixture
def captions(tmp_path: Path, photographs: Path) -> CaptionsIndex:
    image = photographs / "0_a.png"
    path = write(
        tmp_path / "captions.jsonl",
        record(str(image), sha256=digest(str(image))),
        record(f"/gone/{HOSTILE}.png", caption=HOSTILE, initial_caption=HOSTILE, turns=[turn(HOSTILE, HOSTILE)]),
    )
    index = CaptionsIndex(path)
    index.refresh()
    return index


def corrected(index: CaptionsIndex) -> CaptionsIndex:
    line = index.read(index.entries[0])
    changes = [Change(None, line.caption, "A woman."), Change(SHOES, "white sneakers", HOSTILE)]
    correct(index.path, line, changes, HOSTILE)
    index.refresh()
    return index


def page(index: CaptionsIndex, tmp_path: Path, folder: Path | None = None) -> Page:
    write_captions_page(index, tmp_path / "page.html", folder)
    return Page((tmp_path / "page.html").read_text())


def table(index: CaptionsIndex, tmp_path: Path) -> list[dict[str, str]]:
    write_captions_table(index, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_page_shows_image_caption_and_each_turn(captions: CaptionsIndex, tmp_path: Path) -> None:
    found = page(captions, tmp_path)
    assert "2 images" in found.text
    assert f"{SHOES} white sneakers kept, 90 % sure" in found.text
    assert f"{BAG} a red bag dropped as redundant: 0.9 similar to what is known" in found.text
    assert "No picture no such file" in found.text.replace("pictureno", "picture no")
    pictures = [attributes for tag, attributes in found.elements if tag == "img"]
    assert [one["src"].partition(",")[0] for one in pictures] == ["data:image/jpeg;base64"]


def test_a_page_shows_the_models_words_beside_a_correction(captions: CaptionsIndex, tmp_path: Path) -> None:
    text = page(corrected(captions), tmp_path).text
    assert "2 images, 1 corrected by people" in text
    assert "A woman. The model wrote A man. The person wears white sneakers." in text.replace(
        "wroteA man", "wrote A man"
    )
    assert "the model said: white sneakers" in text


def test_nothing_on_a_page_acts(captions: CaptionsIndex, tmp_path: Path) -> None:
    found = page(corrected(captions), tmp_path)
    assert {tag for tag, _ in found.elements}.isdisjoint({"script", "iframe", "object", "form", "link", "base"})
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert found.text.count(HOSTILE) >= 4


def test_images_that_were_moved_are_found(captions: CaptionsIndex, tmp_path: Path, photographs: Path) -> None:
    shutil.move(photographs, tmp_path / "elsewhere")
    assert len([tag for tag, _ in page(captions, tmp_path, tmp_path / "elsewhere").elements if tag == "img"]) == 1


def test_a_long_file_is_cut_and_says_so(
    captions: CaptionsIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions_page, "MAX_IMAGES", 1)
    assert write_captions_page(captions, tmp_path / "page.html", None) == 1
    assert "The first 1 are on this page" in Page((tmp_path / "page.html").read_text()).text


def test_a_table_has_a_row_for_each_image(captions: CaptionsIndex, tmp_path: Path) -> None:
    rows = table(corrected(captions), tmp_path)
    assert tuple(rows[0]) == COLUMNS
    assert rows[0] == {
        "path": next(iter(captions)).path,
        "sha256": next(iter(captions)).image,
        "caption": "A woman.",
        "corrected": "yes",
        "model_caption": "A man. The person wears white sneakers.",
        "initial_caption": "A man.",
        "confidence_percent": "100",
        "kept": "1",
        "dropped": "1",
        "answers": f"{SHOES} {HOSTILE}",
        "dropped_answers": f"{BAG} a red bag (dropped as redundant: 0.9 similar to what is known)",
    }
    assert (rows[1]["caption"], rows[1]["corrected"]) == (HOSTILE, "no")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(tmp_path: Path, start: str) -> None:
    index = CaptionsIndex(write(tmp_path / "captions.jsonl", record("a.png", caption=f"{start}cmd|' /C calc'!A0")))
    index.refresh()
    assert table(index, tmp_path)[0]["caption"] == f"'{start}cmd|' /C calc'!A0"


def test_half_a_letter_of_utf16_is_replaced(tmp_path: Path) -> None:
    index = CaptionsIndex(write(tmp_path / "captions.jsonl", record("a.png", caption="A bag \ud83d.")))
    index.refresh()
    assert table(index, tmp_path)[0]["caption"] == "A bag \ufffd."


def test_names_that_are_no_utf8_are_written(tmp_path: Path) -> None:
    index = CaptionsIndex(write(tmp_path / "captions.jsonl", record("\udcff.png")))
    index.refresh()
    write_captions_table(index, tmp_path / "table.csv")
    assert b"\xff.png" in (tmp_path / "table.csv").read_bytes()
    assert "\\udcff.png" in page(index, tmp_path).text
