import asyncio
import errno
import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ctgi.config import Binding, Settings, load_settings
from ctgi.errors import CtgiError, EndpointDownError, ImageError, ToolError
from ctgi.network import public_url
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.traces.call_notes import note
from ctgi.tools.traces.format import Done, Failure, Header, Item, read_line, seal
from ctgi.tools.traces.player import MissError, Replay
from ctgi.tools.traces.reader import find_trace, glance, open_trace
from ctgi.tools.traces.recorder import Recorder
from ctgi.tools.traces.values import Values, arguments, call_key
from ctgi.tools.traces.writer import TraceWriter
from ctgi.tools.types import Candidate, Fact, Questions, Ranking, Refinement, Reply, Tokens, Verdict

IMAGE = ImageRef("/data/people/a.png", "ab" * 32)
HERE = ref(__file__)
"""A file that is there, in place of an image."""
MODEL = Binding("vllm", "qwen", None)


def header(run: str, root: str = "") -> Header:
    return Header(
        run=run, command="caption", graph="mtg", started="2026-01-01T00:00:00+00:00", root=root, bindings={},
        settings={}, versions={"ctgi": "0"}, commit=None, digests={}, input={},
    )  # fmt: skip


def recorder(folder: Path, root: str = "", hidden: tuple[str, ...] = ()) -> tuple[Recorder, TraceWriter]:
    writer = TraceWriter(folder, Values(root), hidden)
    made = Recorder(writer)
    made.header(header(writer.run, root))
    return made, writer


def serve(interceptor: Any, tool: str, function: Any, binding: Binding = MODEL) -> Any:
    return interceptor.serve(tool, binding, lambda: function)


async def answer(image: ImageRef, question: str, *, description: str = "", turns: Any = ()) -> Reply:
    await asyncio.sleep(0.001 if "slow" in question else 0)
    return Reply(f"{question} {len(turns)}", 0.1 + 0.2, Tokens(10, 2))


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


def test_calls_nodes_and_items_are_recorded(tmp_path: Path) -> None:
    interceptor, writer = recorder(tmp_path, "/data/people")

    async def retried(image: ImageRef) -> Reply:
        note(retries=2)
        return Reply("a man", 0.5, Tokens(100, 9))

    async def work() -> None:
        caption, ask = serve(interceptor, "caption_image", retried), serve(interceptor, "answer_question", answer)
        with interceptor.item({"image": IMAGE}) as done:
            with interceptor.node("describe", 1) as wrote:
                await caption(IMAGE)
                wrote(["initial_caption"])
            with interceptor.node("ask", 2):
                await asyncio.gather(*(ask(IMAGE, question) for question in ("slow", "fast")))
            with interceptor.node("relevance", 3):
                pass
            done({"path": IMAGE.path, "caption": "a man"})

    asyncio.run(work())
    interceptor.end(None)
    trace = open_trace(writer.path)
    assert (trace.status, trace.problems) == ("done", [])
    first, slow, fast = trace.calls(1)
    assert (first.node, first.step, first.tool, first.backend, first.model) == (
        "describe",
        1,
        "caption_image",
        "vllm",
        "qwen",
    )
    assert (first.retries, first.tokens, first.src) == (2, (100, 9), "live")
    assert [call.args["question"] for call in (slow, fast)] == ["slow", "fast"]  # as they began, not as they ended
    assert fast.ms < slow.ms
    assert [(node.node, node.step, node.changed) for node in trace.nodes(1)] == [
        ("describe", 1, ["initial_caption"]), ("ask", 2, []), ("relevance", 3, []),
    ]  # fmt: skip
    done = trace.done(1)
    assert done is not None
    assert done.output == {"path": "a.png", "caption": "a man"}
    assert trace.name(1) == IMAGE.path
    assert trace.end is not None
    assert (trace.end.calls, trace.end.items, trace.end.tokens) == (3, 1, (120, 13))


