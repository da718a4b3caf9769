"""A LangChain agent, whose model is scripted, uses our tools as it would any other."""

import asyncio
import base64
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from ctgi.agents.answerer import Answerer
from ctgi.agents.assemble import open_tools
from ctgi.agents.captioner import Captioner
from ctgi.agents.pool import load_pool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.verifier import Verifier
from ctgi.agents.writers import TemplateAggregator
from ctgi.config import RetrieverSettings, load_settings
from ctgi.errors import CtgiError, EndpointDownError, ImageError, ToolError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.images import ImageRef, ref
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatRequest
from ctgi.tools.desk import Desk
from ctgi.tools.langchain_export import as_langchain_tools
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.types import Refinement


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
        call("answer_question", image_id=best.sha256[:12], question="What is carried?"),
        AIMessage("done"),
    )
    assert json.loads(str(found.content))[0]["image_id"] == best.sha256[:12]
    assert answer.content == "a red bag"
    assert mllm.seen[0].image == best


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
        ("search_gallery", {"query": "a man", "k": 0}, "k: Input should be greater than or equal to 1"),
        ("search_gallery", {"query": "a man", "k": 101}, "k: Input should be less than or equal to 100"),
        ("search_gallery", {"query": "a man", "k": 9}, "k is 9: expected 1 to 8"),
        ("search_gallery", {"query": "a man", "k": "many"}, "k: Input should be a valid integer"),
        ("search_gallery", {}, "query: Field required"),
        ("search_gallery", {"query": "a man", "weigth": 0.5}, "weigth: Extra inputs are not permitted"),
        ("search_gallery", {"query": "a man", "refined_query": "a man", "weight": 1.5}, "weight: Input should be less"),
        ("search_gallery", {"query": "a man", "refined_query": " "}, "refined_query is empty"),
        ("search_gallery", {"query": "a man", "anchors": ["one"]}, "anchors are given without refined_query"),
        ("search_gallery", {"query": "a", "refined_query": "b", "anchors": ["two"]}, "no image has the id 'two'"),
        ("search_gallery", {"query": "a man", "show": 1}, "show: Extra inputs are not permitted"),
        ("propose_questions", {"query": "a man", "count": 0}, "count: Input should be greater"),
        ("aggregate_query", {"query": "a man", "facts": []}, "facts: List should have at least 1 item"),
        ("aggregate_query", {"query": "a man", "facts": [{"question": "q"}]}, "facts.0.answer: Field required"),
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
        "propose_questions": TemplateQuestioner(load_pool()),
        "aggregate_query": TemplateAggregator(),
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
        (candidate.image.sha256[:12], candidate.image.path) for candidate in best
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


def test_a_name_that_no_tool_has_is_said() -> None:
    with pytest.raises(CtgiError, match=r"no tool is called 'verify'; did you mean verify_match\?"):
        as_langchain_tools({"verify": None}, {})


def test_an_agent_refines_its_search_by_eq_7(search: GallerySearch) -> None:
    """What it gets is what MTI gets: the fused score, the anchor's similarity taken as 1."""
    anchor = asyncio.run(search("a man", 8)).candidates[-1].image
    wanted = asyncio.run(
        search("a man", 3, refinement=Refinement("a man with a bag", (anchor.sha256,), 0.25, "refined"))
    )
    _, refined = run(
        as_langchain_tools({"search_gallery": search}, {}),
        call("search_gallery", query="a man"),
        call(
            "search_gallery", query="a man", k=3, refined_query="a man with a bag", anchors=[anchor.sha256[:12]],
            weight=0.25,
        ),
        AIMessage("done"),
    )  # fmt: skip
    told = json.loads(str(refined.content))
    assert [(one["image_id"], one["score"], one["rank_before"]) for one in told] == [
        (one.image.sha256[:12], pytest.approx(one.score, abs=1e-6), one.rank_before) for one in wanted.candidates
    ]
    assert told[0]["image_id"] == anchor.sha256[:12]


def test_an_agent_narrows_its_search_and_learns_the_columns(search: GallerySearch) -> None:
    [wrong], [found] = (
        run(as_langchain_tools({"search_gallery": search}, {}), call("search_gallery", **arguments), AIMessage("done"))
        for arguments in (
            {"query": "a man", "where": "camera = 'north'"},
            {"query": "a man", "k": 5, "where": "path like '1%'"},
        )
    )
    assert "no column camera; the columns are path" in str(wrong.content)
    assert {Path(one["path"]).name[0] for one in found.artifact["found"]} == {"1"}
    assert found.artifact["where"] == "path like '1%'"


