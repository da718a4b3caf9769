"""Reads text, JSON, YAML and TOML in any Unicode encoding; errors name file, line and cure."""

import codecs
import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

from ctgi.errors import CtgiError
from ctgi.text import plain

T = TypeVar("T")
Json = dict[str, Any]
"""A JSON object: as it was parsed, from whoever wrote it, or as it is to be written."""

_AS_UTF8 = "save it as UTF-8"
NOT_UTF8 = f"not UTF-8, but perhaps GBK or Latin-1: {_AS_UTF8}"
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_NUMBER = re.compile(r"\.|[eE][-+]?")
_DEPTH = 100
_BRACKETS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NEITHER = bytes(set(range(256)) - _BRACKETS.keys() - {ord('"')})
_STRING = re.compile(rb'"[^"]*"')
_ESCAPE = len(r"\u0000")
MALFORMED = (ValueError, TypeError, AttributeError, LookupError, AssertionError, OverflowError, RecursionError)
"""What libraries raise on a file that is not made as they expect."""


class TextError(ValueError):
    """A text cannot be read: what is wrong, and the cure."""

    def __init__(self, what: str, *, line: int | None = None) -> None:
        super().__init__(what)
        self.line = line


def decode(content: bytes, *, errors: str = "strict") -> str:
    r"""The text of a file in UTF-8, UTF-16 or UTF-32, without its byte order mark and with \n at the ends of lines.

    Without a byte order mark UTF-16 is told by the NUL bytes of a text that is mostly ASCII.

    errors: surrogateescape keeps single bytes that are not UTF-8, as in file names.

    Raises:
        TextError: it is in another encoding, or is not text.
    """
    encoding = _encoding(content)
    try:
        text = content.decode(encoding, errors if encoding.startswith("utf-8") else "strict")
        fault = content.find(b"\0") if "\0" in text or not _is_certain(encoding, text) else -1
    except UnicodeDecodeError as error:
        text, fault = "", error.start
    if fault < 0:
        return text.replace("\r\n", "\n").replace("\r", "\n")
    what = f"it has NUL bytes, so it is not a text: {_AS_UTF8}" if b"\0" in content else NOT_UTF8
    raise TextError(what, line=content.count(b"\n", 0, fault) + 1)


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" not in content:
        return "utf-8-sig"
    high, low = content[::2].count(0), content[1::2].count(0)  # of ASCII in UTF-16-BE, and in UTF-16-LE
    if bool(high) == bool(low):
        return "utf-8-sig"
    return "utf-16-be" if high else "utf-16-le"


