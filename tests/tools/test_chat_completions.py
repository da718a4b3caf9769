"""What is read of a reply: the text strictly, and nothing beside it ever costs the text."""

import json
import math
from typing import Any

import pytest

from ctgi.errors import ToolError
from ctgi.tools.backends import ChatReply
from ctgi.tools.backends.chat_completions import read_reply
from ctgi.tools.backends.endpoint import Unavailable
from ctgi.tools.backends.refusals import RefusedError
from ctgi.tools.types import Tokens

YES_NO = ("yes", "no")


def token(text: str, logprob: Any = -0.1, **top: Any) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}


def body(content: Any = "yes", *, choice: dict[str, Any] | None = None, **more: Any) -> bytes:
    """A completion; `choice` and `more` are put into the choice and the whole."""
    message = {"role": "assistant", "content": content}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"} | (choice or {})]}
    return json.dumps(whole | more).encode()


def logprobs(*tokens: dict[str, Any]) -> dict[str, Any]:
    return {"logprobs": {"content": list(tokens)}}


ORNAMENTS = {
    "null logprob": logprobs(token("yes", None)),
    "positive logprob": logprobs(token("yes", 2.0)),
    "NaN logprob": logprobs(token("yes", math.nan)),
    "null alternative": logprobs(token("yes", -0.1, yes=None, no=-0.2)),
    "alternatives missing": {"logprobs": {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": None}]}},
    "legacy logprobs": {"logprobs": {"tokens": ["yes"], "token_logprobs": [-0.1], "top_logprobs": [{"yes": -0.1}]}},
    "logprobs as a list": {"logprobs": [-0.1]},
    "logprobs as a text": {"logprobs": "none"},
    "no finish reason": {"finish_reason": None},
    "finish reason of another kind": {"finish_reason": {"type": "stop"}},
}


@pytest.mark.parametrize("choice", ORNAMENTS.values(), ids=ORNAMENTS)
def test_an_odd_ornament_costs_its_own_value_alone(choice: dict[str, Any]) -> None:
    assert read_reply(body(choice=choice), YES_NO) == ChatReply("yes")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10.0, "completion_tokens": "7"}, Tokens(10, 7)),
        ({"prompt_tokens": -1, "completion_tokens": None}, Tokens()),
        ({"prompt_tokens": math.nan, "completion_tokens": 1e300}, Tokens()),
        ({"prompt_tokens": 10**400, "completion_tokens": [7]}, Tokens()),
        ([1], Tokens()),
        (None, Tokens()),
    ],
)
def test_odd_numbers_of_tokens_are_none(usage: Any, tokens: Tokens) -> None:
    assert read_reply(body(usage=usage)) == ChatReply("yes", tokens=tokens)


@pytest.mark.parametrize(
    ("content", "text", "thoughts"),
    [
        (["a red ", {"type": "text", "text": "coat"}], "a red coat", 0),
        ([{"type": "output_text", "text": "red"}, {"type": "image_url", "image_url": {"url": "x"}}], "red", 0),
        ({"type": "text", "text": {"value": "red"}}, "red", 0),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "red"}],
            "red",
            3,
        ),
        ([{"type": "reasoning", "text": "Hm."}, {"text": "red"}], "red", 3),
        ([{"type": "refusal", "refusal": "I cannot."}], "I cannot.", 0),
        ([{"type": "text", "text": None}, 7, None, {"type": "text", "text": "red"}], "red", 0),
    ],
)
def test_content_as_parts_is_the_text_of_its_texts(content: Any, text: str, thoughts: int) -> None:
    reply = read_reply(body(content))
    assert (reply.text, reply.thoughts) == (text, thoughts)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_in_a_field_of_their_own_are_counted_and_no_text(field: str) -> None:
    message = {"content": "red", field: "I see a coat."}
    assert read_reply(body(choice={"message": message})) == ChatReply("red", thoughts=13)
    cut = {"message": {"content": None, field: "I see"}, "finish_reason": "length"}
    assert read_reply(body(choice=cut)) == ChatReply("", thoughts=5, cut=True)
    with pytest.raises(Unavailable, match=r"the answer is empty \(finish reason 'stop', 5 characters of thought\)"):
        read_reply(body(choice={"message": {"content": "", field: "I see"}}))


@pytest.mark.parametrize("reason", ["length", "LENGTH", "max_tokens", "MAX_TOKENS", "max_output_tokens"])
def test_a_reply_that_reached_its_limit_is_cut(reason: str) -> None:
    assert read_reply(body("A woman with a", choice={"finish_reason": reason})).cut
    assert not read_reply(body("A woman.")).cut


