"""`ctgi mcp`: the official SDK's client, over stdio and over HTTP, lists and calls everything."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.memory import create_connected_server_and_client_session
from PIL import Image
from pydantic import SecretStr

from ctgi.cli.console import Terminal
from ctgi.config import load_settings
from ctgi.mcp.run import http_app, open_server
from ctgi.mcp.server import GalleryServer
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery
from ctgi.runs.index import open_named
from ctgi.testing import Reply, Request, ScriptedServer, ToolCall
from ctgi.tools.specs import TOOLS
from tests.support.commands import Run
from tests.support.traces import calls, images, runs, wordy

QUERY = "a man in a coat"
TOKEN = "a-token-for-tests"
FACT = {"question": "What shoes?", "answer": "white sneakers", "statement": "White sneakers."}


@pytest.fixture
def arguments(double: ScriptedServer, tiny_clip: Path, people: Path) -> list[str]:
    double.replies = wordy()
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    model = f"verify_match=vllm:double@{double.url}"
    return ["mcp", "-g", str(people), *images(double), "-b", model, "-b", clip]


Work = Callable[[ClientSession], Awaitable[Any]]


async def _asked(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"answer": f"{params.message} Yes."})


async def _over_stdio(arguments: list[str], work: Work) -> Any:
    server = StdioServerParameters(command=sys.executable, args=["-m", "ctgi", *arguments], env=dict(os.environ))
    async with (
        stdio_client(server) as (reads, writes),
        ClientSession(reads, writes, elicitation_callback=_asked) as client,
    ):
        await client.initialize()
        return await work(client)


@asynccontextmanager
async def _server(arguments: list[str]) -> AsyncIterator[GalleryServer]:
    """The server in this process."""
    settings = load_settings(binds=[spec for spec in arguments if "=" in spec])
    events = Terminal(True)
    gallery, _ = open_named(Path(arguments[2]), settings, events)
    async with open_server(gallery, settings, events) as server:
        yield server


async def _in_process(arguments: list[str], work: Work, ask: Any = _asked) -> Any:
    async with (
        _server(arguments) as server,
        create_connected_server_and_client_session(server.server, elicitation_callback=ask) as client,
    ):
        return await work(client)


@asynccontextmanager
async def _http(port: int, token: str | None = TOKEN, **headers: str) -> AsyncIterator[ClientSession]:
    sent = {"Authorization": f"Bearer {token}", **headers} if token else headers
    url = f"http://127.0.0.1:{port}/mcp"
    async with (
        httpx.AsyncClient(headers=sent, timeout=60) as http,
        streamable_http_client(url, http_client=http) as (reads, writes, _),
        ClientSession(reads, writes, elicitation_callback=_asked) as client,
    ):
        await client.initialize()
        yield client


@pytest.fixture
def port(arguments: list[str]) -> Iterator[int]:
    """A server over HTTP in a process of its own."""
    command = [sys.executable, "-m", "ctgi", *arguments, "--http", "--port", "0", "--token", TOKEN]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = next(line for line in process.stderr if "/mcp with" in line)
        yield int(line.split("127.0.0.1:")[1].split("/")[0])
        process.terminate()


def value(result: types.CallToolResult) -> Any:
    """What a call returned: its structured value, or its text."""
    assert not result.isError, result.content
    if result.structuredContent:
        return result.structuredContent["result"]
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


def told(result: types.CallToolResult) -> str:
    assert result.isError
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


async def everything(client: ClientSession) -> dict[str, Any]:
    """Every tool and every image, with a refined search."""
    seen: dict[str, Any] = {"tools": (await client.list_tools()).tools}
    progress: list[str | None] = []

    async def heard(done: float, total: float | None, message: str | None) -> None:
        progress.append(message)

    found = value(await client.call_tool("search_gallery", {"query": QUERY, "k": 5}, progress_callback=heard))
    image = found[1]["image_id"]
    about = {"image_id": image}
    seen["progress"], seen["found"] = progress, found
    seen["verdict"] = value(await client.call_tool("verify_match", about | {"description": QUERY}))
    seen["caption"] = await client.call_tool("caption_image", about | {"show": True})
    answered = await client.call_tool("answer_question", about | {"question": "What shoes?"})
    seen["answer"] = value(answered)
    seen["questions"] = value(await client.call_tool("propose_questions", {"query": QUERY, "count": 2}))
    seen["dense"] = value(await client.call_tool("reconstruct_caption", {"description": "A man.", "facts": [FACT]}))
    seen["person"] = value(await client.call_tool("ask_user", {"question": "With a hat?"}))
    refined = value(await client.call_tool("aggregate_query", {"query": QUERY, "facts": [FACT]}))
    again = {"query": QUERY, "refined_query": refined, "anchors": [image], "weight": 0.5, "k": 5}
    seen["refined"] = value(await client.call_tool("search_gallery", again))
    seen["resources"] = (await client.list_resources()).resources
    seen["templates"] = (await client.list_resource_templates()).resourceTemplates
    (content,) = (await client.read_resource(seen["resources"][0].uri)).contents
    seen["picture"] = content
    seen["unknown"] = told(await client.call_tool("find_person", {}))
    seen["wrong"] = told(await client.call_tool("search_gallery", {"query": QUERY, "k": 0, "path": "/etc"}))
    seen["stranger"] = told(await client.call_tool("verify_match", {"image_id": "/etc/passwd", "description": "x"}))
    for uri in ("ctgi://image/nobody", "file:///etc/passwd"):
        with pytest.raises(McpError):
            await client.read_resource(uri)  # type: ignore[arg-type]
    return seen


def check(seen: dict[str, Any], people: Path) -> None:
    import base64

    assert [tool.name for tool in seen["tools"]] == list(TOOLS)
    search = next(tool for tool in seen["tools"] if tool.name == "search_gallery")
    assert search.inputSchema["properties"]["k"]["maximum"] == 100
    assert seen["progress"][0] == "search_gallery: at work"
    assert seen["progress"][-1] == "search_gallery: done"
    assert len(seen["found"]) == len(seen["refined"]) == 5
    assert seen["verdict"] == {"match": True, "probability": 0.9}
    text, _, picture = seen["caption"].content
    assert text.text.startswith("A man in a")
    assert picture.mimeType.startswith("image/")
    assert seen["answer"] == "white sneakers"
    assert len(seen["questions"]) == 2
    assert "sneakers" in seen["dense"]
    assert seen["person"] == "With a hat? Yes."
    assert seen["refined"][0]["image_id"] == seen["found"][1]["image_id"]
    assert seen["refined"][0]["rank_before"] == 2
    assert len(seen["resources"]) == 8
    assert str(seen["templates"][0].uriTemplate) == "ctgi://image/{id}"
    assert seen["picture"].mimeType == "image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(seen["picture"].blob))).format == "JPEG"
    assert seen["unknown"].startswith("no tool is called 'find_person': the tools are caption_image")
    assert "k: Input should be greater" in seen["wrong"]
    assert "path: Extra inputs are not permitted" in seen["wrong"]
    assert "no image has the id '/etc/passwd'" in seen["stranger"]
    everything = json.dumps([one.model_dump(mode="json") if hasattr(one, "model_dump") else str(one) for one in
                             (seen["caption"], seen["found"], seen["refined"], *seen["resources"])])  # fmt: skip
    assert str(people) not in everything
    assert ".png" not in everything


def test_a_client_lists_and_calls_everything(arguments: list[str], people: Path, ctgi: Run) -> None:
    check(asyncio.run(_in_process(arguments, everything)), people)
    (run,) = runs()
    assert len(calls(run, "search_gallery")) == 2
    replayed = ctgi("trace", "replay", run)
    assert (replayed.code, "whose client decided what to call: it cannot be replayed" in replayed.err) == (2, True)
    assert ctgi("trace", "export", run, "--recorded", "--json").json["yes"] == 1


@pytest.mark.slow
def test_a_client_over_stdio_lists_and_calls_everything(arguments: list[str], people: Path) -> None:
    check(asyncio.run(_over_stdio(arguments, everything)), people)
    assert len(calls(runs()[-1], "search_gallery")) == 2


@pytest.mark.slow
def test_a_client_over_http_lists_and_calls_everything(port: int, people: Path) -> None:
    async def run() -> Any:
        async with _http(port) as client:
            return await everything(client)

    check(asyncio.run(run()), people)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}, 403),
        ({"Authorization": f"Bearer {TOKEN}"}, 400),  # let in; the body is no request
    ],
)
def test_without_the_token_or_from_a_page_of_others_nobody_gets_in(
    arguments: list[str], headers: dict[str, str], status: int
) -> None:
    sent = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json", **headers}

    async def knock() -> int:
        async with _server(arguments) as server:
            app = http_app(server, 8322, TOKEN)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8322") as http,
            ):
                return (await http.post("/mcp", headers=sent, json={})).status_code

    assert asyncio.run(knock()) == status


def test_an_agent_of_langchain_refines_its_search_through_the_adapters_of_others(arguments: list[str]) -> None:
    """create_agent and langchain-mcp-adapters as they come; a scripted model over HTTP decides."""

    def decide(seen: Request) -> Reply:
        found = [json.loads(result) for result in seen.results if result.startswith("[{")]
        second = found[0][1]["image_id"] if found else ""
        again = {"query": QUERY, "refined_query": f"{QUERY} with white sneakers", "anchors": [second], "weight": 0.5}
        steps = [
            ToolCall("search_gallery", {"query": QUERY, "k": 5}),
            ToolCall("verify_match", {"image_id": second, "description": QUERY}),
            ToolCall("answer_question", {"image_id": second, "question": "What shoes?"}),
            ToolCall("aggregate_query", {"query": QUERY, "facts": [FACT]}),
            ToolCall("search_gallery", again | {"k": 5}),
        ]
        made = len(seen.results)
        return Reply(tool_calls=[steps[made]]) if made < len(steps) else Reply(f"It is {found[-1][0]['image_id']}.")

    async def searches(client: ClientSession) -> list[BaseMessage]:
        with ScriptedServer(decide, models=("brain",)) as brain:
            model = ChatOpenAI(model="brain", base_url=brain.url, api_key=SecretStr("none"), use_responses_api=False)
            agent = create_agent(model, await load_mcp_tools(client))
            state = await agent.ainvoke({"messages": [HumanMessage("find a man in a coat")]})
            return list(state["messages"])

    messages = asyncio.run(_in_process(arguments, searches))
    first, *_, merged, last = [str(message.text) for message in messages if isinstance(message, ToolMessage)]
    found, refined = json.loads(first), json.loads(last)
    assert "sneakers" in merged
    assert refined[0]["image_id"] == found[1]["image_id"]
    assert refined[0]["rank_before"] == 2
    assert messages[-1].text == f"It is {found[1]['image_id']}."
    asked = calls(runs()[-1], "search_gallery")[-1]
    assert asked["args"]["refinement"]["weight"] == 0.5


def test_a_client_that_cannot_ask_its_person_is_told_so(arguments: list[str]) -> None:
    async def asks(client: ClientSession) -> str:
        return told(await client.call_tool("ask_user", {"question": "With a hat?"}))

    said = asyncio.run(_in_process(arguments, asks, ask=None))
    assert said == "this client cannot ask its person: ask in your own reply"


def test_an_image_of_an_earlier_session_can_still_be_read_and_one_that_is_gone_is_said(
    arguments: list[str], people: Path
) -> None:
    async def listed(client: ClientSession) -> list[Any]:
        return [one.uri for one in (await client.list_resources()).resources]

    uris = asyncio.run(_in_process(arguments, listed))
    for image in people.glob("0_*.png"):
        image.unlink()

    async def reads(client: ClientSession) -> list[str]:
        outcomes = []
        for uri in uris:
            try:
                outcomes.append(str((await client.read_resource(uri)).contents[0].mimeType))
            except McpError as error:
                outcomes.append(str(error))
        return outcomes

    outcomes = asyncio.run(_in_process(arguments, reads))
    assert outcomes.count("image/jpeg") == 6
    assert str(people) not in json.dumps(outcomes)


def test_options_and_bindings_that_make_no_sense_are_refused(ctgi: Run, arguments: list[str]) -> None:
    idle = ctgi(*arguments, "--token", "x")
    assert (idle.code, "--token: without effect without --http" in idle.err) == (2, True)
    person = ctgi(*arguments, "-b", "verify_match=human")
    assert (person.code, "verify_match is bound to human" in person.err) == (2, True)
    assert ctgi(*arguments, "--http", "--token", "").code == 2


def test_a_gallery_that_is_indexed_again_is_searched_as_it_then_is(arguments: list[str], people: Path) -> None:
    async def work(client: ClientSession) -> list[int]:
        before = value(await client.call_tool("search_gallery", {"query": QUERY, "k": 8}))
        Image.new("RGB", (48, 96), "orange").save(people / "new.png")
        settings = load_settings(binds=[spec for spec in arguments if "=" in spec])
        encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
        build_gallery([str(people)], people / ".ctgi", encoder, settings.retriever)
        after = value(await client.call_tool("search_gallery", {"query": QUERY, "k": 9}))
        return [len(before), len(after), len((await client.list_resources()).resources)]

    assert asyncio.run(_in_process(arguments, work)) == [8, 9, 9]
