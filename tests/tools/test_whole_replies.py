import asyncio
from collections.abc import Callable

import pytest

from ctgi.errors import ToolError
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.whole_replies import WholeReplies
from ctgi.tools.types import Tokens

TEXT = ChatRequest("Describe.", max_tokens=64)
VERDICT = ChatRequest("Does it match?", choices=("yes", "no"), max_tokens=8)
CUT = ChatReply("A woman carrying a", tokens=Tokens(10, 64), cut=True)
THINKING = ChatReply("", thoughts=30, cut=True)
Script = Callable[[ChatRequest], ChatReply]


def room(needed: int, whole: ChatReply, cut: ChatReply = CUT) -> Script:
    """A model whose reply needs so many tokens."""
    return lambda request: whole if request.max_tokens >= needed else cut


def ask(script: Script, *requests: ChatRequest, max_tokens: int = 2048) -> tuple[list[object], list[int]]:
    """What each request comes to, and the room that each call gave."""
    mllm = ScriptedMllm(script)
    whole = WholeReplies(mllm, table="lab", max_tokens=max_tokens)

    async def all_of_them() -> list[object]:
        found = [(await asyncio.gather(whole.chat(request), return_exceptions=True))[0] for request in requests]
        await whole.aclose()
        return found

    found = asyncio.run(all_of_them())
    assert mllm.closed
    return found, [request.max_tokens for request in mllm.seen]


def test_a_reply_that_was_cut_is_asked_for_once_more_with_more_room(caplog: pytest.LogCaptureFixture) -> None:
    (reply,), rooms = ask(room(100, ChatReply("A woman carrying a bag.", tokens=Tokens(10, 90))), TEXT)
    assert reply == ChatReply("A woman carrying a bag.", tokens=Tokens(20, 154))
    assert rooms == [64, 2048]
    assert "replies cut off and requested again with up to 2,048 tokens: 1" in caplog.text


def test_a_reply_that_stays_cut_is_a_failure_that_names_its_setting() -> None:
    (error,), rooms = ask(room(9000, ChatReply("never")), TEXT)
    assert isinstance(error, ToolError)
    assert "cut off at 2,048 tokens: 'A woman carrying a': raise max_tokens under [endpoints.lab]" in str(error)
    assert rooms == [64, 2048]


def test_max_tokens_also_bounds_the_first_try() -> None:
    (error,), rooms = ask(room(9000, ChatReply("never")), TEXT, max_tokens=40)
    assert "cut off at 40 tokens" in str(error)
    assert rooms == [40]


def test_once_a_model_was_seen_to_think_it_has_room_from_the_start(caplog: pytest.LogCaptureFixture) -> None:
    script = room(500, ChatReply("yes", thoughts=2000), THINKING)
    found, rooms = ask(script, VERDICT, VERDICT, VERDICT)
    assert [reply.text for reply in found if isinstance(reply, ChatReply)] == ["yes"] * 3
    assert rooms == [8, 2048, 2048, 2048]
    assert "a script: the model thinks aloud" in caplog.text
    assert "6,030 characters of thought were removed from 4 replies" in caplog.text


def test_a_verdict_cut_inside_a_thought_is_no_verdict() -> None:
    (error,), _ = ask(lambda request: THINKING, VERDICT)
    assert isinstance(error, ToolError)
    assert "cut off at 2,048 tokens after 30 characters of thought: raise max_tokens" in str(error)


def test_a_first_word_is_a_verdict_only_of_a_model_known_not_to_think_first() -> None:
    """A thought that the prompt opened looks like an answer until its end is seen."""
    thought = ChatReply("Yes, the user wants me to look at", cut=True)
    (verdict,), rooms = ask(room(100, ChatReply("no", thoughts=80), thought), VERDICT)
    assert isinstance(verdict, ChatReply)
    assert (verdict.text, rooms) == ("no", [8, 2048])
    prose = ChatReply("Yes, the person in the image wears a", cut=True)
    found, rooms = ask(room(60, ChatReply("Yes, the person does."), prose), VERDICT, VERDICT)
    assert [reply.text for reply in found if isinstance(reply, ChatReply)] == ["Yes, the person does.", prose.text]
    assert rooms == [8, 2048, 8]


def test_a_cut_reply_without_a_choice_is_asked_for_again() -> None:
    found, rooms = ask(room(60, ChatReply("The image shows a man, so no."), CUT), TEXT, VERDICT)
    assert [reply.text for reply in found if isinstance(reply, ChatReply)] == ["The image shows a man, so no."] * 2
    assert rooms == [64, 8, 2048]


def test_thoughts_of_any_other_backend_are_no_answer_and_no_probability() -> None:
    aloud = ChatReply("<think>The shoes? I see.</think> white", choices={"yes": 0.9, "no": 0.1})
    (reply,), _ = ask(lambda request: aloud, TEXT)
    assert reply == ChatReply("white", thoughts=17)
    (error,), _ = ask(lambda request: ChatReply("<think>Hm.</think>"), TEXT)
    assert "nothing but thoughts (3 characters)" in str(error)


def test_room_that_the_model_refuses_is_told_with_the_cut() -> None:
    def refuse(request: ChatRequest) -> ChatReply:
        if request.max_tokens > 64:
            raise ToolError("the context has 4096 tokens")
        return CUT

    (error,), _ = ask(refuse, TEXT)
    assert str(error) == (
        "a script: the reply was cut off at 64 tokens: 'A woman carrying a'; "
        "with up to 2,048: the context has 4096 tokens"
    )
