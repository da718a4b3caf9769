"""What servers refuse is left out of requests from then on, or written otherwise; what they do not refuse stays."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ctgi.config import Binding, Endpoint, Settings
from ctgi.errors import CtgiError, ToolError
from ctgi.testing import RESET, Fault, Reply, Request, ScriptedServer, http_error
from ctgi.tools.backends import ChatReply, ChatRequest
from tests.support.asked_server import HELLO, VERDICT, chat, outcomes, with_mllm

TOLD = ChatRequest("Describe.", system="Be brief.")
ALL = {"temperature", "top_p", "seed", "max_tokens", "logprobs", "stream"}


def refusal(words: str, status: int = 400, **more: Any) -> Fault:
    return Fault(status, json.dumps({"error": {"message": words, **more}}).encode())


def refuses(when: Callable[[Request], bool], said: Fault) -> Callable[[Request], Fault | Reply]:
    return lambda seen: said if when(seen) else Reply("fine")


def sent(seen: Request) -> set[str]:
    return set(seen.body) - {"model", "messages"}


def asked(double: ScriptedServer, *requests: ChatRequest, **settings: Any) -> list[ChatReply | BaseException]:
    return with_mllm(double, lambda mllm: outcomes(mllm, *requests), **settings)


OPENAI = "Unsupported parameter: '{0}' is not supported with this model."


@pytest.mark.parametrize("field", sorted(ALL - {"max_tokens"}))
@pytest.mark.parametrize(
    "said",
    [
        refusal(OPENAI.format("{0}")),
        refusal("Extra inputs are not permitted", 422, param="{0}"),
        Fault(422, b'{"detail": [{"loc": ["body", "{0}"], "msg": "Extra inputs are not permitted"}]}'),
        Fault(200, b'{"error": {"message": "unknown field `{0}`"}}'),
        refusal("Unknown parameter: {0}. Supported parameters are: seed, logprobs, top_p, temperature, stream."),
    ],
    ids=["in words", "as param", "as loc", "with status 200", "beside those allowed"],
)
def test_a_named_field_is_given_up_once_and_alone(
    double: ScriptedServer, field: str, said: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    named = Fault(said.status, said.body.replace(b"{0}", field.encode()))
    double.replies = refuses(lambda seen: field in seen.body, named)
    assert [reply.text for reply in asked(double, HELLO, HELLO, provider="openai")] == ["fine", "fine"]
    assert [sent(seen) for seen in double.seen] == [ALL, ALL - {field}, ALL - {field}]
    assert [record.getMessage() for record in caplog.records] == [
        f"{double.url} refuses some fields: from now on requests go without {field}"
    ]


def test_camel_case_names_a_field_as_well(double: ScriptedServer) -> None:
    double.replies = refuses(lambda seen: "top_p" in seen.body, refusal("Unknown name topP"))
    assert chat(double).text == "fine"
    assert len(double.seen) == 2


def test_of_temperature_and_top_p_that_may_not_stand_together_the_temperature_stays(double: ScriptedServer) -> None:
    both = refusal("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    double.replies = refuses(lambda seen: {"temperature", "top_p"} <= seen.body.keys(), both)
    assert chat(double, provider="openai").text == "fine"
    assert sent(double.seen[-1]) == ALL - {"top_p"}
    assert len(double.seen) == 2


@pytest.mark.parametrize(("refused", "taken"), [("max_tokens", "max_completion_tokens")])
def test_the_limit_goes_under_its_other_name(double: ScriptedServer, refused: str, taken: str) -> None:
    said = refusal(f"Unsupported parameter: '{refused}' is not supported with this model. Use '{taken}' instead.")
    double.replies = refuses(lambda seen: refused in seen.body, said)
    asked(double, HELLO, HELLO)
    assert [(refused in seen.body, seen.body.get(taken)) for seen in double.seen] == [
        (True, None), (False, 256), (False, 256),
    ]  # fmt: skip


def test_the_limit_goes_back_to_its_old_name_and_then_away(double: ScriptedServer) -> None:
    limits = ("max_completion_tokens", "max_tokens")
    double.replies = refuses(lambda seen: "max_tokens" in seen.body, refusal("unknown field max_tokens"))
    assert chat(double, leave_out=["max_completion_tokens"]).text == "fine"
    assert [[name for name in limits if name in seen.body] for seen in double.seen] == [["max_tokens"], []]


@pytest.mark.parametrize(
    "words",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 256. This model's maximum context length is 2048 tokens",
        "max_tokens is too large: 5000. This model supports at most 4096 completion tokens",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 128]",
    ],
)
def test_a_limit_that_is_too_large_for_one_prompt_stays(double: ScriptedServer, words: str) -> None:
    double.faults.append(refusal(words, param="max_tokens"))
    bad, good = asked(double, HELLO, HELLO)
    assert isinstance(bad, ToolError)
    assert words in str(bad)
    assert isinstance(good, ChatReply)
    assert [sent(seen) for seen in double.seen] == [ALL, ALL]


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "messages[0].role: 'system' is not allowed",
        "Developer instruction is not enabled for this model",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_a_system_message_that_is_refused_stands_before_the_first_prompt(double: ScriptedServer, words: str) -> None:
    double.replies = refuses(lambda seen: bool(seen.system), refusal(words))
    request = ChatRequest("Shoes?", history=(("Describe.", "A man."),), system="Be brief.")
    assert [reply.text for reply in asked(double, request, request)] == ["fine", "fine"]
    assert [seen.system for seen in double.seen] == ["Be brief.", "", ""]
    assert double.seen[-1].prompts == ("Be brief.\n\nDescribe.", "Shoes?")
    assert sent(double.seen[-1]) == ALL


def test_nothing_is_guessed_while_another_field_is_named(double: ScriptedServer) -> None:
    double.replies = refuses(lambda seen: "temperature" in seen.body, refusal("temperature 0.01 is not 1"))
    assert chat(double, VERDICT, provider="openai").text == "fine"
    assert {"logprobs", "seed", "top_p"} <= sent(double.seen[-1])


def test_a_short_models_name_leaves_the_words_of_a_refusal_whole(double: ScriptedServer) -> None:
    double.models = ("m",)
    double.rejects = {"temperature": 400}
    (reply,) = asked(double, HELLO, model="m")
    assert isinstance(reply, ChatReply)
    assert "logprobs" in double.seen[-1].body


def test_a_models_name_names_no_field(double: ScriptedServer) -> None:
    double.models = ("seed",)
    double.replies = refuses(lambda seen: "bad" in seen.prompts[0], refusal("the model seed does not describe people"))
    good, bad = asked(double, HELLO, ChatRequest("a bad image"), model="seed")
    assert isinstance(good, ChatReply)
    assert isinstance(bad, ToolError)
    assert len(double.seen) == 2


def test_the_servers_pointer_counts_more_than_its_words(double: ScriptedServer) -> None:
    said = refusal("this model takes a temperature and top_p only", param="seed")
    double.replies = refuses(lambda seen: "seed" in seen.body, said)
    assert chat(double).text == "fine"
    assert sent(double.seen[-1]) == ALL - {"seed"}


# --- servers that break down over a field ----------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("field", ["structured_outputs", "logprobs", "seed", "top_p", "temperature", "stream"])
def test_a_field_that_a_500_goes_with_every_time_is_given_up_alone(
    double: ScriptedServer, field: str, retries: int, caplog: pytest.LogCaptureFixture
) -> None:
    double.replies = refuses(lambda seen: field in seen.body, http_error(500, "Internal Server Error"))
    replies = asked(double, VERDICT, VERDICT, retries=retries)
    assert [reply.text for reply in replies] == ["fine", "fine"]
    kept = (ALL | {"structured_outputs"}) - {field}
    assert sent(double.seen[-1]) - {"top_logprobs"} == kept
    assert f"from now on requests go without {field}" in caplog.text
    assert len(caplog.records) == 1


def test_a_system_message_that_breaks_the_server_is_folded(double: ScriptedServer) -> None:
    double.replies = refuses(lambda seen: bool(seen.system), http_error(500))
    assert chat(double, TOLD).text == "fine"
    assert (double.seen[-1].system, sent(double.seen[-1])) == ("", ALL)


def test_a_server_that_is_dying_is_not_taken_for_one_that_refuses(double: ScriptedServer) -> None:
    double.replies = http_error(500)
    with pytest.raises(ToolError, match=r"status 500: injected fault \(2 tries\)"):
        chat(double)
    assert len(double.seen) == 3  # two tries, and one without all that it could refuse


@pytest.mark.parametrize("fault", [http_error(502), http_error(503), http_error(429), RESET])
def test_other_failures_cost_no_field(double: ScriptedServer, fault: Fault) -> None:
    double.faults.extend([fault] * 2)
    bad, good = asked(double, HELLO, HELLO)
    assert isinstance(bad, ToolError)
    assert isinstance(good, ChatReply)
    assert all(sent(seen) == ALL for seen in double.seen)


def test_a_server_that_comes_back_in_the_middle_loses_no_field(
    double: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    double.faults.extend([http_error(500)] * 2)
    asked(double, HELLO, HELLO)
    assert sent(double.seen[-1]) == ALL
    assert not caplog.records


def test_what_has_worked_is_not_suspected_later(double: ScriptedServer) -> None:
    double.faults.extend([Fault(200, b'{"choices": [{"message": {"content": "fine"}}]}'), *[http_error(500)] * 2])
    good, bad, again = asked(double, HELLO, HELLO, HELLO)
    assert [type(one) for one in (good, bad, again)] == [ChatReply, ToolError, ChatReply]
    assert all(sent(seen) == ALL for seen in double.seen)


# --- what the configuration changes ----------------------------------------------------------------------------------


def test_fields_can_be_left_out_and_added(double: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    thinking = {"chat_template_kwargs": {"enable_thinking": False}, "top_p": 0.8}
    chat(double, TOLD, leave_out=["temperature", "seed", "system", "max_tokens"], extra_body=thinking)
    body = double.seen[0].body
    assert sent(double.seen[0]) == {"max_completion_tokens", "top_p", "stream", "logprobs", "chat_template_kwargs"}
    assert (body["chat_template_kwargs"], body["top_p"]) == ({"enable_thinking": False}, 0.8)
    assert double.seen[0].prompts == ("Be brief.\n\nDescribe.",)
    assert not caplog.records


def test_headers_take_their_values_from_the_environment(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "gw-secret-123\n")
    headers = {"api-key": "env:GATEWAY_KEY"}
    chat(double, headers=headers)
    assert double.seen[0].headers["api-key"] == "gw-secret-123"
    assert "authorization" not in double.seen[0].headers
    double.replies = refusal("the key gw-secret-123 may not describe people")
    with pytest.raises(ToolError, match=r"the key \*\*\* may not"):
        chat(double, headers=headers)


def test_a_header_goes_to_its_endpoints_own_address_alone(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "gw-secret-123")
    lab = {"provider": "vllm", "base_url": "http://gateway.example/v1", "headers": {"api-key": "env:GATEWAY_KEY"}}
    settings = Settings(endpoints={"lab": lab})
    elsewhere = settings.endpoint(Binding("lab", "double", double.url))
    assert elsewhere.headers == {}
    assert settings.endpoint(Binding("lab", "double", None)).headers == {"api-key": "env:GATEWAY_KEY"}
    assert "gw-secret-123" in settings.secrets()


def test_a_headers_variable_that_is_not_set_is_named_and_nothing_sent(double: ScriptedServer) -> None:
    with pytest.raises(CtgiError, match="the header api-key needs the environment variable NO_SUCH_KEY"):
        chat(double, headers={"api-key": "env:NO_SUCH_KEY"})
    assert len(double.seen) == 0


def test_a_header_that_is_refused_is_named_by_its_variable(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "gw-secret-123")
    double.replies = http_error(401, "wrong key")
    with pytest.raises(CtgiError, match="check the variable VLLM_API_KEY or GATEWAY_KEY"):
        chat(double, headers={"api-key": "env:GATEWAY_KEY"}, api_key_env="VLLM_API_KEY")


def test_a_headers_value_in_the_file_is_refused_without_being_shown() -> None:
    with pytest.raises(CtgiError, match="never stands in a file") as raised:
        Endpoint(headers={"api-key": "sk-secret-value"})
    assert "sk-secret" not in str(raised.value)


def test_a_field_that_is_none_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="leave_out"):
        Endpoint(leave_out=["messages"])
