"""A LangChain agent, whose model is scripted, uses our tools as it would any other."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from ctgi.agents.answerer import Answerer
from ctgi.agents.verifier import Verifier
from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError, EndpointDownError, ImageError, ToolError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.images import ref
from ctgi.tools.backends import ChatRequest
from ctgi.tools.langchain_export import as_langchain_tools
from ctgi.tools.search_gallery import GallerySearch
from tests.support.scripted_mllm import ScriptedMllm


class ScriptedAgentModel(GenericFakeChatModel):
    """A test double of a tool-calling chat model: it says what the script says, in order."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


@pytest.fixture
def search(tiny_clip: Path, people: Path) -> GallerySearch:
    """A gallery of the eight images."""
    settings = RetrieverSettings()
    encoder = load_encoder(f"open_clip:local-dir:{tiny_clip}", settings)
    build_gallery([str(people)], people / ".ctgi", encoder, settings)
    return GallerySearch(open_gallery(people, encoder))


def run(tools: list[Any], *script: AIMessage) -> list[BaseMessage]:
    agent = create_agent(ScriptedAgentModel(messages=iter(script)), tools)
    state = asyncio.run(agent.ainvoke({"messages": [HumanMessage("find her")]}))
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def test_an_agent_searches_and_asks_about_what_it_found(search: GallerySearch) -> None:
    best = asyncio.run(search("a man", 1)).candidates[0].image
    mllm = ScriptedMllm(lambda request: "a red bag", limit=1)
    tools = {"search_gallery": search, "answer_question": Answerer(mllm)}
    found, answer = run(
        as_langchain_tools(tools, {}),
        call("search_gallery", query="a man", k=2),
        call("answer_question", image_id=best.sha256, question="What is carried?"),
        AIMessage("done"),
    )
    assert json.loads(str(found.content))[0]["image_id"] == best.sha256
    assert answer.content == "a red bag"
    assert mllm.requests[0].image == best


def test_an_agent_reaches_no_file_by_naming_it(people: Path) -> None:
    """An image id that is a path is no id: what a model writes is never opened."""
    mllm = ScriptedMllm(lambda request: "yes", limit=0)
    target = str(people / "0_a.png")
    tools = as_langchain_tools({"verify_match": Verifier(mllm)}, {"one": ref(str(people / "1_a.png"))})
    (reply,) = run(tools, call("verify_match", image_id=target, description="a man"), AIMessage("done"))
    assert reply.status == "error"
    assert "no image has the id" in str(reply.content)


def test_a_failed_call_is_a_reply_the_agent_can_read(people: Path) -> None:
    def refuse(request: ChatRequest) -> str:
        raise ToolError("the server refused this image")

    tools = as_langchain_tools({"verify_match": Verifier(ScriptedMllm(refuse))}, {"one": ref(str(people / "1_a.png"))})
    (reply,) = run(tools, call("verify_match", image_id="one", description="a man"), AIMessage("done"))
    assert (reply.status, reply.content) == ("error", "the server refused this image")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("search_gallery", {"query": "  "}, "query is empty"),
        ("search_gallery", {"query": "\u200b"}, "query is empty"),
        ("search_gallery", {"query": "a man", "k": 0}, "k is 0: expected at least 1"),
        ("search_gallery", {"query": "a man", "k": -2}, "k is -2: expected at least 1"),
        ("search_gallery", {"query": "a man", "k": 9}, "k is 9: expected 1 to 8"),
        ("search_gallery", {"query": "a man", "k": "many"}, "k: Input should be a valid integer"),
        ("search_gallery", {}, "query: Field required"),
        ("verify_match", {"image_id": "one", "description": ""}, "description is empty"),
        ("answer_question", {"image_id": "one", "question": " \n"}, "question is empty"),
        ("ask_user", {"question": ""}, "question is empty"),
    ],
)
def test_wrong_arguments_are_the_tools_reply(
    search: GallerySearch, people: Path, name: str, arguments: dict[str, Any], said: str
) -> None:
    mllm = ScriptedMllm(lambda request: "sneakers", limit=0)
    tools = {
        "search_gallery": search,
        "verify_match": Verifier(mllm),
        "answer_question": Answerer(mllm),
        "ask_user": Answerer(mllm),
    }
    exported = as_langchain_tools(tools, {"one": ref(str(people / "1_a.png"))})
    (reply,) = run(exported, call(name, **arguments), AIMessage("done"))
    assert reply.status == "error"
    assert said in str(reply.content)