def test_without_a_finish_reason_the_count_tells_whether_the_limit_was_reached() -> None:
    unsaid = body("A woman with a", choice={"finish_reason": None}, usage={"completion_tokens": 64})
    assert read_reply(unsaid, max_tokens=64).cut
    assert not read_reply(unsaid, max_tokens=65).cut


def test_probabilities_are_those_of_the_answer_and_not_of_a_thought_before_it() -> None:
    thought = [token("<think>", -0.001, no=-0.01), token("Hm"), token("</think>"), token("\n\n")]
    answer = token("yes", math.log(0.5), yes=math.log(0.8), no=math.log(0.2))
    reply = read_reply(body("<think>Hm</think>\n\nyes", choice=logprobs(*thought, answer)), YES_NO)
    assert (reply.text, reply.thoughts) == ("yes", 2)
    assert reply.choices == pytest.approx({"yes": 0.8, "no": 0.2})
    assert reply.confidence == pytest.approx(0.5)


def test_where_the_answer_cannot_be_told_from_thoughts_it_has_no_probability() -> None:
    unmarked = logprobs(token("token_id:17", -0.1, no=-0.1), token("token_id:9"))
    reply = read_reply(body("Hm</think>yes", choice=unmarked), YES_NO)
    assert (reply.text, reply.choices, reply.confidence) == ("yes", {}, None)
    apart = {"message": {"content": "yes", "reasoning": "Hm"}} | logprobs(token("yes", math.log(0.9), yes=-0.1))
    assert read_reply(body(choice=apart), YES_NO).choices == {"yes": 1.0, "no": 0.0}


def test_the_first_choice_that_says_something_counts() -> None:
    empty, broken = {"message": {"content": None, "tool_calls": [{}]}}, {"message": 7}
    said = {"message": {"content": "red"}, "finish_reason": "stop"}
    assert read_reply(json.dumps({"choices": [broken, empty, said, broken]}).encode()).text == "red"


def test_a_byte_order_mark_and_white_space_before_a_reply_are_passed_over() -> None:
    assert read_reply(b"\xef\xbb\xbf\n " + body()).text == "yes"


# --- errors in place of a reply ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"error": {"message": "rate limit, later", "code": 429}}, 429, "rate limit, later"),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, "slow down"),
        ({"error": {"message": "upstream died", "code": "502"}}, 502, "upstream died"),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, 503, "busy"),
        ({"error": "out of order"}, 0, "out of order"),
        ({"message": "no such route", "code": 404}, 404, "no such route"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "not permitted"}]}, 0, "body.seed: not permitted"),
        ({"object": "error", "message": "too long", "code": 400}, 400, "too long"),
        ({"error": {"message": "gone", "code": 500}, "choices": [{"message": {"content": "A wo"}}]}, 500, "gone"),
    ],
)  # fmt: skip
def test_an_error_with_status_200_is_told_in_the_servers_words(said: Any, status: int, words: str) -> None:
    with pytest.raises(RefusedError) as raised:
        read_reply(json.dumps(said).encode())
    assert (raised.value.complaint.status, raised.value.complaint.words) == (status, words)


def test_an_error_field_that_holds_none_costs_nothing() -> None:
    for none in (None, "", {}, {"message": "", "code": 0}, {"code": None, "message": None}):
        assert read_reply(body(error=none, choice={"finish_reason": None})).text == "yes"
    assert read_reply(body(error={"message": "a warning"})).text == "yes"  # which came to its end


def test_an_error_within_a_choice_is_one() -> None:
    broken = {"finish_reason": "error", "error": {"code": 502, "message": "Provider disconnected"}}
    with pytest.raises(RefusedError, match="Provider disconnected"):
        read_reply(body("A wom", choice=broken))
    with pytest.raises(Unavailable, match="broke off"):
        read_reply(body("A wom", choice={"finish_reason": "abort"}))


def test_a_reply_that_a_filter_stopped_is_no_caption() -> None:
    with pytest.raises(ToolError, match="filter of the server"):
        read_reply(body("A wom", choice={"finish_reason": "content_filter"}))


# --- event streams -----------------------------------------------------------------------------------------------


def stream(*events: Any, done: bool = True, end: str = "\n\n") -> bytes:
    datas = [json.dumps(event) for event in events] + (["[DONE]"] if done else [])
    return (": keep-alive" + end + "".join(f"event: message\ndata: {data}{end}" for data in datas)).encode()