def test_failures_are_recorded_and_an_interrupted_item_is_not_done(tmp_path: Path) -> None:
    interceptor, writer = recorder(tmp_path)

    async def broken(image: ImageRef) -> Reply:
        raise ImageError(image.path, "damaged image")

    async def endless(image: ImageRef) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    async def item(tool: Any) -> None:
        with interceptor.item({"image": IMAGE}):
            await tool(IMAGE)

    async def work() -> None:
        with pytest.raises(ImageError):
            await item(serve(interceptor, "caption_image", broken))
        task = asyncio.create_task(item(serve(interceptor, "caption_image", endless)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    interceptor.end(KeyboardInterrupt())
    trace = open_trace(writer.path)
    assert trace.status == "interrupted"
    done = trace.done(1)
    assert done is not None
    assert done.error is not None
    assert (done.error.type, done.error.reason) == ("ImageError", "damaged image")
    assert trace.done(2) is None
    assert trace.calls(2)[0].error is not None


def record(folder: Path, questions: list[str]) -> Path:
    """Two items that ask the same questions, the second in the other order."""
    interceptor, writer = recorder(folder)
    counts: dict[str, int] = {}

    async def counting(image: ImageRef, question: str, *, description: str = "", turns: Any = ()) -> Reply:
        await asyncio.sleep(0.002 if question == questions[0] else 0)
        if question == "broken":
            raise ToolError("refused")
        if question == "down":
            raise EndpointDownError("gone")
        counts[question] = counts.get(question, 0) + 1
        return Reply(f"{question} {counts[question]}")

    async def work() -> None:
        ask = serve(interceptor, "answer_question", counting)
        for order in (questions, questions[::-1]):
            with interceptor.item({"image": HERE}) as done:
                await asyncio.gather(*(ask(HERE, question) for question in order), return_exceptions=True)
                done({})

    asyncio.run(work())
    interceptor.end(None)
    return writer.path


async def ask_all(replay: Replay, item: int, questions: list[str]) -> list[Any]:
    ask = serve(replay, "answer_question", answer)
    with replay.at(item):
        said = await asyncio.gather(*(ask(HERE, question) for question in questions), return_exceptions=True)
    return [one.text if isinstance(one, Reply) else one for one in said]


def test_concurrent_calls_get_their_own_answers_again(tmp_path: Path) -> None:
    questions = ["slow", "same", "same", "other"]
    replay = Replay(open_trace(record(tmp_path, questions)))
    assert asyncio.run(ask_all(replay, 1, questions)) == ["slow 1", "same 1", "same 2", "other 1"]
    assert asyncio.run(ask_all(replay, 2, ["other", "same", "slow", "same"])) == [
        "other 2",
        "same 3",
        "slow 2",
        "same 4",
    ]


def test_recorded_failures_are_raised_and_a_server_that_went_down_is_no_answer(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["broken", "down"])))
    broken, down = asyncio.run(ask_all(replay, 1, ["broken", "down"]))
    assert isinstance(broken, ToolError)
    assert str(broken) == "refused"
    assert isinstance(down, MissError)


def test_a_miss_names_the_nearest_recording(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["what color is the coat?", "any shoes?"])))
    (miss,) = asyncio.run(ask_all(replay, 1, ["what color is the hat?"]))
    assert isinstance(miss, MissError)
    assert 'question is "what color is the hat?", recorded was "what color is the coat?"' in str(miss)
    used_up = asyncio.run(ask_all(replay, 1, ["any shoes?", "any shoes?"]))[1]
    assert "more often with these arguments than recorded (recorded: 1)" in str(used_up)


def test_a_miss_may_go_live_and_a_tool_may_be_live(tmp_path: Path) -> None:
    trace = open_trace(record(tmp_path, ["one", "two"]))
    assert asyncio.run(ask_all(Replay(trace, on_miss="live"), 1, ["one", "three"])) == ["one 1", "three 0"]
    assert asyncio.run(ask_all(Replay(trace, live={"answer_question"}), 1, ["one"])) == ["one 0"]
    assert asyncio.run(ask_all(Replay(trace, computed={"answer_question"}), 1, ["three"])) == ["three 0"]


def test_a_live_call_is_about_the_recorded_image_or_fails(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["one"])), live={"answer_question"})
    gone, other = tmp_path / "gone.png", tmp_path / "other.png"
    other.write_bytes(b"other")

    async def ask(path: Path) -> None:
        tool = serve(replay, "answer_question", answer)
        with replay.at(1):
            await tool(ImageRef(str(path), IMAGE.sha256), "one")

    for path, told in ((gone, "the file is gone"), (other, "another image lies there now")):
        with pytest.raises(ImageError, match=told):
            asyncio.run(ask(path))


