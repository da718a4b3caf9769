"""Both graphs over HTTP: a really started `langgraph dev`, the embedded model behind it, langgraph-sdk in front."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from recipes.embedded.answers import Scene
from tests.servers.model_servers import COMMANDS
from tests.servers.server_process import OFFLINE, free_port
from tests.support.drawn_people import draw_people, names

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
START_S = 300
UNTOLD = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Scene]:
    """A folder of twelve people that the model has not seen."""
    return draw_people(tmp_path_factory.mktemp("people"), 12)


@pytest.fixture(scope="module")
def configured(drawn: dict[Path, Scene], tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a ctgi.toml, and a gallery that was indexed from there."""
    folder, gallery = tmp_path_factory.mktemp("work"), next(iter(drawn)).parent
    (folder / "ctgi.toml").write_text(
        f'gallery = "{gallery}"\n[cache]\nfile = "{folder / "replies.sqlite"}"\n[bindings]\n'
        f'search_gallery = "open_clip:local-dir:{tiny_clip}"\n'
    )
    subprocess.run([COMMANDS / "ctgi", "index", gallery, "-q"], cwd=folder, check=True, timeout=120)
    return folder


def serve(folder: Path, **environment: str) -> Iterator[str]:
    """`langgraph dev` on the repository's langgraph.json, in a configured directory; yields its address."""
    port = free_port()
    command = [COMMANDS / "langgraph", "dev", "--config", ROOT / "langgraph.json", "--no-browser", "--no-reload"]
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command), "--port", str(port)], cwd=folder, env=os.environ | OFFLINE | UNTOLD | environment,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while not _answers(port):
            assert process.poll() is None, Path(log.name).read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    told = Path(log.name).read_text()
    assert "BlockingError" not in told
    assert "Exception ignored" not in told


def _answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/ok", timeout=2, trust_env=False).is_success
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def url(configured: Path) -> Iterator[str]:
    yield from serve(configured)


@pytest.fixture(scope="module")
def url_of_a_person(configured: Path) -> Iterator[str]:
    """The same with the questions of a search put to the client."""
    yield from serve(configured, CTGI_BINDINGS__ANSWER_QUESTION="human")


def run(url: str, graph: str, given: dict[str, Any]) -> Any:
    from langgraph_sdk import get_sync_client

    with get_sync_client(url=url) as client:
        return client.runs.wait(None, graph, input=given)


def test_mtg_captions_an_image_by_the_colors_it_shows(url: str, drawn: dict[Path, Scene]) -> None:
    for path, scene in list(drawn.items())[:3]:
        state = run(url, "mtg", {"image": {"path": str(path)}})
        assert names(state["caption"], scene.person.upper_color)
        assert len(state["turns"]) == 6
        assert state["image"].keys() == {"path", "sha256"}


def test_mti_ranks_the_configured_gallery_and_puts_a_confirmed_match_first(url: str, drawn: dict[Path, Scene]) -> None:
    query = f"a person in a {next(iter(drawn.values())).person.upper_color} T-shirt"
    state = run(url, "mti", {"query": query, "length": 12})
    assert {Path(found["path"]) for found in state["ranking"]} == set(drawn)
    scores = [found["score"] for found in state["ranking"]]
    assert scores == sorted(scores, reverse=True)
    (anchor,) = state["anchors"]
    assert anchor["path"] == next(verdict["path"] for verdict in state["verified"] if verdict["match"])
    assert state["ranking"][0]["path"] == anchor["path"]
    assert len(state["refined_query"]) > len(query) + 20


def test_what_is_wrong_with_an_input_reaches_the_client(url: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no-such-file"):
        run(url, "mtg", {"image": {"path": str(tmp_path / "no-such-file.png")}})


def test_what_an_agent_needs_reaches_the_client(url: str) -> None:
    with pytest.raises(Exception, match="--bind agent="):
        run(url, "agent", {"query": "a man"})


def test_the_forms_of_all_graphs_and_the_steps_of_a_run(url: str) -> None:
    from langgraph_sdk import get_client

    async def look() -> tuple[dict[str, Any], list[Any]]:
        async with get_client(url=url) as client:
            forms = {}
            for graph in ("mtg", "mti", "agent"):  # the agent's though no model is bound to it
                (assistant,) = await client.assistants.search(graph_id=graph)
                schemas = await client.assistants.get_schemas(assistant["assistant_id"])
                forms[graph] = sorted(schemas["input_schema"]["properties"])
            thread = await client.threads.create()
            await client.runs.wait(thread["thread_id"], "mti", input={"query": "a person in a red shirt"})
            return forms, await client.threads.get_history(thread["thread_id"], limit=50)

    forms, history = asyncio.run(look())
    assert forms == {"mtg": ["image"], "mti": ["length", "query"], "agent": ["length", "query"]}
    assert history[0]["next"] == []
    assert [step["next"] for step in history[-3:]] == [["retrieve"], ["read"], ["__start__"]]
    assert len(history[0]["values"]["ranking"]) == 12


def test_a_client_answers_the_questions(url_of_a_person: str) -> None:
    from langgraph_sdk import get_client

    async def talk() -> tuple[Any, Any]:
        async with get_client(url=url_of_a_person) as client:
            thread = (await client.threads.create())["thread_id"]
            asked = await client.runs.wait(thread, "mti", input={"query": "a person in a red shirt", "length": 3})
            assert asked["__interrupt__"][0]["value"]["question"].endswith("?")
            await client.runs.wait(thread, "mti", command={"resume": "blue jeans"})
            result = await client.runs.wait(thread, "mti", command={"resume": "stop"})
            return result, await client.threads.get_state(thread)

    result, state = asyncio.run(talk())
    assert [turn["answer"] for turn in result["dialogue"]] == ["blue jeans"]
    assert "blue jeans" in result["refined_query"]
    assert state["next"] == []


def test_the_module_needs_no_server_to_be_imported() -> None:
    code = "import sys, ctgi.graphs.served; assert 'langgraph_api' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
