"""Browsing a captions file: what fits a filter, and what was appended, corrected or replaced since."""

import json
from pathlib import Path

import pytest

from ctgi.caption_table import Wanted
from ctgi.captions_index import CaptionsIndex, Entries
from ctgi.corrections import Change, correct
from ctgi.errors import CtgiError
from tests.support.caption_records import BAG, SHOES, record, turn, write


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    unsure = record(
        "b.png", turns=[turn(SHOES, "Boots", confidence=0.4), turn(BAG, "no", reason="unusable: a bare no")]
    )
    clash = [turn(BAG, "a hat", reason="contradictory: 'a hat' and 'no hat'")]
    return write(
        tmp_path / "captions.jsonl", record("a.png"), unsure, record("ü.png", turns=clash), record("d.png", caption="")
    )


def indexed(captions: Path) -> CaptionsIndex:
    index = CaptionsIndex(captions)
    index.refresh()
    return index


def paths(index: CaptionsIndex, entries: Entries) -> list[str]:
    return [index.read(entry).path for entry in entries]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["a.png", "b.png", "ü.png", "d.png"]),
        (Wanted(text="boots"), ["b.png"]),
        (Wanted(text="Ü.PNG"), ["ü.png"]),
        (Wanted(text="white SNEAKERS"), ["a.png", "b.png", "ü.png", "d.png"]),
        (Wanted(attribute="shoes"), ["a.png", "b.png", "d.png"]),
        (Wanted(below=0.5), ["b.png"]),
        (Wanted(attribute="bag", below=0.95), ["a.png", "b.png", "ü.png", "d.png"]),
        (Wanted(attribute="shoes", below=0.5), ["b.png"]),
        (Wanted(only="contradictory"), ["ü.png"]),
        (Wanted(only="unusable"), ["b.png"]),
        (Wanted(attribute="shoes", only="unusable"), []),
        (Wanted(only="without"), ["d.png"]),
        (Wanted(only="corrected"), []),
    ],
)
def test_what_fits(captions: Path, wanted: Wanted, expected: list[str]) -> None:
    index = indexed(captions)
    assert paths(index, index.wanted(wanted)) == expected
    assert index.attributes == ["bag", "shoes"]


def test_a_corrected_record_is_found_by_what_it_says_now(captions: Path) -> None:
    index = indexed(captions)
    entry = index.entries[0]
    correct(captions, index.read(entry), [Change(SHOES, "white sneakers", "clogs")], "")
    index.refresh()
    assert paths(index, index.wanted(Wanted(text="clogs"))) == ["a.png"]
    assert paths(index, index.wanted(Wanted(only="corrected"))) == ["a.png"]


def test_what_is_appended_is_taken_in(captions: Path) -> None:
    index = indexed(captions)
    line = json.dumps(record("e.png")).encode()
    with captions.open("ab") as file:
        file.write(line[:40])
        file.flush()
        index.refresh()
        assert len(index.entries) == 4
        file.write(line[40:] + b"\n")
    index.refresh()
    assert index.read(index.entries[4]).path == "e.png"


def test_a_later_record_of_a_path_counts_unless_it_has_no_caption(tmp_path: Path) -> None:
    captions = write(
        tmp_path / "captions.jsonl", record("a.png"), record("b.png"), record("a.png", caption="A girl."),
        record("b.png", caption=""),
    )  # fmt: skip
    index = indexed(captions)
    assert [line.caption for line in index] == ["A girl.", "A man. The person wears white sneakers."]


@pytest.mark.parametrize("size", [2, 9])
def test_a_file_that_was_replaced_is_read_anew(captions: Path, size: int) -> None:
    index = indexed(captions)
    write(captions, *[record(f"{number}.png") for number in range(size)])
    index.refresh()
    assert paths(index, index.entries) == [f"{number}.png" for number in range(size)]


def test_a_file_that_is_gone_and_comes(captions: Path) -> None:
    index = indexed(captions)
    captions.unlink()
    index.refresh()
    assert not index.entries
    write(captions, record("a.png"))
    index.refresh()
    assert len(index.entries) == 1


def test_a_record_that_was_changed_behind_it(captions: Path) -> None:
    index = indexed(captions)
    write(captions, record("other.png"))
    with pytest.raises(CtgiError, match="was changed meanwhile"):
        index.read(index.entries[0])


def test_a_line_that_is_no_record(captions: Path) -> None:
    with captions.open("a") as file:
        file.write("[]\n")
    with pytest.raises(CtgiError, match="line 5: not a caption record"):
        indexed(captions)


def test_words_are_found_however_the_file_spells_them(tmp_path: Path) -> None:
    captions, umlaut = tmp_path / "captions.jsonl", 'Straße "Süd"'
    lines = [json.dumps(record(f"{at}.png", caption=umlaut), ensure_ascii=at == 0) for at in range(2)]
    captions.write_text("\n".join([*lines, json.dumps(record("c.png", caption="A TALL man"))]), encoding="utf-8")
    index = indexed(captions)
    for words in ("STRASSE", '"süd"'):
        assert paths(index, index.wanted(Wanted(text=words))) == ["0.png", "1.png"]
    assert paths(index, index.wanted(Wanted(text="tall MAN"))) == ["c.png"]
    assert not index.wanted(Wanted(text="initial_caption"))


def test_a_path_that_comes_again_later_is_listed_once(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", *(record(f"{number}.png") for number in range(600)))
    index = indexed(captions)
    with captions.open("a") as file:
        file.write(json.dumps(record("1.png", sha256="new", caption="A girl.")) + "\n")
    index.refresh()
    assert paths(index, index.entries) == [f"{number}.png" for number in range(600)]
    assert index.find("sha-1.png") is None
    assert paths(index, index.wanted(Wanted(text="a girl"))) == ["1.png"]
    assert index.entries.beside("new") == (index.entries[0], index.entries[2])


def test_two_files_of_which_one_lacks_an_image_and_says_another_otherwise(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(5)]
    one = indexed(write(tmp_path / "one.jsonl", *map(record, names)))
    other = indexed(write(tmp_path / "other.jsonl", record("3.png", caption="A girl."), *map(record, names[:3])))
    differing, missing = one.differing(other)
    assert paths(one, one.entries.those_at(differing)) == ["3.png"]
    assert missing == 1
    assert one.differing(CaptionsIndex(tmp_path / "none.jsonl"))[1] == 5


def test_of_two_copies_in_the_other_file_the_last_counts(tmp_path: Path) -> None:
    one = indexed(write(tmp_path / "one.jsonl", record("a.png")))
    copy = record("copy.png", sha256="sha-a.png", caption="A girl.")
    other = indexed(write(tmp_path / "other.jsonl", record("a.png"), copy))
    assert len(one.differing(other)[0]) == 1


def test_a_full_disk_is_told_and_after_that_everything_is_read_anew(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", *(record(f"{number}.png") for number in range(300)))
    index = CaptionsIndex(captions)
    index._table._base.execute("PRAGMA max_page_count = 8")
    with pytest.raises(CtgiError, match="the folder of temporary files: database or disk is full: free some space"):
        index.refresh()
    index.refresh()
    assert len(index.entries) == 300
