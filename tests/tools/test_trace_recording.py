"""What is recorded, whatever happens to the run and to its file."""

import asyncio
import errno
import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ctgi.config import load_settings
from ctgi.errors import CtgiError, ImageError
from ctgi.network import public_url
from ctgi.retrieval.images import ImageRef
from ctgi.tools.traces.call_notes import note
from ctgi.tools.traces.format import Item
from ctgi.tools.traces.reader import find_trace, glance, open_trace
from ctgi.tools.traces.values import Values
from ctgi.tools.traces.writer import TraceWriter
from ctgi.tools.types import Reply, Tokens
from tests.support.recording import IMAGE, answer, record, recorder, serve


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


def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path: Path) -> None:
    import resource
    import signal

    interceptor, writer = recorder(tmp_path)
    size = writer.path.stat().st_size
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, old[1]))
    try:
        with pytest.raises(CtgiError, match=r"free some space.*--no-trace"), interceptor.item({"query": "x" * 100}):
            raise AssertionError
        with pytest.raises(CtgiError):
            interceptor.end(None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert writer.path.stat().st_size == size
    assert open_trace(writer.path).problems == []


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
