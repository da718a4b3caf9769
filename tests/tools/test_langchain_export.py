"""A LangChain agent, whose model is scripted, uses our tools as it would any other."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from scripted_mllm import ScriptedMllm

from ctgi.agents.answerer import Answerer
from ctgi.agents.verifier import Verifier
from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError, ToolError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.images import ref
from ctgi.tools.backends import ChatRequest
from ctgi.tools.langchain_export import as_langchain_tools
from ctgi.tools.search_gallery import GallerySearch


class ScriptedAgentModel(GenericFakeChatModel):
    """A test double of a tool-calling chat model: it says what the script says, in order."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


def run(tools: list[Any], *script: AIMessage) -> list[BaseMessage]:
    agent = create_agent(ScriptedAgentModel(messages=iter(script)), tools)
    state = asyncio.run(agent.ainvoke({"messages": [HumanMessage("find her")]}))
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def test_an_agent_searches_and_asks_about_what_it_found(tiny_clip: Path, people: Path) -> None:
    settings = RetrieverSettings()
    encoder = load_encoder(f"open_clip:local-dir:{tiny_clip}", settings)
    build_gallery([str(people)], people / ".ctgi", encoder, settings)
    best = open_gallery(people, encoder).search("a man", 1).candidates[0].image
    mllm = ScriptedMllm(lambda request: "a red bag", limit=1)
    tools = {"search_gallery": GallerySearch(open_gallery(people, encoder)), "answer_question": Answerer(mllm)}
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


def test_a_tool_without_a_langchain_form_is_named() -> None:
    with pytest.raises(CtgiError, match="reconstruct_caption has no LangChain form"):
        as_langchain_tools({"reconstruct_caption": None}, {})
