import json
from pathlib import Path

import pytest

from ctgi.errors import CtgiError
from ctgi.reading import (
    TextError,
    decode,
    is_torn,
    json_lines,
    parse_json,
    read_json,
    read_text,
    read_toml,
    read_yaml,
)

DEEP = "[" * 100_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_is_read_in_any_encoding_that_is_certain(encoding: str) -> None:
    assert decode("é/a.jpg\r\nperson 1\r".encode(encoding)) == "é/a.jpg\nperson 1\n"


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("a\n人物".encode("gbk"), 2, "not UTF-8"),
        (b"caf\xe9", 1, "not UTF-8"),
        ("人人.\n人物人物".encode("utf-16-le"), 1, "NUL bytes"),  # no mark, and too few letters to be certain
        (b"a\nb\0c", 2, "NUL bytes"),
        (b"a\0bcdefghijk", 1, "NUL bytes"),
        (b"a.png\0b.png\0", 1, "NUL bytes"),
    ],
)
def test_other_bytes_are_named_with_line_and_cure(content: bytes, line: int, what: str) -> None:
    with pytest.raises(TextError, match=f"{what}.*: save it as UTF-8") as error:
        decode(content)
    assert error.value.line == line


def test_single_bytes_of_file_names_are_kept_where_wanted() -> None:
    assert decode(b"caf\xe9\n", errors="surrogateescape") == "caf\udce9\n"


@pytest.mark.parametrize("read", [read_json, read_yaml, read_toml])
def test_deep_nesting_is_a_fault_of_the_file(tmp_path: Path, read: object) -> None:
    file = tmp_path / "deep"
    file.write_text(f"x = {DEEP}" if read is read_toml else DEEP)
    with pytest.raises(CtgiError, match=r"thing .*deep: brackets are nested too deeply"):
        read(file, "thing")  # type: ignore[operator]
    file.write_text(f"x = {'[' * 150}{']' * 150}" if read is read_toml else "[" * 150 + "]" * 150)
    with pytest.raises(CtgiError, match="nested too deeply"):  # what walks it later would have failed
        read(file)  # type: ignore[operator]


def test_yaml_that_holds_itself_is_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a [*a]")
    with pytest.raises(CtgiError, match=r"a\.yaml: brackets are nested too deeply"):
        read_yaml(tmp_path / "a.yaml")
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 50))
    (tmp_path / "a.yaml").write_text(bomb)
    assert len(read_yaml(tmp_path / "a.yaml")["a1"]) == 9


@pytest.mark.parametrize(
    ("read", "text", "line"),
    [
        (read_json, '{"a": 1,\n"b": }', 2),
        (read_yaml, "a: 1\nb: [1\nc: }", 3),
        (read_yaml, "a: 1\n\tb: 2", 2),
        (read_toml, "a = 1\nb = ]", 2),
        (read_json, '{"a": "\xff"}', 1),
    ],
)
def test_what_does_not_parse_is_named_with_its_line(tmp_path: Path, read: object, text: str, line: int) -> None:
    file = tmp_path / "file"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(CtgiError, match=f"file.*line {line}"):
        read(file)  # type: ignore[operator]


@pytest.mark.parametrize("text", ["!!timestamp x", "!!bool x", "!!int ''", "a: 2024-13-45", "? [1]\n: 2", "a: \x01"])
def test_yaml_that_its_parser_trips_over_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(CtgiError, match=r"a\.yaml"):
        read_yaml(tmp_path / "a.yaml")


def test_missing_and_folder_and_nul_names(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"question pool .*no\.yaml: No such file or directory"):
        read_text(tmp_path / "no.yaml", "question pool")
    with pytest.raises(CtgiError, match="Is a directory"):
        read_text(tmp_path)
    with pytest.raises(CtgiError, match="not a file name"):
        read_text(Path("a\0b"))


def test_long_numbers_and_lone_surrogates_in_json() -> None:
    with pytest.raises(TextError, match="integer string"):
        parse_json("1" * 5000)
    assert parse_json(rb'"caf\udce9"') == "caf\udce9"


# --- JSON lines


def lines(tmp_path: Path, content: bytes) -> list[object]:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    return ["torn" if line.is_torn else line.value for line in json_lines(path)]


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\n{"a": 2}',  # pandas and editors end it so
        b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\r\n',
        b'\n{"a": 1}\n  \n{"a": 2}\n\n',
    ],
)
def test_a_line_that_parses_is_a_record(tmp_path: Path, content: bytes) -> None:
    assert lines(tmp_path, content) == [{"a": 1}, {"a": 2}]


def test_line_separators_within_strings_end_no_line(tmp_path: Path) -> None:
    assert lines(tmp_path, '{"a": "b\u2028c\x85d"}\n'.encode()) == [{"a": "b\u2028c\x85d"}]


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}'
    path.write_bytes(content)
    first, second = json_lines(path)
    assert (first.number, first.start, second.number) == (1, 0, 3)
    assert content[second.start :] == second.content


_WRITTEN = [
    json.dumps({"path": "caf\udce9/é", "turns": [{"kept": True, "sure": -0.25e-3, "no": None}], "z": "}"}).encode(),
    json.dumps({"path": 'a "b" \\ 人', "turns": [{"kept": False}], "z": float("nan")}, ensure_ascii=False).encode(),
]


@pytest.mark.parametrize("line", _WRITTEN)
def test_every_beginning_of_a_record_is_torn(tmp_path: Path, line: bytes) -> None:
    assert all(is_torn(line[:end]) for end in range(1, len(line)) if line[:end][-1:] != b"}")
    assert is_torn(line[:20] + b"\0" * 4000)  # a block that a crash lost
    assert lines(tmp_path, b'{"a": 1}\n' + line[:20]) == [{"a": 1}, "torn"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": "x",}', b'{"a": "b, "c": "x"}', b'{"a" "b"}', b'{"a": "x}', b'{"a": "x"} and', b"hello",
        b'{"a": hello', b"{'a': 1", b'{"a": "x\ty', b"[1, 2", b'{"a": 1}{"b": 2',
    ],
)  # fmt: skip
def test_what_somebody_mistyped_is_not_torn(tmp_path: Path, line: bytes) -> None:
    assert not is_torn(line)
    with pytest.raises(CtgiError, match=r"a\.jsonl, line 2: .*: correct it there"):
        lines(tmp_path, b'{"a": 1}\n' + line)


@pytest.mark.parametrize("line", [b'{"a": "x', DEEP.encode(), b"\xff\xfe", b"\0"])
def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(CtgiError, match=r"a\.jsonl, line 2: "):
        lines(tmp_path, b'{"a": 1}\n' + line + b'\n{"a": 2}\n')


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_lines_in_utf16_are_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(CtgiError, match=r"a\.jsonl: in UTF-(16|32).*: save it as UTF-8"):
        lines(tmp_path, '{"a": 1}'.encode(encoding))
