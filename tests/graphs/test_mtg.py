import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ctgi.agents.answerer import Answerer
from ctgi.agents.captioner import Captioner
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.agents.writers import TemplateReconstructor
from ctgi.config import MtgSettings
from ctgi.errors import ToolError
from ctgi.graphs.mtg import MtgContext, build_mtg, caption
from ctgi.records import CaptionRecord
from ctgi.retrieval.images import ImageRef
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.traces.interceptor import Direct
from ctgi.tools.types import Tokens

IMAGE = ImageRef("a.png", "ab" * 32)


def run(script: Callable[[ChatRequest], ChatReply | str], **settings: Any) -> tuple[CaptionRecord, ScriptedMllm]:
    mllm, numbers = ScriptedMllm(script, limit=1 + settings.get("turns", 6)), MtgSettings(**settings)
    context = MtgContext(Captioner(mllm), Answerer(mllm), TemplateReconstructor(), load_pool(), Judge(numbers), numbers)
    return asyncio.run(caption(build_mtg(), context, IMAGE)), mllm


def by_question(request: ChatRequest) -> ChatReply | str:
    answers = {
        "Describe": ChatReply("A man in a red shirt.", 0.9, tokens=Tokens(100, 7)),
        "trousers": ChatReply("jeans", 0.8, tokens=Tokens(110, 1)),
        "objects": "not visible",
        "accessories": "a hat",
        "background": ChatReply("a shop", 0.05),
        "doing": "walking",
    }
    return next((answer for word, answer in answers.items() if word in request.prompt), "white sneakers")


def test_a_dialogue_from_description_to_caption() -> None:
    record, mllm = run(by_question)
    assert record.initial_caption == "A man in a red shirt."
    assert [(turn.attribute, turn.kept, turn.reason) for turn in record.turns[:5]] == [
        ("lower_type", True, None),
        ("carried_objects", False, "unusable: not visible"),
        ("accessories", True, None),
        ("background", False, "irrelevant: confidence 0.05 < 0.20"),
        ("action", True, None),
    ]
    assert len(record.turns) == 6
    assert record.caption.startswith("A man in a red shirt. The person wears jeans on the lower body, has a hat")
    assert "shop" not in record.caption
    assert record.tokens == {"input": 210, "output": 8}
    assert (record.path, record.sha256) == (IMAGE.path, IMAGE.sha256)
    assert len(mllm.seen) == 7


def test_what_the_description_settles_is_not_asked() -> None:
    record, _ = run(by_question)
    assert "upper_color" not in [turn.attribute for turn in record.turns]


def test_no_attribute_is_asked_twice_and_the_pool_may_run_dry() -> None:
    record, _ = run(lambda request: "A person." if "Describe" in request.prompt else "not visible", turns=100)
    attributes = [turn.attribute for turn in record.turns]
    assert len(attributes) == len(set(attributes))
    assert {"bag_color", "hat_color"} == {q.attribute for q in load_pool().questions} - set(attributes)
    assert record.caption == record.initial_caption == "A person."


def test_no_turns_leave_the_initial_caption() -> None:
    record, _ = run(by_question, turns=0)
    assert record.turns == ()
    assert record.caption == "A man in a red shirt."


def test_the_same_seed_asks_the_same_questions() -> None:
    def asked(seed: int) -> list[str]:
        return [turn.attribute for turn in run(lambda request: "A person.", turns=12, seed=seed)[0].turns]

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


def test_a_failed_call_fails_the_image() -> None:
    def script(request: ChatRequest) -> str:
        if "objects" in request.prompt:
            raise ToolError("refused by the server")
        return "A person."

    with pytest.raises(ToolError, match="refused"):
        run(script)


def test_the_shape_of_the_graph() -> None:
    edges = {(edge.source, edge.target) for edge in build_mtg().get_graph().edges}
    assert edges == {
        ("__start__", "describe"), ("describe", "choose"), ("choose", "ask"), ("choose", "reconstruct"),
        ("ask", "relevance"), ("relevance", "dedupe"), ("relevance", "choose"), ("dedupe", "choose"),
        ("reconstruct", "__end__"),
    }  # fmt: skip


def test_an_answer_that_is_not_about_the_image_never_reaches_dedupe() -> None:
    ran: list[str] = []

    class Heard(Direct):
        def node(self, name: str, step: int) -> Any:
            ran.append(name)
            return super().node(name, step)

    settings = MtgSettings(turns=2)
    mllm = ScriptedMllm(lambda request: "A person." if "Describe" in request.prompt else "not visible", limit=3)
    context = MtgContext(
        Captioner(mllm), Answerer(mllm), TemplateReconstructor(), load_pool(), Judge(settings), settings, Heard()
    )
    asyncio.run(caption(build_mtg(), context, IMAGE))
    assert ran == ["describe", *["choose", "ask", "relevance"] * 2, "choose", "reconstruct"]