def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_an_event_stream_is_put_together(end: str) -> None:
    first = piece(role="assistant", reasoning_content="Hm.")
    first["choices"][0]["logprobs"] = {"content": [token("a")]}
    last = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    other = {"choices": [{"index": 1, "delta": {"content": "another choice"}}]}
    events = [first, piece(content="a "), other, piece(content="coat"), piece("stop"), last]
    reply = read_reply(stream(*events, end=end))
    assert (reply.text, reply.thoughts, reply.tokens, reply.cut) == ("a coat", 3, Tokens(9, 2), False)
    assert read_reply(stream(piece("length", content="a coa"))).cut


def test_a_stream_of_one_whole_message_is_read() -> None:
    assert read_reply(stream({"choices": [{"message": {"content": "red"}, "finish_reason": "stop"}]})).text == "red"


def test_a_stream_that_breaks_off_or_fails_is_no_reply() -> None:
    with pytest.raises(Unavailable, match=r"the server streams its reply.*ends before the reply does"):
        read_reply(stream(piece(content="a coa"), done=False))
    with pytest.raises(Unavailable, match="the server streams its reply"):
        read_reply(b"data: {half\n\n")
    with pytest.raises(RefusedError, match="overloaded"):
        read_reply(stream(piece(content="a coa"), {"error": {"message": "overloaded", "code": 503}}))


@pytest.mark.parametrize(
    "reason",
    ["MAX_TOKENS", "FINISH_REASON_MAX_TOKENS", "model_context_window_exceeded", "max_length", "incomplete", "limit"],
)
def test_a_limit_under_any_name_cuts_a_reply(reason: str) -> None:
    assert read_reply(body(choice={"finish_reason": reason})).cut


@pytest.mark.parametrize("reason", ["stop", "STOP", "eos_token", "stop_sequence", "end_turn", "COMPLETE", "tool_calls"])
def test_an_end_under_any_name_is_the_end(reason: str) -> None:
    assert read_reply(body("A woman.", choice={"finish_reason": reason})) == ChatReply("A woman.")


@pytest.mark.parametrize("reason", ["IMAGE_SAFETY", "SPII", "sensitive", "guardrail_intervened", "refusal"])
def test_a_filter_under_any_name_stopped_the_reply(reason: str) -> None:
    with pytest.raises(ToolError, match=f"a filter .*{reason}"):
        read_reply(body(choice={"finish_reason": reason}))


@pytest.mark.parametrize("reason", ["timeout", "network_error", "insufficient_system_resource"])
def test_a_reply_that_broke_off_under_any_name_is_none(reason: str) -> None:
    with pytest.raises(Unavailable, match=f"broke off .*{reason}"):
        read_reply(body("A wom", choice={"finish_reason": reason}))


def test_a_text_that_is_marked_as_thought_is_none_of_the_answer() -> None:
    reply = read_reply(body([{"text": "I look.", "thought": True}, {"text": "A woman."}]))
    assert (reply.text, reply.thoughts) == ("A woman.", 7)


def test_half_a_surrogate_pair_costs_one_character() -> None:
    assert read_reply(body("A \ud83d bag")).text == "A \ufffd bag"


def test_a_stream_of_messages_that_grow_is_the_last_of_them() -> None:
    said = [json.dumps({"choices": [{"message": {"content": text}}]}) for text in ("A wo", "A woman.")]
    stream = "".join(f"data: {one}\n\n" for one in said) + "data: [DONE]\n\n"
    assert read_reply(stream.encode()).text == "A woman."


def test_events_without_empty_lines_between_them_are_read() -> None:
    said = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("A wo", "man.")]
    stream = "".join(f"data: {one}\n" for one in said) + "data: [DONE]\n"
    assert read_reply(stream.encode()).text == "A woman."


def test_a_page_in_place_of_a_reply_is_quoted() -> None:
    with pytest.raises(Unavailable, match=r"not a chat completion.*begins with '<html>Please log in"):
        read_reply(b"<html>Please log in, ***")


def test_a_message_of_another_format_is_no_complaint() -> None:
    with pytest.raises(Unavailable, match="expected a list of choices"):
        read_reply(json.dumps({"message": {"role": "assistant", "content": "A woman."}, "done": True}).encode())


def test_a_message_about_roles_is_a_complaint() -> None:
    with pytest.raises(RefusedError, match="System role not supported"):
        read_reply(json.dumps({"message": "System role not supported"}).encode())


def test_a_complaint_under_base_resp_is_told() -> None:
    said = {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}, "choices": None}
    with pytest.raises(RefusedError, match="insufficient balance"):
        read_reply(json.dumps(said).encode())
