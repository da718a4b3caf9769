"""The captions of a file by the content of their images, read where they stand."""

from pathlib import Path

import pytest

from ctgi.captions import read_captions
from ctgi.corrections import Change, correct
from ctgi.errors import CtgiError
from ctgi.runs.captioned import CaptionsOnDisk
from tests.support.caption_records import SHOES, record, write


def test_of_a_content_the_last_caption_counts_as_people_corrected_it(tmp_path: Path) -> None:
    first = record("a.png", sha256="aa")
    copy = {**first, "path": "b.png", "caption": "A girl."}
    captions = write(
        tmp_path / "captions.jsonl", first, copy, {**copy, "path": "c.png", "caption": ""},
        record("a.png", sha256="bb"), record("d.png", sha256=None),
    )  # fmt: skip
    line = list(read_captions(captions))[3]
    correct(captions, line, [Change(SHOES, "white sneakers", "red clogs")], "")
    stored = CaptionsOnDisk(captions)
    assert stored.caption_of("aa") == "A girl."
    assert stored.caption_of("bb") == "A man. The person wears red clogs."
    assert stored["bb"].answers["shoes"] == "red clogs"
    assert stored.caption_of("cc") is None
    assert (len(stored), sorted(stored)) == (2, ["aa", "bb"])


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", record("a.png", sha256="aa", caption="A man."))
    stored = CaptionsOnDisk(captions)
    write(tmp_path / "new.jsonl", record("other.png")).replace(captions)
    assert stored.caption_of("aa") == "A man."


def test_a_file_that_is_written_over_is_told(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", record("a.png", sha256="aa"))
    stored = CaptionsOnDisk(captions)
    write(captions, record("a.png", sha256="bb"))
    with pytest.raises(CtgiError, match="was changed meanwhile: run the same command again"):
        stored.caption_of("aa")
