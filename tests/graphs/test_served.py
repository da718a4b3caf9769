"""What clients of LangGraph's server send, given to the served graphs in process; tests/servers has the real one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import ArgumentError, CtgiError, ImageError
from ctgi.graphs import served
from ctgi.graphs.agent import build_agent
from ctgi.graphs.mtg import build_mtg
from ctgi.graphs.mti import build_mti
from ctgi.graphs.steps import Host
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery
from ctgi.testing import Reply, Request, ScriptedServer, ToolCall


@pytest.fixture
def configured(tmp_path: Path, people: Path, tiny_clip: Path, double: ScriptedServer, monkeypatch: Any) -> Path:
    """A working directory whose ctgi.toml binds both graphs; gives the folder of images."""
    spec = f"open_clip:local-dir:{tiny_clip}"
    build_gallery([str(people)], people / ".ctgi", load_encoder(spec, RetrieverSettings()), RetrieverSettings())
    model = f"vllm:double@{double.url}"
    tools = ("caption_image", "answer_question", "verify_match")
    lines = [f'gallery = "{people}"', "[cache]", "enabled = false", "[bindings]", f'search_gallery = "{spec}"']
    (tmp_path / "ctgi.toml").write_text("\n".join([*lines, *(f'{tool} = "{model}"' for tool in tools)]))
    monkeypatch.chdir(tmp_path)
    return people


def outcome(graph: str, given: Any) -> Any:
    """The final state of a run, or the error that the client is told."""

    async def run() -> Any:
        opened = await getattr(served, graph)()
        try:
            return await opened.ainvoke(given)
        except Exception as error:
            return error

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"length": 3}, "query is missing"),
        ({"query": None, "length": 3}, "query is missing"),
        ({"query": " "}, "query is ' '"),
        ({"query": 7}, "query is 7"),
        ({"query": ["a man"]}, r"query is \['a man'\]"),
        ({"query": "a man", "length": 0}, "length is 0"),
        ({"query": "a man", "length": "ten"}, "length is 'ten'"),
        ({"query": "a man", "length": True}, "length is True"),
        ({"query": "a man", "length": 2.5}, "length is 2.5"),
        ({"query": "a man", "length": None}, "length is missing"),
    ],
)
def test_a_search_says_what_is_wrong_with_its_input(
    configured: Path, double: ScriptedServer, given: Any, said: str
) -> None:
    error = outcome("mti", given)
    with pytest.raises(ArgumentError, match=said):
        raise error
    assert len(double.seen) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": None}, "image is missing"),
        ({"image": {}}, "image is {}"),
        ({"image": "a.png"}, "image is 'a.png'"),
        ({"image": {"path": 7}}, "image is {'path': 7}"),
        ({"image": {"path": "a.png", "sha256": 7}}, "image is {"),
        ({"image": ["a.png"]}, r"image is \['a.png'\]"),
    ],
)
def test_a_captioning_says_what_is_wrong_with_its_input(
    configured: Path, double: ScriptedServer, given: Any, said: str
) -> None:
    error = outcome("mtg", given)
    with pytest.raises(ArgumentError, match=said):
        raise error
    assert len(double.seen) == 0


def test_an_image_that_is_not_there_is_named(configured: Path) -> None:
    error = outcome("mtg", {"image": {"path": "nowhere.png"}})
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        raise error


def test_right_inputs_run_and_what_else_a_client_says_is_let_be(configured: Path) -> None:
    image = {"path": str(configured / "0_a.png"), "note": "of camera 3"}
    assert outcome("mtg", {"image": image})["caption"]
    state = outcome("mti", {"query": "a man", "limit": 3})
    assert (len(state["ranking"]), state["length"]) == (8, 10)


def test_a_served_graph_reads_its_input_first_and_is_otherwise_the_same() -> None:
    async def nothing() -> None: ...

    host = Host(nothing, dict, lambda state: state)
    for build in (build_agent, build_mtg, build_mti):
        alone, served = (
            {(edge.source, edge.target) for edge in one.get_graph().edges} for one in (build(), build(host=host))
        )
        (first,) = (target for source, target in alone if source == "__start__")
        assert served == alone - {("__start__", first)} | {("__start__", "read"), ("read", first)}


def test_the_servers_log_says_what_leaves_the_machine(
    configured: Path, double: ScriptedServer, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert outcome("mtg", {"image": {"path": str(configured / "0_a.png")}})["caption"]
    assert "send" not in caplog.text
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{double.port}")
    monkeypatch.setenv("CTGI_BINDINGS__VERIFY_MATCH", "vllm:double@http://models.example/v1")
    monkeypatch.setenv("CTGI_BINDINGS__CAPTION_IMAGE", "vllm:double@http://models.example/v1")
    for graph, tool in (("mtg", "caption_image"), ("mti", "verify_match")):
        outcome(graph, {"image": {"path": str(configured / "0_a.png")}, "query": "a man"})
        assert "these bindings send images and texts to http://models.example/v1, through the proxy" in caplog.text
        assert caplog.records[-1].message.endswith(f": {tool}")


def test_an_agent_is_served_with_the_model_bound_to_it(configured: Path, double: ScriptedServer) -> None:
    def decides(seen: Request) -> Reply:
        call = ToolCall("search_gallery", {"query": "a man"})
        return Reply("None of them.") if seen.results else Reply(tool_calls=[call])

    with ScriptedServer(decides, models=("brain",)) as brain:
        toml = Path("ctgi.toml")
        toml.write_text(toml.read_text().replace("[bindings]", f'[bindings]\nagent = "{brain.binding}"'))
        state = outcome("agent", {"query": "a man in a coat", "length": 3})
    assert len(state["ranking"]) == 8
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["refinement"] == {"query": "a man", "anchors": (), "weight": 0.0, "mode": "refined"}


def test_a_served_agent_without_a_model_shows_its_form_and_a_run_says_how_to_bind_one(configured: Path) -> None:
    assert asyncio.run(served.agent()).get_input_jsonschema()["properties"].keys() == {"query", "length"}
    error = outcome("agent", {"query": "a man"})
    with pytest.raises(CtgiError, match="--bind agent="):
        raise error


def test_tools_are_opened_once_for_all_runs_and_again_after_a_failure(
    configured: Path, double: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{double.port}")

    async def fails_then_runs_twice() -> None:
        monkeypatch.setenv("CTGI_BINDINGS__VERIFY_MATCH", "templates")
        with pytest.raises(CtgiError, match="verify_match is bound to templates"):
            await (await served.mti()).ainvoke({"query": "a man"})
        monkeypatch.setenv("CTGI_BINDINGS__VERIFY_MATCH", "vllm:double@http://models.example/v1")
        for _ in range(2):
            assert (await (await served.mti()).ainvoke({"query": "a man"}))["ranking"]

    asyncio.run(fails_then_runs_twice())
    assert caplog.text.count("these bindings send") == 1
