"""Values and lines of a trace: what they hold, and whether they were edited."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.retrieval.images import ImageRef
from ctgi.tools.traces.format import Done, Failure, Item, read_line, seal
from ctgi.tools.traces.reader import glance, open_trace
from ctgi.tools.traces.values import Values, arguments, call_key
from ctgi.tools.types import Candidate, Fact, Questions, Ranking, Refinement, Reply, Tokens, Verdict
from tests.support.recording import IMAGE, record, recorder


def test_the_same_call_has_the_same_key_however_it_is_written_and_wherever_its_image_lies() -> None:
    moved = ImageRef("elsewhere.png", IMAGE.sha256)
    one = arguments("answer_question", (IMAGE, "color?"), {"turns": [("a", "b")]})
    other = arguments("answer_question", (), {"question": "color?", "image": moved, "turns": (("a", "b"),)})
    assert call_key("answer_question", one) == call_key("answer_question", other)
    assert call_key("answer_question", one) != call_key("verify_match", one)
    assert call_key("answer_question", one | {"image": ImageRef("x", "cd" * 32)}) != call_key("answer_question", one)


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        ("caption_image", Reply("a man in 红 \x1b[0m", 0.1 + 0.2, Tokens(3, 4))),
        ("verify_match", Verdict(True, 1 / 3, "yes", Tokens(1, 1))),
        ("propose_questions", Questions((("color", "What color?"), ("bag", "A bag?")))),
        ("aggregate_query", Reply("x", None)),
        ("search_gallery", Ranking((Candidate(IMAGE, 0.1 + 0.2, 1 / 3, None), Candidate(IMAGE, 1e-17, 0.0, 7)), 3)),
        ("compare_image", 0.1 + 0.2),
        ("compare_texts", [1 / 3, 0.5]),
    ],
)
def test_results_come_back_bit_for_bit(tool: str, result: Any) -> None:
    for root in ("", "/data/people", "/elsewhere"):
        values = Values(root)
        assert values.result(tool, json.loads(values.dumps(result))) == result


def test_paths_under_the_root_are_written_from_it() -> None:
    values = Values("/data/people")
    assert json.loads(values.dumps([IMAGE])) == [{"$image": IMAGE.sha256, "path": "a.png"}]
    plain = {"path": "/data/people/a.png", "gallery": "/data/people", "query": "/data/people/a.png", "anchor": None}
    stored = values.store(plain)
    assert stored == plain | {"path": "a.png", "gallery": "."}
    assert values.load(stored) == plain
    odd = ImageRef("/data/people/caf\udce9.png", "cd" * 32)
    assert values.images(json.loads(values.dumps(odd))) == odd


@pytest.mark.parametrize("damage", [{"text": 5}, {"confidence": "high"}, "text", None, {"text": "x", "tokens": [1]}])
def test_a_result_of_another_shape_is_refused(damage: Any) -> None:
    with pytest.raises(ValueError):
        Values().result("caption_image", damage)
    with pytest.raises(ValueError, match="no tool is called"):
        Values().result("rm -rf", {})


def test_a_line_knows_when_it_was_edited() -> None:
    line = seal(Values().dumps(vars(Item(item=1, input={"query": "a man"}, at=0.5))), 7)
    assert read_line(line).number == 7
    assert read_line(line.replace(b"a man", b"a map")).number is None
    assert read_line(line.replace(b'"n":7', b'"n":8')).number is None
    with pytest.raises(ValueError):
        read_line(line[:30] + b"\n")


def test_every_tool_of_the_configuration_can_be_recorded() -> None:
    from ctgi.tools.specs import TOOLS

    fact = Fact("q", "a", "s")
    refinement = Refinement("q", ("ab",), 0.5, "refined")
    given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "caption_image": ((IMAGE,), {}),
        "answer_question": ((IMAGE, "q"), {}),
        "verify_match": ((IMAGE, "d"), {}),
        "propose_questions": ((None, "q"), {"count": 2}),
        "reconstruct_caption": (("d", [fact]), {}),
        "aggregate_query": (("q", [fact]), {}),
        "search_gallery": (("q", 5), {"refinement": refinement}),
        "ask_user": (("q",), {}),
        "detect_people": ((IMAGE,), {}),
    }
    assert set(given) == set(TOOLS)
    keys = {call_key(tool, arguments(tool, *call)) for tool, call in given.items()}
    assert len(keys) == len(given)
    assert Settings().traces == Path(".ctgi/traces")


def test_names_that_are_not_utf8_survive_and_their_lines_count_as_unedited(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    _, writer = recorder(tmp_path / os.fsdecode(b"\xe9"), root=os.fsdecode(b"/data/\xe9"))
    writer.write(Item(item=1, input={"image": ImageRef(os.fsdecode(b"/data/\xe9/") + name, "ab" * 32)}, at=0.0))
    writer.write(Done(item=1, at=0.0, ms=0.0, output=None, error=Failure("ImageError", name, name, "gone")))
    writer.close()
    trace = open_trace(writer.path)
    assert trace.problems == []
    assert trace.name(1) == os.fsdecode(b"/data/\xe9/caf\xe9.png")
    done = trace.done(1)
    assert done and done.error and done.error.path == name


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text.replace(b"\n", b"\r\n"),
                                    lambda text: b"\xef\xbb\xbf" + text + b"\n\n"])  # fmt: skip
def test_other_ends_of_lines_are_no_edits(tmp_path: Path, change: Any) -> None:
    path = record(tmp_path, ["one"])
    path.write_bytes(change(path.read_bytes()))
    trace = open_trace(path)
    assert (trace.status, trace.problems, trace.counts.calls) == ("done", [], 2)
    assert [call.args["question"] for call in trace.calls(1)] == ["one"]
    assert glance(path).status == "done"


def test_a_line_nested_too_deeply_is_no_record(tmp_path: Path) -> None:
    path = record(tmp_path, ["one"])
    with path.open("ab") as file:
        file.write(b"[" * 100_000 + b"\n")
    (problem,) = open_trace(path).problems
    assert "nested too deeply" in problem.what
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(CtgiError, match=r"line 1: not a trace.*nested too deeply"):
        open_trace(path)