def test_a_recorded_tool_is_not_opened(tmp_path: Path) -> None:
    def explode() -> Any:
        raise AssertionError("a backend was opened")

    replay = Replay(open_trace(record(tmp_path, ["one"])))

    async def work() -> Reply:
        ask = replay.serve("answer_question", MODEL, explode)
        with replay.at(1):
            found: Reply = await ask(HERE, "one")
        return found

    assert asyncio.run(work()).text == "one 1"


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    _, writer = recorder(tmp_path)

    def write() -> None:
        for number in range(200):
            writer.write(Item(item=number, input={"query": "x" * 500}, at=0.0))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    trace = open_trace(writer.path)
    assert trace.problems == []
    assert len(writer.path.read_bytes().splitlines()) == 801


def test_a_trace_that_is_being_written_is_running_and_not_torn(tmp_path: Path) -> None:
    _, writer = recorder(tmp_path)
    trace = open_trace(writer.path)
    assert (trace.status, trace.problems) == ("running", [])
    writer.close()
    assert open_trace(writer.path).status == "killed"


def test_runs_do_not_share_a_file(tmp_path: Path) -> None:
    runs = [recorder(tmp_path)[1] for _ in range(20)]
    for writer in runs:
        writer.close()
    assert len({writer.run for writer in runs}) == len(list(tmp_path.iterdir())) == 20
    assert find_trace("last", tmp_path).stem == max(writer.run for writer in runs)
    with pytest.raises(CtgiError, match="20 runs"):
        find_trace(runs[0].run[:8], tmp_path)


def test_secrets_are_blotted_out_wherever_they_turn_up(tmp_path: Path) -> None:
    _, writer = recorder(tmp_path, hidden=('se"cret-key', "short"))
    writer.write(Item(item=1, input={"query": 'the se"cret-key is short'}, at=0.0))
    writer.close()
    assert "*** is short" in writer.path.read_text()
    assert "cret-key" not in writer.path.read_text()
    assert open_trace(writer.path).problems == []


def test_settings_tell_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLLM_API_KEY", "sk-from-the-environment")
    url = "https://user:p%40ss-word@host:9/v1?key=query-secret"
    settings = load_settings(binds=[f"images=vllm:m@{url}"])
    assert public_url(url) == "https://host:9/v1"
    assert str(settings.binding("caption_image")) == "vllm:m@https://host:9/v1"
    assert {"sk-from-the-environment", "p@ss-word", "query-secret"} <= settings.secrets()
    assert settings.endpoint(settings.binding("caption_image")).base_url == url
    assert "secret" not in json.dumps(settings.public())
    assert "ss-word" not in json.dumps(settings.public())


def test_a_glance_counts_like_a_reading(tmp_path: Path) -> None:
    path = record(tmp_path, ["one", "two"])
    quick, whole = glance(path), open_trace(path)
    assert (quick.status, quick.seconds, quick.counts) == (whole.status, whole.seconds, whole.counts)
    assert (whole.counts.items, whole.counts.calls, quick.items) == (2, 4, {})
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert glance(path).status == "killed"
    assert len(glance(path).items) == 2


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CtgiError, match="--no-trace"):
        TraceWriter(tmp_path / "file", Values())


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
    }
    assert set(given) == set(TOOLS)
    keys = {call_key(tool, arguments(tool, *call)) for tool, call in given.items()}
    assert len(keys) == len(given)
    assert Settings().traces == Path(".ctgi/traces")


def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path: Path) -> None:
    import resource
    import signal

    interceptor, writer = recorder(tmp_path)
    size = writer.path.stat().st_size
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, old[1]))
    try:
        with pytest.raises(CtgiError, match=r"make room.*--no-trace"), interceptor.item({"query": "x" * 100}):
            raise AssertionError
        with pytest.raises(CtgiError):
            interceptor.end(None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert writer.path.stat().st_size == size
    assert open_trace(writer.path).problems == []


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


def test_without_locks_a_run_that_is_going_on_is_not_called_killed_for_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    _, writer = recorder(tmp_path)
    assert "its file system has no locks" in open_trace(writer.path).problems[0].what
    writer.close()
    path = record(tmp_path / "done", ["one"])
    assert (open_trace(path).status, open_trace(path).problems) == ("done", [])
