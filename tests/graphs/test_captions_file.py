import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctgi.captions import CaptionLine, read_captions
from ctgi.errors import CtgiError
from ctgi.runs.captions_file import open_captions


def record(path: str, sha256: str = "0") -> dict[str, object]:
    return {"path": path, "sha256": sha256, "caption": "a man"}


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    out = tmp_path / "new" / "captions.jsonl"
    with open_captions(out) as file:
        file.append(record("a", "1"))
        assert [line.fields for line in read_captions(out)] == [record("a", "1")]
    with open_captions(out) as file:
        assert file.holds("a", "1")
        assert not file.holds("a", "2")
        file.append(record("b", "2"))
        assert file.find("2") == CaptionLine(record("b", "2"))
        assert file.find("1") == CaptionLine(record("a", "1"))
        assert file.find("3") is None


@pytest.mark.parametrize("tail", [b'{"path": "b", "sha', b"{", b'{"path": "b", "caption": "' + b"x" * 100_000])
def test_a_torn_tail_is_left_out_and_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, tail: bytes) -> None:
    out = tmp_path / "captions.jsonl"
    with open_captions(out) as file:
        file.append(record("a"))
    with out.open("ab") as raw:
        raw.write(tail)
    assert [found.path for found in read_captions(out)] == ["a"]
    with open_captions(out) as file:
        file.append(record("b"))
    assert [json.loads(line)["path"] for line in out.read_text().splitlines()] == ["a", "b"]
    assert (tmp_path / "captions.jsonl.torn").read_bytes() == tail + b"\n"
    assert "line 2: cut off, as by a kill: ignored" in caplog.text
    assert "line 2: cut off, as by a kill: moved to captions.jsonl.torn" in caplog.text


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\n\n \n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_last_record_counts_and_stays_whatever_ends_its_line(tmp_path: Path, ending: bytes, mark: bytes) -> None:
    out = tmp_path / "captions.jsonl"
    by_hand = record("b", "2") | {"caption": "CORRECTED BY HAND"}
    written = mark + (json.dumps(record("a", "1")) + "\n" + json.dumps(by_hand)).encode() + ending
    out.write_bytes(written)
    assert [line.fields for line in read_captions(out)] == [record("a", "1"), by_hand]
    with open_captions(out) as file:
        assert file.holds("b", "2")
        assert [file.find("1"), file.find("2")] == [CaptionLine(record("a", "1")), CaptionLine(by_hand)]
        file.append(record("c", "3"))
        assert file.find("3") == CaptionLine(record("c", "3"))
    assert out.read_bytes().startswith(written)
    assert [line.fields for line in read_captions(out)] == [record("a", "1"), by_hand, record("c", "3")]
    assert not (tmp_path / "captions.jsonl.torn").exists()


@pytest.mark.parametrize("tail", [b'{"path": "b", "caption": "by hand",}', b'{"path": "b, "caption": "by hand"}', b"x"])
def test_a_slip_in_the_last_line_stops_and_is_never_cut_off(tmp_path: Path, tail: bytes) -> None:
    out = tmp_path / "captions.jsonl"
    before = json.dumps(record("a")).encode() + b"\n" + tail
    out.write_bytes(before)
    with pytest.raises(CtgiError, match="line 2"):
        list(read_captions(out))
    with pytest.raises(CtgiError, match="line 2"), open_captions(out):
        pass
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    "fields",
    [
        {"path": None},
        {"path": 3},
        {"path": "a\0b"},
        {"path": "\ud800.jpg"},
        {"sha256": []},
        {"caption": ["a man"]},
        {"turns": "x"},
        {"turns": [1]},
        {"bindings": []},
    ],
)
def test_fields_of_other_types_are_named(tmp_path: Path, fields: dict[str, object]) -> None:
    out = tmp_path / "captions.jsonl"
    out.write_text(json.dumps(record("a")) + "\n" + json.dumps(record("b") | fields) + "\n")
    with pytest.raises(CtgiError, match=r"captions\.jsonl, line 2: not a caption record"):
        list(read_captions(out))
    with pytest.raises(CtgiError, match="line 2"), open_captions(out):
        pass