def test_ten_results_are_asked_for_where_nothing_is_said_and_fewer_images_are_no_fault(search: GallerySearch) -> None:
    (reply,) = run(
        as_langchain_tools({"search_gallery": search}, {}), call("search_gallery", query="a man"), AIMessage("done")
    )
    assert (reply.status, len(json.loads(str(reply.content)))) == ("success", 8)


@pytest.mark.parametrize("error", [EndpointDownError("the server is gone"), CtgiError("no key is set")])
def test_a_broken_set_up_ends_the_agents_run(people: Path, error: CtgiError) -> None:
    def fail(request: ChatRequest) -> str:
        raise error

    tools = as_langchain_tools({"verify_match": Verifier(ScriptedMllm(fail))}, {"one": ref(str(people / "1_a.png"))})
    with pytest.raises(type(error), match=str(error)):
        run(tools, call("verify_match", image_id="one", description="a man"), AIMessage("done"))


def test_the_program_learns_the_files_and_the_model_only_ids(search: GallerySearch, people: Path) -> None:
    def cannot_read(request: ChatRequest) -> str:
        assert request.image
        raise ImageError(request.image.path, "the file is gone")

    image = ref(str(people / "1_a.png"))
    tools = {"search_gallery": search, "answer_question": Answerer(ScriptedMllm(lambda request: "a bag"))}
    tools |= {"verify_match": Verifier(ScriptedMllm(cannot_read))}
    found, answer, failed = run(
        as_langchain_tools(tools, {"one": image}),
        call("search_gallery", query="a man", k=3),
        call("answer_question", image_id="one", question="What is carried?"),
        call("verify_match", image_id="one", description="a man"),
        AIMessage("done"),
    )
    best = asyncio.run(search("a man", 3)).candidates
    assert [(one["image_id"], one["path"]) for one in found.artifact["found"]] == [
        (candidate.image.sha256, candidate.image.path) for candidate in best
    ]
    assert answer.artifact["path"] == image.path
    assert (failed.status, failed.content) == ("error", "one: the file is gone")
    for message in (found, answer, failed):
        assert str(people) not in str(message.content)


def where_am_i(request: ChatRequest) -> str:
    return threading.current_thread().name


@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_a_tool_can_be_called_without_await(people: Path, inside_a_loop: bool) -> None:
    def call_it() -> str:
        tools = {"answer_question": Answerer(ScriptedMllm(where_am_i))}
        (tool,) = as_langchain_tools(tools, {"one": ref(str(people / "1_a.png"))})
        return str(tool.invoke({"image_id": "one", "question": "Where?"}))

    async def within() -> str:
        return call_it()

    assert (asyncio.run(within()) if inside_a_loop else call_it()) == "ctgi-langchain"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_an_agent_that_runs_in_threads_calls_several_tools_at_once(people: Path, inside_a_loop: bool) -> None:
    """As in a notebook: the cell's event loop waits for the agent, so no tool may wait for that loop."""

    async def within() -> list[str]:
        return call_three()

    def call_three() -> list[str]:
        tools = {"answer_question": Answerer(ScriptedMllm(lambda request: "jeans", latency_s=0.01))}
        exported = as_langchain_tools(tools, {"one": ref(str(people / "1_a.png"))})
        asked = [
            {"name": "answer_question", "args": {"image_id": "one", "question": "What?"}, "id": str(n)}
            for n in range(3)
        ]
        model = ScriptedAgentModel(messages=iter([AIMessage("", tool_calls=asked), AIMessage("done")]))
        state = create_agent(model, exported).invoke({"messages": [HumanMessage("find her")]})
        return [str(m.content) for m in state["messages"] if isinstance(m, ToolMessage)]

    assert (asyncio.run(within()) if inside_a_loop else call_three()) == ["jeans"] * 3


def test_a_tool_without_a_langchain_form_is_named() -> None:
    with pytest.raises(CtgiError, match="reconstruct_caption has no LangChain form"):
        as_langchain_tools({"reconstruct_caption": None}, {})