def _is_certain(encoding: str, text: str) -> bool:
    """Whether a byte order mark says so, or else the text: one that is read wrongly is all over the code points."""
    return not encoding.endswith(("-le", "-be")) or sum(map(str.isascii, text)) * 2 > len(text)


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        TextError: it is not JSON; `line` says where.
    """
    text = content if isinstance(content, str) else decode(content)
    try:
        value = json.loads(text)
        return value if _is_shallow(text) else _bounded(value)
    except json.JSONDecodeError as error:
        raise TextError(f"not JSON ({error.msg}, column {error.colno}): correct it there", line=error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise TextError(_cause(error)) from None


def parse_quickly(content: bytes) -> Any:
    """As `parse_json`, several times as fast for a line in UTF-8; whole numbers beyond 64 bits become floats.

    Raises as `parse_json` does.
    """
    try:
        value = orjson.loads(content)
    except ValueError:  # what it is strict about, such as NaN
        return parse_json(content)
    return value if _has_few_brackets(content) else parse_json(content)


def _has_few_brackets(content: bytes) -> bool:
    return content.count(b"[") + content.count(b"{") < _DEPTH


def _is_shallow(text: str) -> bool:
    """Whether the brackets of a JSON text are nested less than `_DEPTH` deep; faster than a walk over its value."""
    content = text.encode("utf-8", "surrogatepass")
    if _has_few_brackets(content):
        return True
    content = content.replace(rb"\\", b"").replace(rb"\"", b"")
    brackets = _STRING.sub(b"", content.translate(None, _NEITHER).replace(b'""', b""))
    return len(brackets) < _DEPTH or max(accumulate(map(_BRACKETS.__getitem__, brackets))) < _DEPTH


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises as `parse_json` does."""
    import yaml

    try:
        return _bounded(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise TextError(f"not YAML ({what}): correct it there", line=mark and mark.line + 1) from None
    except (*MALFORMED, MemoryError) as error:
        raise TextError(_cause(error)) from None


def _parse_toml(text: str) -> Json:
    import tomllib

    try:
        return _bounded(tomllib.loads(text))
    except (ValueError, RecursionError, MemoryError) as error:
        raise TextError(_cause(error)) from None


def _bounded(value: T) -> T:
    """The value, unless it is nested too deeply to be walked later; a recursive alias counts as too deep."""
    level: dict[int, Any] = {id(value): value}
    for _ in range(_DEPTH):
        inner = (
            one.values() if isinstance(one, dict) else one for one in level.values() if isinstance(one, dict | list)
        )
        level = {id(one): one for group in inner for one in group}
        if not level:
            return value
    raise RecursionError


def _cause(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "brackets are nested too deeply: expected plain tables and lists"
    if isinstance(error, MemoryError):
        return "too large for the memory of this machine: split it"
    return f"{error}: correct it there"


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for cycles of objects, in any thread, until the block ends: it takes half the time of a large file."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# --- whole files


def read_bytes(path: Path | Traversable, what: str = "") -> bytes:
    """What a file holds.

    what: what it is for, in front of its name in messages: "question pool".

    Raises:
        CtgiError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CtgiError(f"{_name(path, what)}: {error.strerror}") from None
    except ValueError:  # a NUL in its name
        raise CtgiError(f"{_name(path, what)}: not a file name") from None
    except MemoryError:
        raise CtgiError(f"{_name(path, what)}: too large for the memory of this machine") from None


def read_text(path: Path | Traversable, what: str = "", *, errors: str = "strict") -> str:
    """The text of a file; see `decode`.

    Raises:
        CtgiError: it cannot be read or is not text; the message names file, line and cure.
    """
    return _read(path, what, lambda content: decode(content, errors=errors))


def read_json(path: Path | Traversable, what: str = "") -> Any:
    """The value in a JSON file. Raises as `read_text` does."""
    return _read(path, what, parse_json)


def read_yaml(path: Path | Traversable, what: str = "") -> Any:
    """The value in a YAML file. Raises as `read_text` does."""
    return _read(path, what, lambda content: parse_yaml(decode(content)))


def read_toml(path: Path | Traversable, what: str = "") -> Json:
    """The tables of a TOML file. Raises as `read_text` does."""
    return _read(path, what, lambda content: _parse_toml(decode(content)))


def _read(path: Path | Traversable, what: str, parse: Callable[[bytes], T]) -> T:
    content = read_bytes(path, what)
    try:
        return parse(content)
    except TextError as error:
        raise CtgiError(_message(path, what, error.line, error)) from None


def _name(path: Path | Traversable, what: str) -> str:
    return f"{what} {plain(str(path))}".strip()


def _message(path: Path | Traversable, what: str, line: int | None, error: TextError) -> str:
    return f"{_name(path, what)}{f', line {line}' if line else ''}: {plain(str(error))}"


# --- JSON lines


class JsonLine(NamedTuple):
    """One line of a file of JSON lines that is not blank."""

    number: int
    start: int
    """In bytes."""
    content: bytes
    """As it stands there, with its line feed if it has one."""
    value: Any
    """None where it is torn."""
    is_torn: bool = False
    """Whether it is the beginning of a JSON object at the end of the file: what a kill or a crash leaves."""


def json_lines(path: Path, what: str = "", *, after: JsonLine | None = None, quick: bool = False) -> Iterator[JsonLine]:
    """The lines of a file one by one, or those after one; a last line that parses needs no line feed.

    quick: several times as fast; whole numbers beyond 64 bits become floats.

    Raises:
        CtgiError: the file cannot be read, or a line is not JSON and not torn; says file, line and cure.
    """
    parse = parse_quickly if quick else parse_json
    try:
        with path.open("rb") as file:
            start = file.seek(after.start + len(after.content) if after else 0)
            for number, content in enumerate(file, after.number + 1 if after else 1):
                text = content.removeprefix(codecs.BOM_UTF8) if number == 1 else content
                if text.strip():
                    yield _json_line(path, what, JsonLine(number, start, content, None), text, parse)
                start += len(content)
    except OSError as error:
        raise CtgiError(f"{_name(path, what)}: {error.strerror}") from None
    except MemoryError:
        raise CtgiError(f"{_name(path, what)}: a line is too large for the memory of this machine") from None


def _json_line(path: Path, what: str, line: JsonLine, text: bytes, parse: Callable[[bytes], Any]) -> JsonLine:
    encoding = _encoding(text)[:6] if line.number == 1 and text.strip(b"\0") else ""
    if encoding in ("utf-16", "utf-32"):
        raise CtgiError(f"{_name(path, what)}: in {encoding.upper()}, which cannot be read line by line: {_AS_UTF8}")
    try:
        return line._replace(value=parse(text))
    except TextError as error:
        if not text.endswith(b"\n") and is_torn(text):
            return line._replace(is_torn=True)
        raise CtgiError(_message(path, what, line.number, error)) from None


def dump(record: Json) -> bytes:
    """A record as one line of JSON in UTF-8; a path that is not UTF-8 keeps its bytes as surrogate escapes."""
    try:
        return json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(record).encode()


def is_torn(line: bytes) -> bool:
    """Whether a line is the beginning of a JSON object that was cut off, rather than one that was mistyped."""
    text = line.rstrip(b"\0").decode(errors="ignore")  # NULs where a crash lost the block; a letter may be cut too
    if not "{".startswith(text[:1]):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        if error.msg.startswith("Unterminated string"):
            return not text.endswith("}")  # an object that was closed only lacks a quotation mark
        if error.msg.startswith("Invalid \\u"):
            return len(rest) < _ESCAPE
        return _CUT_NUMBER.fullmatch(rest) is not None or any(literal.startswith(rest) for literal in _LITERALS)
    except (ValueError, RecursionError):
        return False
    return True  # only NULs were too much
