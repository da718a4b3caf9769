"""captions.jsonl of millions of lines: parts written, merged, opened, gone on with."""

import json
import random
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.ten_million.cost import megabytes, percentiles, times_of
from ctgi.captions import CaptionLine
from ctgi.runs.captions_file import CaptionsFile, open_captions
from ctgi.runs.events import Logged
from ctgi.runs.merging import merge
from ctgi.runs.shards import Shard

PARTS = 4
_ASKED, _APPENDED = 10_000, 1000
_TURNS = (
    ("gender", "What is the gender of the person?", "a woman", "She is a woman."),
    ("upper_clothing", "What is worn on the upper body?", "a red jacket", "She wears a red jacket."),
)
_BINDINGS = {"generate_caption": "vllm:Qwen/Qwen3-VL-8B-Instruct", "answer_question": "vllm:Qwen/Qwen3-VL-8B-Instruct"}


def out_of(folder: Path) -> Path:
    """The captions file."""
    return folder / "captions.jsonl"


def write(folder: Path, count: int) -> dict[str, Any]:
    """The part files of a collection; those that are complete stay."""
    for index in range(1, PARTS + 1):
        path = Shard(index, PARTS).file(out_of(folder))
        if path.exists():
            continue
        with path.with_suffix(".tmp").open("wb") as file:
            lines = (_line(number) for number in range(index - 1, count, PARTS))
            while some := list(islice(lines, 10_000)):
                file.write(b"".join(some))
        path.with_suffix(".tmp").rename(path)
    return {"mb": sum(megabytes(Shard(index, PARTS).file(out_of(folder))) for index in range(1, PARTS + 1))}


def merged(folder: Path, count: int) -> dict[str, Any]:
    """One file of the parts; they go afterwards."""
    report = merge(out_of(folder), Logged())
    assert report.images == count and report.is_whole, report
    for part in report.parts:
        Path(part).unlink()
    return {"mb": megabytes(out_of(folder))}


def opened(folder: Path, count: int) -> dict[str, Any]:
    """What `ctgi caption` does when it goes on with the file, before the first image."""
    with open_captions(out_of(folder)) as file:
        assert file.holds(path_of(count - 1), content_of(count - 1))
    return {}


def gone_on_with(folder: Path, count: int) -> dict[str, Any]:
    """Open, ask of images whether they are captioned, look records up, and append."""
    with open_captions(out_of(folder)) as file:
        chosen = random.Random(0).choices(range(count), k=_ASKED)
        asked = times_of(chosen, lambda number: _assert_held(file, number))
        looked_up = times_of(chosen[: _ASKED // 10], lambda number: _assert_found(file, number))
        appended = times_of(range(count, count + _APPENDED), lambda number: file.append(json.loads(_line(number))))
        assert not file.holds(path_of(count + _APPENDED), content_of(count + _APPENDED))
    with out_of(folder).open("rb+") as lines:  # as it was, so that a second run measures the same
        lines.truncate(lines.seek(0, 2) - sum(len(_line(number)) for number in range(count, count + _APPENDED)))
    return {"holds": percentiles(asked), "find": percentiles(looked_up), "append": percentiles(appended)}


def path_of(number: int) -> str:
    """Where the image of a number is said to lie."""
    return f"images/camera {number // 100_000:03}/{number:08}.jpg"


def content_of(number: int) -> str:
    """The sha256 of its content, which no file has."""
    return sha256(b"%d" % number).hexdigest()


def _assert_held(file: CaptionsFile, number: int) -> None:
    assert file.holds(path_of(number), content_of(number))


def _assert_found(file: CaptionsFile, number: int) -> None:
    found = file.find(content_of(number))
    assert isinstance(found, CaptionLine) and found.path == path_of(number)


def _line(number: int) -> bytes:
    return _BEFORE + path_of(number).encode() + _BETWEEN + content_of(number).encode() + _AFTER


def _pieces() -> Iterator[bytes]:
    turns = [
        {
            "attribute": attribute, "question": question, "answer": answer, "confidence": 0.93,
            "statement": statement, "kept": True, "reason": None,
        }
        for attribute, question, answer, statement in _TURNS
    ]  # fmt: skip
    caption = " ".join(["A woman stands in a street.", *(turn["statement"] for turn in turns)])  # type: ignore[list-item]
    record = {
        "path": "@", "sha256": "@", "initial_caption": "A woman stands in a street.", "turns": turns,
        "caption": caption, "bindings": _BINDINGS,
    }  # fmt: skip
    yield from (json.dumps(record) + "\n").encode().split(b"@")


_BEFORE, _BETWEEN, _AFTER = _pieces()
