import asyncio
from pathlib import Path

import pytest
from scripted_mllm import ScriptedMllm

from ctgi.config import Binding, load_settings
from ctgi.errors import CtgiError, ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.chat_cache import open_chat_cache
from ctgi.tools.types import Tokens

VLLM = Binding.parse("vllm:model@http://a/v1")
ASKED = ChatRequest("a red coat?", ImageRef("1.png", "sha-1"), choices=("yes", "no"))
SAID = ChatReply("yes", 0.75, {"yes": 0.9, "no": 0.1}, Tokens(10, 1))


def ask(path: Path, request: ChatRequest = ASKED, binding: Binding = VLLM, **mti: object) -> tuple[ChatReply, int]:
    """The reply, and whether the model was asked for it."""
    mllm = ScriptedMllm(lambda request: SAID)
    with open_chat_cache(path) as cache:
        settings = load_settings(endpoints={"vllm": {"max_pixels": 50_176, **mti}})
        reply = asyncio.run(cache.wrap(binding, settings, mllm).chat(request))
        assert (cache.made, cache.reused) == (len(mllm.requests), 1 - len(mllm.requests))
        assert cache.tokens == Tokens(10, 1)
    return reply, len(mllm.requests)


def test_a_reply_is_kept_whole_and_given_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "calls.sqlite"
    assert ask(path) == (SAID, 1)
    assert ask(path) == (SAID, 0)


def test_the_same_content_elsewhere_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    ask(path)
    moved = ChatRequest("a red coat?", ImageRef("moved/1.png", "sha-1"), choices=("yes", "no"))
    assert ask(path, moved, Binding.parse("vllm:model@http://b/v1"))[1] == 0


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("a blue coat?", ASKED.image, choices=("yes", "no")),
        ChatRequest("a red coat?", ImageRef("1.png", "sha-2"), choices=("yes", "no")),
        ChatRequest("a red coat?", ASKED.image),
        ChatRequest("a red coat?", ASKED.image, choices=("yes", "no"), system="be strict"),
        ChatRequest("a red coat?", ASKED.image, (("before", "reply"),), choices=("yes", "no")),
    ],
)
def test_another_question_or_image_is_asked(tmp_path: Path, request_: ChatRequest) -> None:
    ask(tmp_path / "calls.sqlite")
    assert ask(tmp_path / "calls.sqlite", request_)[1] == 1


def test_another_backend_or_image_size_is_asked(tmp_path: Path) -> None:
    ask(tmp_path / "calls.sqlite")
    assert ask(tmp_path / "calls.sqlite", binding=Binding.parse("vllm:other"))[1] == 1
    assert ask(tmp_path / "calls.sqlite", max_pixels=100_352)[1] == 1


def test_the_same_question_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    mllm = ScriptedMllm(lambda request: SAID, latency_s=0.01)

    async def ask_twice() -> list[ChatReply]:
        with open_chat_cache(tmp_path / "calls.sqlite") as cache:
            model = cache.wrap(VLLM, load_settings(), mllm)
            return await asyncio.gather(model.chat(ASKED), model.chat(ASKED))

    assert asyncio.run(ask_twice()) == [SAID, SAID]
    assert len(mllm.requests) == 1


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    def fail(request: ChatRequest) -> str:
        raise ToolError("refused")

    with open_chat_cache(tmp_path / "calls.sqlite") as cache, pytest.raises(ToolError):
        asyncio.run(cache.wrap(VLLM, load_settings(), ScriptedMllm(fail)).chat(ASKED))
    assert ask(tmp_path / "calls.sqlite")[1] == 1


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"something else, and long enough to be told from an empty file" * 20)
    with pytest.raises(CtgiError, match="cannot keep model replies here"), open_chat_cache(path):
        pass
