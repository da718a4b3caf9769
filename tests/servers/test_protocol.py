"""Our backend against real servers: vLLM, which can do everything, and transformers serve, which cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ctgi.agents.pool import load_pool
from ctgi.config import Endpoint
from ctgi.errors import CtgiError, EndpointDownError
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.backends.openai_compatible import open_openai, open_vllm
from tests.servers.server_process import ModelServer
from tests.support.drawn_people import draw_people

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

T = TypeVar("T")
COLOR = "yellow"
"""Of what the first of the drawn people wears above."""
QUESTION = load_pool(None).by_attribute("upper_color").question


@pytest.fixture
def person(tmp_path: Path) -> ImageRef:
    [path] = draw_people(tmp_path, 1)
    return ref(str(path))


def use(
    opener: Callable[[str, Endpoint], Mllm],
    server: ModelServer,
    job: Callable[[Mllm], Awaitable[T]],
    model: str | None = None,
    **settings: object,
) -> T:
    """What `job` gives with the server's model opened, used and closed in one loop."""

    async def run() -> T:
        endpoint = Endpoint.model_validate({"base_url": server.base_url, "timeout_s": 60, **settings})
        mllm = opener(model or server.model, endpoint)
        try:
            return await job(mllm)
        finally:
            await mllm.aclose()

    return asyncio.run(run())


def chat(opener: Callable[[str, Endpoint], Mllm], server: ModelServer, request: ChatRequest) -> ChatReply:
    return use(opener, server, lambda mllm: mllm.chat(request))


def test_vllm_answers_about_an_image_with_confidence_and_tokens(vllm_server: ModelServer, person: ImageRef) -> None:
    reply = chat(open_vllm, vllm_server, ChatRequest(QUESTION, person, max_tokens=8))
    assert reply.text == COLOR
    assert reply.confidence is not None
    assert 0.5 < reply.confidence <= 1
    assert reply.tokens.input > 28 + 10  # the image's tokens and the question's
    assert 1 <= reply.tokens.output <= 8


def test_vllm_keeps_the_dialogue_about_one_image(vllm_server: ModelServer, person: ImageRef) -> None:
    alone = chat(open_vllm, vllm_server, ChatRequest(QUESTION, person, max_tokens=8))
    request = ChatRequest(QUESTION, person, history=(("What is it?", "a person"),), max_tokens=8)
    later = chat(open_vllm, vllm_server, request)
    assert later.text == COLOR
    assert later.tokens.input > alone.tokens.input


def test_vllm_forces_a_choice_and_tells_its_probability(vllm_server: ModelServer, person: ImageRef) -> None:
    request = ChatRequest("Which fruit is this?", person, choices=("apple", "pear"), max_tokens=8)
    reply = chat(open_vllm, vllm_server, request)
    assert reply.text in ("apple", "pear")
    assert set(reply.choices) == {"apple", "pear"}
    assert sum(reply.choices.values()) == pytest.approx(1)
    assert reply.choices[reply.text] >= 0.5


def test_vllm_probes_as_able_to_do_everything(vllm_server: ModelServer) -> None:
    abilities = use(open_vllm, vllm_server, lambda mllm: mllm.probe())
    assert abilities == Abilities(images=True, logprobs=True, structured=True)


def test_vllm_serves_many_calls_at_once_with_the_same_answers(vllm_server: ModelServer, person: ImageRef) -> None:
    request = ChatRequest(QUESTION, person, max_tokens=8)

    async def many(mllm: Mllm) -> list[ChatReply]:
        return await asyncio.gather(*(mllm.chat(request) for _ in range(24)))

    assert {reply.text for reply in use(open_vllm, vllm_server, many)} == {COLOR}


def test_vllm_is_asked_for_the_right_names_where_one_is_wrong(vllm_server: ModelServer) -> None:
    with pytest.raises(CtgiError, match="embedded"):
        use(open_vllm, vllm_server, lambda mllm: mllm.chat(ChatRequest("hello")), model="huge")


def test_transformers_probes_as_images_only(transformers_server: ModelServer) -> None:
    for opener in (open_vllm, open_openai):
        abilities = use(opener, transformers_server, lambda mllm: mllm.probe())
        assert abilities == Abilities(images=True, logprobs=False, structured=False)


def test_transformers_answers_without_what_it_refuses(transformers_server: ModelServer, person: ImageRef) -> None:
    reply = chat(open_vllm, transformers_server, ChatRequest(QUESTION, person, choices=(COLOR, "orange"), max_tokens=8))
    assert reply.text == COLOR
    assert reply.choices == {}
    assert reply.confidence is None


def test_a_killed_server_counts_as_down(doomed_server: ModelServer, person: ImageRef) -> None:
    async def before_and_after(mllm: Mllm) -> str:
        request = ChatRequest(QUESTION, person, max_tokens=8)
        text = (await mllm.chat(request)).text
        doomed_server.kill()
        with pytest.raises(EndpointDownError, match=doomed_server.base_url):
            await mllm.chat(request)
        return text

    settings = {"retries": 1, "failures_to_stop": 1}
    assert use(open_openai, doomed_server, before_and_after, **settings) == COLOR