def test_an_agent_talks_with_the_person_and_writes_the_query_anew(
    people: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("white sneakers\n"))
    image = ref(str(people / "1_a.png"))
    fact = {"question": "What are the shoes?", "answer": "white sneakers", "statement": "The shoes are white sneakers."}

    async def talk() -> list[BaseMessage]:
        names = ["propose_questions", "ask_user", "aggregate_query", "reconstruct_caption"]
        async with open_tools(load_settings(), names, load_pool()) as tools:
            script = [
                call("propose_questions", query="a man in a red shirt", image_id="one", count=2, asked=["gender"]),
                call("ask_user", question="What are the shoes?", image_id="one"),
                call("aggregate_query", query="a man in a red shirt", facts=[fact]),
                call("reconstruct_caption", description="A man in a red shirt.", facts=[fact]),
                AIMessage("done"),
            ]
            model = ScriptedAgentModel(messages=iter(script))
            agent = create_agent(model, as_langchain_tools(tools, {"one": image}))
            state = await agent.ainvoke({"messages": [HumanMessage("find him")]})
            return [message for message in state["messages"] if isinstance(message, ToolMessage)]

    proposed, said, query, caption = asyncio.run(talk())
    questions = json.loads(str(proposed.content))
    assert len(questions) == 2
    assert all(one["question"].endswith("?") and one["attribute"] != "gender" for one in questions)
    assert said.content == "white sneakers"
    assert "What are the shoes?" in capsys.readouterr().err
    assert query.content == caption.content == "A man in a red shirt. The shoes are white sneakers."


def test_a_picture_comes_as_a_content_block_where_the_program_allows_it(search: GallerySearch, people: Path) -> None:
    image = ref(str(people / "1_a.png"))
    tools = {"search_gallery": search, "caption_image": Captioner(ScriptedMllm(lambda request: "a man in black"))}
    found, caption = run(
        as_langchain_tools(tools, {"one": image}, pictures=True),
        call("search_gallery", query="a man", k=3, show=2),
        call("caption_image", image_id="one", show=True),
        AIMessage("done"),
    )
    best = found.artifact["found"]
    bytes_on_disk = [Path(one["path"]).read_bytes() for one in best[:2]]
    kinds = [block["type"] for block in found.content_blocks]
    assert kinds == ["text", "text", "image", "text", "image"]
    shown = [block for block in found.content_blocks if block["type"] == "image"]
    assert [base64.b64decode(block["base64"]) for block in shown] == bytes_on_disk
    assert [one["image_id"] for one in json.loads(found.content_blocks[0]["text"])] == [one["image_id"] for one in best]
    assert caption.content_blocks[0]["text"] == "a man in black"
    assert caption.content_blocks[2]["mime_type"] == "image/png"
    assert str(people) not in str(found.content) + str(caption.content)


def test_a_picture_that_is_gone_does_not_spoil_the_search(search: GallerySearch, people: Path) -> None:
    best = asyncio.run(search("a man", 2)).candidates
    Path(best[0].image.path).unlink()
    (found,) = run(
        as_langchain_tools({"search_gallery": search}, {}, pictures=True),
        call("search_gallery", query="a man", k=2, show=2),
        AIMessage("done"),
    )
    told = [block.get("text", "") for block in found.content_blocks]
    assert f"{best[0].image.sha256[:12]}: cannot be shown: no such file" in told
    assert str(people) not in str(found.content)


def test_two_images_whose_ids_begin_alike_are_told_apart() -> None:
    one, two = ImageRef("a.png", "ab" * 32), ImageRef("b.png", "ab" * 31 + "cd")
    desk = Desk({}, {})
    assert [desk.id_of(one), desk.id_of(two), desk.id_of(one)] == ["ab" * 6, two.sha256, "ab" * 6]
    assert (desk.find("ab" * 6), desk.find(two.sha256)) == (one, two)


def test_wrong_arguments_are_a_reply_without_an_agent_around_the_tool(search: GallerySearch) -> None:
    (tool,) = as_langchain_tools({"search_gallery": search}, {})
    asked = {"type": "tool_call", "id": "1", "name": "search_gallery", "args": {"query": "a man", "k": 0}}
    assert tool.invoke(asked).content == "k: Input should be greater than or equal to 1"
