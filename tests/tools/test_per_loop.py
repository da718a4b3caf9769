"""One server for callers in several event loops, as an agent has that awaits some calls and makes others without."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import Settings, load_settings
from ctgi.errors import CtgiError
from ctgi.retrieval.images import ref
from ctgi.testing import ScriptedServer
from ctgi.tools.langchain_export import as_langchain_tools

SAID = "a person in a red coat"


@pytest.fixture
def settings(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__CONCURRENCY", "2")  # so that turns are waited for
    yield load_settings(binds=[f"images=vllm:double@{double.url}"])


def test_calls_with_and_without_await_mix(settings: Settings, people: Path, double: ScriptedServer) -> None:
    async def mixed() -> list[Any]:
        async with open_tools(settings, ["answer_question"], load_pool()) as tools:
            (tool,) = as_langchain_tools(tools, {"one": ref(str(people / "1_a.png"))})
            asked = {"image_id": "one", "question": "What does she wear?"}
            said = [await tool.ainvoke(asked), tool.invoke(asked), tool.invoke(asked), await tool.ainvoke(asked)]
            awaited = [tool.ainvoke(asked) for _ in range(6)]
            return said + await asyncio.gather(*awaited, *(asyncio.to_thread(tool.invoke, asked) for _ in range(6)))

    assert asyncio.run(mixed()) == [SAID] * 16
    assert len(double.seen) == 16


def test_tools_that_are_closed_say_so(settings: Settings, people: Path) -> None:
    async def opened() -> Any:
        async with open_tools(settings, ["answer_question"], load_pool()) as tools:
            (tool,) = as_langchain_tools(tools, {"one": ref(str(people / "1_a.png"))})
            assert tool.invoke({"image_id": "one", "question": "What?"}) == SAID
        return tool

    tool = asyncio.run(opened())
    with pytest.raises(CtgiError, match="closed already: call the tools while they are open"):
        tool.invoke({"image_id": "one", "question": "What?"})
