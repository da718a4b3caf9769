"""Corrections: the model's words stay, nobody's correction is lost, and what uses captions uses them corrected."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor, wait
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from ctgi.captions import CaptionLine, read_captions
from ctgi.corrections import (
    Change,
    Correction,
    correct,
    corrected_captions,
    corrections_path,
    read_corrections,
    replaced,
)
from ctgi.errors import CtgiError
from ctgi.files import lock
from ctgi.retrieval.benchmarks.caption_choice import CaptionChoice
from tests.support.caption_records import BAG, SHOES, record, turn, write


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    return write(tmp_path / "captions.jsonl", record("a.png"), record("b.png"))


def first(captions: Path) -> CaptionLine:
    return next(read_captions(captions))


def change(captions: Path, now: str, *, question: str | None = None, seen: str | None = None) -> list[Correction]:
    line = first(captions)
    there = line.caption if question is None else str(line.turns[0]["answer"])
    return correct(captions, line, [Change(question, there if seen is None else seen, now)], "Ann")


def test_a_corrected_caption_counts_and_the_models_own_stays(captions: Path) -> None:
    before = captions.read_bytes()
    (saved,) = change(captions, "A woman in white sneakers.")
    assert captions.read_bytes() == before
    assert (saved.was, saved.by) == ("A man. The person wears white sneakers.", "Ann")
    assert saved.at.endswith("+00:00")
    lines = list(corrected_captions(captions))
    assert [(line.caption, line.corrected) for line in lines] == [
        ("A woman in white sneakers.", True),
        ("A man. The person wears white sneakers.", False),
    ]
    assert not first(captions).corrected


def test_a_corrected_answer_is_kept_and_sure(captions: Path) -> None:
    change(captions, "black boots", question=SHOES)
    line = next(corrected_captions(captions))
    assert line.turns[0] == {
        **turn(SHOES, "black boots", confidence=1.0),
        "statement": "The person wears black boots.",
    }
    assert line.caption == "A man. The person wears black boots."


def test_a_caption_that_says_it_otherwise_stays(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", record("a.png", caption="A man in sneakers that are white."))
    assert [one.field for one in change(captions, "black boots", question=SHOES)] == ["answer"]
    assert not next(corrected_captions(captions)).corrected


def test_a_caption_that_is_corrected_too_is_as_it_was_written(captions: Path) -> None:
    line = first(captions)
    correct(captions, line, [Change(SHOES, "white sneakers", "boots"), Change(None, line.caption, "A man. Boots.")], "")
    assert next(corrected_captions(captions)).caption == "A man. Boots."


def test_what_only_looks_otherwise_on_a_page_is_no_change(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", record("a.png", caption="A man.\n\x1b[31m red"))
    assert change(captions, "A man. \\x1b[31m red") == []
    assert not change(captions, "A woman.", seen="A man. \\x1b[31m red")[0].unseen


def test_a_dropped_answer_that_is_corrected_is_kept(captions: Path) -> None:
    correct(captions, first(captions), [Change(BAG, "a red bag", "a blue bag")], "")
    assert next(corrected_captions(captions)).turns[1] == {
        **turn(BAG, "a blue bag", confidence=1.0),
        "statement": "The person wears a blue bag.",
    }


def test_an_answer_is_taken_out(captions: Path) -> None:
    change(captions, "", question=SHOES)
    taken = next(corrected_captions(captions)).turns[0]
    assert (taken["answer"], taken["kept"], taken["reason"]) == ("", False, "taken out by a person")


def test_the_same_again_changes_nothing(captions: Path) -> None:
    change(captions, "A woman.")
    before = corrections_path(captions).read_bytes()
    assert change(captions, "A woman.") == []
    assert corrections_path(captions).read_bytes() == before


def test_back_to_the_models_own_words_is_no_correction(captions: Path) -> None:
    change(captions, "A woman.")
    change(captions, first(captions).caption, seen="A woman.")
    assert [line.corrected for line in corrected_captions(captions)] == [False, False]
    assert len(read_corrections(captions).of(first(captions))) == 2


def test_two_corrections_of_what_both_saw_before(captions: Path) -> None:
    assert not change(captions, "A woman.")[0].unseen
    (second,) = correct(captions, first(captions), [Change(None, first(captions).caption, "A girl.")], "Bob")
    assert (second.unseen, second.was, second.by) == (True, "A woman.", "Bob")
    assert next(corrected_captions(captions)).caption == "A girl."


def test_corrections_at_the_same_time_are_all_kept(captions: Path) -> None:
    texts = [f"A person, {number}." for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        saved = [one for found in pool.map(lambda text: change(captions, text), texts) for one in found]
    lines = [json.loads(line) for line in corrections_path(captions).read_text().splitlines()]
    assert sorted(line["now"] for line in lines) == sorted(texts)
    assert sum(not one.unseen for one in saved) == 1
    assert [line["was"] for line in lines[1:]] == [line["now"] for line in lines[:-1]]
    assert next(corrected_captions(captions)).caption == lines[-1]["now"]


def test_whoever_writes_at_the_same_time_is_waited_for(captions: Path) -> None:
    change(captions, "A woman.")
    path = corrections_path(captions)
    earlier = json.loads(path.read_text())
    with path.open("ab") as held, ThreadPoolExecutor(1) as pool:
        assert lock(held.fileno()) == ""
        waiting = pool.submit(change, captions, "A girl.", seen="A woman.")
        assert wait([waiting], timeout=0.3).not_done
        held.write(json.dumps(earlier | {"now": "A man with a hat."}).encode() + b"\n")
        held.close()
        (last,) = waiting.result()
    assert (last.was, last.unseen) == ("A man with a hat.", True)
    assert next(corrected_captions(captions)).caption == "A girl."


def test_a_full_disk_keeps_what_there_was(captions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(captions, "A woman.")
    before = corrections_path(captions).read_bytes()
    real = FileIO.write

    class Full(FileIO):
        def write(self, content: Any, /) -> int:
            real(self, content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ctgi.corrections.FileIO", Full)
    with pytest.raises(CtgiError, match="not saved \\(No space left on device\\): free some space, then save it again"):
        change(captions, "A girl.", seen="A woman.")
    assert corrections_path(captions).read_bytes() == before


@pytest.mark.parametrize("end", ["{", '{"path": "a.png", "fie'])
def test_what_a_kill_left_of_a_correction_is_set_aside(
    captions: Path, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(captions, "A woman.")
    path = corrections_path(captions)
    path.write_bytes(path.read_bytes() + end.encode())
    assert next(corrected_captions(captions)).caption == "A woman."
    assert "cut off, as by a kill: ignored" in caplog.text
    change(captions, "A girl.", seen="A woman.")
    assert path.with_name("corrections.jsonl.torn").read_text() == f"{end}\n"
    assert [json.loads(line)["now"] for line in path.read_text().splitlines()] == ["A woman.", "A girl."]


@pytest.mark.parametrize("line", ["[]", "{}", '{"path": "a", "field": "hat", "was": "", "now": ""}', "nonsense"])
def test_a_line_that_is_no_correction_is_named(captions: Path, line: str) -> None:
    corrections_path(captions).write_text(f"{line}\n")
    with pytest.raises(CtgiError, match=r"corrections\.jsonl, line 1: "):
        list(corrected_captions(captions))


def test_a_question_that_was_never_asked(captions: Path) -> None:
    with pytest.raises(CtgiError, match="no question 'Why\\?'"):
        correct(captions, first(captions), [Change("Why?", "", "so")], "")


def test_a_copy_of_an_image_is_corrected_with_it(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", record("a.png"), record("copy.png", sha256="sha-a.png"))
    change(captions, "A woman.")
    assert [line.caption for line in corrected_captions(captions)] == ["A woman.", "A woman."]


def test_a_record_without_a_hash_is_corrected_by_its_path(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.jsonl", record("a.png", sha256=None), record("b.png", sha256=None))
    change(captions, "A woman.")
    assert [line.corrected for line in corrected_captions(captions)] == [True, False]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("captions.jsonl", "corrections.jsonl"),
        ("captions.1-of-4.jsonl", "corrections.1-of-4.jsonl"),
        ("blip.jsonl", "corrections.blip.jsonl"),
    ],
)
def test_each_captions_file_has_corrections_of_its_own(name: str, expected: str) -> None:
    assert corrections_path(Path("folder") / name) == Path("folder") / expected


@pytest.mark.parametrize(
    ("text", "was", "now", "expected"),
    [
        ("The shoes are white sneakers.", "white sneakers.", "black boots", "The shoes are black boots."),
        ("White sneakers and a bag.", "white sneakers", "black boots", "Black boots and a bag."),
        ("A red bag, a red hat.", "red", "blue", None),
        ("A bored man.", "red", "blue", None),
        ("A man.", "", "blue", None),
        ("A man.", "man", "", None),
        ("A man.", "woman", "girl", None),
    ],
)
def test_what_an_answer_changes_in_a_sentence(text: str, was: str, now: str, expected: str | None) -> None:
    assert replaced(text, was, now) == expected


def test_training_takes_corrected_captions_as_sure(captions: Path) -> None:
    change(captions, "A woman.")
    texts = CaptionChoice.parse(f"mtg:{captions}").texts()
    assert [(one.caption, one.confidence, one.corrected) for (one,) in texts.values()] == [
        ("A woman.", 1.0, True),
        ("A man. The person wears white sneakers.", pytest.approx(0.9), False),
    ]
    assert not any(one.corrected for (one,) in CaptionChoice.parse(f"initial:{captions}").texts().values())


def test_a_correction_gives_no_confidence_to_captions_without_one(tmp_path: Path) -> None:
    unsure = [turn(SHOES, "boots", confidence=None)]
    captions = write(tmp_path / "captions.jsonl", record("a.png", turns=unsure))
    change(captions, "A woman.")
    (text,) = CaptionChoice.parse(f"mtg:{captions}").texts()["a.png"]
    assert text.confidence is None