def test_of_several_records_of_one_content_the_last_with_a_caption_is_copied(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    out.write_text("".join(json.dumps(record("a") | {"caption": text}) + "\n" for text in ("made", "corrected", " ")))
    with open_captions(out) as file:
        found = file.find(record("a")["sha256"])
    assert found is not None
    assert found.caption == "corrected"


@pytest.mark.parametrize(
    ("fields", "is_held"),
    [({}, True), ({"sha256": None}, True), ({"caption": None}, False), ({"caption": " "}, False)],
)
def test_a_record_needs_a_caption_but_no_content(tmp_path: Path, fields: dict[str, object], is_held: bool) -> None:
    """A caption that a person added by hand counts, and one that a person took out is made again."""
    out = tmp_path / "captions.jsonl"
    out.write_text(json.dumps(record(str(tmp_path / "a.jpg")) | fields) + "\n")
    sha256 = record(str(tmp_path / "a.jpg"))["sha256"]
    with open_captions(out) as file:
        assert file.holds(str(tmp_path / "a.jpg"), sha256) is is_held
        assert file.holds(str(tmp_path / "." / "b" / ".." / "a.jpg"), sha256) is is_held
        assert not file.holds(str(tmp_path / "b.jpg"), sha256)


def test_deep_nesting_is_named(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    out.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(CtgiError, match=r"captions\.jsonl, line 1: brackets are nested too deeply"), open_captions(out):
        pass


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CtgiError, match="choose another --out"), open_captions(tmp_path / "pipe"):
        pass


def test_a_file_that_is_all_torn_tail(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    out.write_bytes(b'{"path": "a')
    with open_captions(out) as file:
        file.append(record("b"))
    assert [found.path for found in read_captions(out)] == ["b"]


@pytest.mark.parametrize("line", [b"not json\n", b"[1]\n", b'{"caption": "no path"}\n', b"\xff\xfe\n"])
def test_a_damaged_line_is_named_and_nothing_is_touched(tmp_path: Path, line: bytes) -> None:
    out = tmp_path / "captions.jsonl"
    out.write_bytes(json.dumps(record("a")).encode() + b"\n" + line)
    before = out.read_bytes()
    with pytest.raises(CtgiError, match="line 2"), open_captions(out):
        pass
    assert out.read_bytes() == before


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    out, path = tmp_path / "captions.jsonl", os.fsdecode(b"caf\xe9.png")
    with open_captions(out) as file:
        file.append(record(path))
    assert next(read_captions(out)).path == path


def test_two_writers_are_kept_apart(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    with open_captions(out), pytest.raises(CtgiError, match="another ctgi caption"), open_captions(out):
        pass


def test_without_locks_it_goes_on_with_a_warning_or_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    out = tmp_path / "captions.jsonl"
    with open_captions(out) as file:
        file.append(record("a"))
    assert [line.fields for line in read_captions(out)] == [record("a")]
    assert "this file system has no locks (No locks available): going on without" in caplog.text
    with pytest.raises(CtgiError, match="no locks"), open_captions(out, "stop"):
        pass


_FILL = """
import resource, signal, sys
from pathlib import Path
from ctgi.errors import CtgiError
from ctgi.runs.captions_file import open_captions
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with open_captions(Path(sys.argv[1])) as file:
    try:
        for number in range(100):
            file.append({"path": str(number), "sha256": str(number), "caption": "x" * 50})
    except CtgiError as error:
        sys.exit(f"full: {error}")
"""


def test_a_full_disk_keeps_whole_lines(tmp_path: Path) -> None:
    """A limit on the file's size stands in for the full disk: the write stops in the middle of a line."""
    out = tmp_path / "captions.jsonl"
    done = subprocess.run([sys.executable, "-c", _FILL, str(out)], capture_output=True, text=True, check=False)
    assert "full:" in done.stderr
    assert "free some space" in done.stderr
    paths = [json.loads(line)["path"] for line in out.read_text().splitlines()]
    assert paths == [str(number) for number in range(len(paths))]
    assert 5 < len(paths) < 20
