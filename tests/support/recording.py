"""Traces to write to, and a tool to record."""

import asyncio
from pathlib import Path
from typing import Any

from ctgi.config import Binding
from ctgi.errors import EndpointDownError, ToolError
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.traces.format import Header
from ctgi.tools.traces.recorder import Recorder
from ctgi.tools.traces.values import Values
from ctgi.tools.traces.writer import TraceWriter
from ctgi.tools.types import Reply, Tokens

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
