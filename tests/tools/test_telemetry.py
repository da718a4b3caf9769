"""Spans in memory, and through the real OTLP exporter to a test double of a collector."""

import asyncio
import json
import socket
import sys
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ctgi.agents.answerer import Answerer
from ctgi.config import Binding, Settings, load_settings
from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.secrets import basic_authorization
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.telemetry import collector, reporting
from ctgi.tools.traces.call_notes import note, noting
from ctgi.tools.traces.interceptor import DIRECT
from ctgi.tools.types import Reply, Tokens
from tests.support.otlp_collector import running_collector

VLLM = Binding.parse("vllm:qwen@http://user:secret@gpu-box:8000/v1")
IMAGE = ImageRef("private/anna.png", "sha-1")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", raising=False)


def script(request: ChatRequest) -> ChatReply:
    if "fail?" in request.prompt:
        raise ToolError("the model said: a red coat")
    note(retries=2)
    return ChatReply("a red coat", 0.9, tokens=Tokens(120, 3))


def work(settings: Settings, *questions: str, exporter: Any = None) -> None:
    """A run with one item that asks these questions at once; "again?" is answered without the model."""

    async def ask() -> None:
        with reporting(settings, "mtg", "caption", DIRECT, exporter=exporter) as interceptor:
            answerer = Answerer(interceptor.model(VLLM, ScriptedMllm(script)))

            async def answer(image: ImageRef, question: str, **options: Any) -> Reply:
                if question == "again?":
                    note(src="cache")
                    return Reply("a red coat", 0.9)
                return await answerer(image, question, **options)

            tool = interceptor.serve("answer_question", VLLM, lambda: answer)
            with interceptor.item({"image": IMAGE}):
                calls = (tool(IMAGE, question) for question in questions)
                await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(ask())


def spans(settings: Settings, *questions: str) -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    work(settings, *questions, exporter=memory)
    return list(memory.get_finished_spans())


def test_a_call_is_a_span_within_its_item_within_its_run() -> None:
    settings = load_settings(binds=["caption_image=openai:gpt-4o"])
    chat, call, item, run = spans(settings, "what color?")
    assert [(span.name, span.kind.name) for span in (chat, call, item, run)] == [
        ("chat qwen", "CLIENT"),
        ("execute_tool answer_question", "INTERNAL"),
        ("invoke_agent mtg", "INTERNAL"),
        ("ctgi caption", "INTERNAL"),
    ]
    assert call.context and item.context and run.context
    parents = [span.parent and span.parent.span_id for span in (chat, call, item, run)]
    assert parents == [call.context.span_id, item.context.span_id, run.context.span_id, None]
    assert dict(chat.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "qwen",
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.seed": settings.endpoint(VLLM).seed,
        "gen_ai.request.temperature": settings.endpoint(VLLM).temperature,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "gpu-box",
        "server.port": 8000,
    }
    assert dict(call.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "answer_question",
        "gen_ai.tool.type": "function",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "qwen",
        "server.address": "gpu-box",
        "server.port": 8000,
        "ctgi.cached": False,
        "ctgi.retries": 2,
    }
    assert dict(item.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "mtg",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "api.openai.com",
        "server.port": 443,
        "ctgi.image.sha256": "sha-1",
    }
    assert run.resource.attributes["service.name"] == "ctgi"


def test_calls_at_once_stay_in_their_item_and_a_cached_one_says_so() -> None:
    found = spans(load_settings(), "a?", "again?", "b?")
    *calls, item, _ = (span for span in found if not span.name.startswith("chat"))
    assert len(found) - len(calls) == 4  # the cached call reached no model
    assert item.context
    assert [span.parent and span.parent.span_id for span in calls] == [item.context.span_id] * 3
    assert sorted(bool((span.attributes or {})["ctgi.cached"]) for span in calls) == [False, False, True]


def test_texts_stay_here_unless_they_are_asked_for() -> None:
    told = "".join(span.to_json() for span in spans(load_settings(), "what color?", "fail?"))
    assert "red coat" not in told
    assert "what color" not in told
    assert "anna" not in told
    assert "secret" not in told


@pytest.mark.parametrize("by", ["toml", "environment"])
def test_with_content_the_texts_go_along_and_images_by_their_hash(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "environment":
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    settings = load_settings(telemetry={"content": by == "toml"})
    chat, call = (dict(span.attributes or {}) for span in spans(settings, "what color?")[:2])
    assert json.loads(str(call["gen_ai.tool.call.arguments"])) == {
        "image": {"sha256": "sha-1"}, "question": "what color?", "description": "", "turns": [],
    }  # fmt: skip
    assert json.loads(str(call["gen_ai.tool.call.result"]))["text"] == "a red coat"
    (asked,) = json.loads(str(chat["gen_ai.input.messages"]))
    assert (asked["role"], [part["type"] for part in asked["parts"]]) == ("user", ["uri", "text"])
    assert asked["parts"][0]["uri"] == "sha256:sha-1"
    assert "what color?" in asked["parts"][1]["content"]
    (said,) = json.loads(str(chat["gen_ai.output.messages"]))
    assert said["parts"] == [{"type": "text", "content": "a red coat"}]
    assert (said["role"], said["finish_reason"]) == ("assistant", "stop")
    assert json.loads(str(chat["gen_ai.system_instructions"]))[0]["type"] == "text"


def test_a_result_that_is_no_object_stands_in_one() -> None:
    async def compare(text: str, others: list[str]) -> list[float]:
        return [0.25, 0.5]

    async def compare_once(exporter: InMemorySpanExporter) -> None:
        settings = load_settings(telemetry={"content": True})
        with reporting(settings, "mtg", "caption", DIRECT, exporter=exporter) as interceptor:
            await interceptor.serve("compare_texts", Binding.parse("embedded"), lambda: compare)(
                "red", ["blue", "green"]
            )

    memory = InMemorySpanExporter()
    asyncio.run(compare_once(memory))
    call = memory.get_finished_spans()[0].attributes or {}
    assert json.loads(str(call["gen_ai.tool.call.arguments"])) == {"text": "red", "others": ["blue", "green"]}
    assert json.loads(str(call["gen_ai.tool.call.result"])) == {"value": [0.25, 0.5]}


def test_words_that_are_no_unicode_do_not_cost_the_other_spans() -> None:
    """The name of a file may be any bytes; protobuf takes Unicode only, and a batch is lost as a whole."""

    async def fail(image: ImageRef) -> Reply:
        raise ImageError("caf\udce9.png", "damaged image")

    async def look(settings: Settings) -> None:
        with reporting(settings, "mtg", "caption", DIRECT) as interceptor, suppress(ImageError):
            await interceptor.serve("caption_image", VLLM, lambda: fail)(IMAGE)

    with running_collector() as collector_double:
        asyncio.run(look(load_settings(telemetry={"endpoint": collector_double.url, "content": True})))
    failed, _ = collector_double.spans
    assert (failed.status.message, len(failed.events)) == ("caf?.png: damaged image", 1)


def test_a_failed_call_is_marked_and_still_raises() -> None:
    for failed in spans(load_settings(), "fail?")[:2]:  # the call of the model, and the tool's
        assert failed.status.status_code.name == "ERROR"
        assert failed.status.description is None
        assert (failed.attributes or {})["error.type"] == "ToolError"

    async def raises() -> None:
        with reporting(load_settings(), "mtg", "caption", DIRECT, exporter=InMemorySpanExporter()) as interceptor:
            answerer = Answerer(interceptor.model(VLLM, ScriptedMllm(script)))
            await interceptor.serve("answer_question", VLLM, lambda: answerer)(IMAGE, "fail?")

    with pytest.raises(ToolError, match="red coat"):
        asyncio.run(raises())


def test_a_recorder_around_hears_the_notes_too() -> None:
    with noting() as meta:
        spans(load_settings(), "a?")
        spans(load_settings(), "again?")
    assert (meta.src, meta.retries) == ("cache", 2)


def test_a_graph_of_the_callers_own_has_spans_without_a_model() -> None:
    memory = InMemorySpanExporter()
    with reporting(load_settings(), "mine", "mine", DIRECT, exporter=memory) as run, run.item({"query": "a man"}):
        pass
    item = memory.get_finished_spans()[0]
    assert item.name == "invoke_agent mine"
    assert "gen_ai.request.model" not in (item.attributes or {})


def test_nothing_is_sent_unless_an_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collector(load_settings()) is None
    with reporting(load_settings(), "mtg", "caption", DIRECT) as interceptor:
        assert interceptor is DIRECT
    assert collector(load_settings(telemetry={"endpoint": "http://a:4318/"})) == "http://a:4318/v1/traces"
    assert collector(load_settings(telemetry={"endpoint": "http://a/x/?k=v"})) == "http://a/x/v1/traces?k=v"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:4318")
    assert collector(load_settings()) == "http://b:4318/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/spans")
    assert collector(load_settings()) == "http://c/spans"
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert collector(load_settings()) is None


def test_spans_reach_a_collector() -> None:
    with running_collector() as collector_double:
        settings = load_settings(telemetry={"endpoint": collector_double.url})
        work(settings, *(f"{number}?" for number in range(30)))
    assert set(collector_double.paths) == {"/v1/traces"}
    sent = collector_double.spans
    assert sorted({span.name for span in sent}) == [
        "chat qwen", "ctgi caption", "execute_tool answer_question", "invoke_agent mtg",
    ]  # fmt: skip
    assert len(sent) == 62
    assert len({span.trace_id for span in sent}) == 1
    assert b"red coat" not in b"".join(span.SerializeToString() for span in sent)


def test_a_collector_that_is_down_costs_a_warning_and_is_given_up_in_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause before a second try is longer than the time that there is: none is made."""
    monkeypatch.setattr("ctgi.tools.telemetry._TIMEOUT_S", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        settings = load_settings(telemetry={"endpoint": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        work(settings, "a?")
    assert "Failed to export spans batch due to timeout" in caplog.text
    assert "Transient error" not in caplog.text


def test_a_collector_here_is_reached_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    with running_collector() as here:
        work(load_settings(telemetry={"endpoint": here.url}), "a?")
    assert here.paths == ["/v1/traces"]


def test_a_collector_elsewhere_is_told_with_its_proxy_and_without_passwords(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("http_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running_collector() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:proxy-secret@"))
        work(load_settings(telemetry={"endpoint": "http://me:col@lector-secret@spans.example/?k=query-secret"}), "a?")
    assert proxy.paths == ["http://spans.example/v1/traces?k=query-secret"]
    assert proxy.headers[0]["authorization"] == basic_authorization("me", "col@lector-secret")
    assert proxy.headers[0]["proxy-authorization"] == basic_authorization("me", "proxy-secret")
    assert f"go to http://spans.example/v1/traces, through the proxy {proxy.url} (HTTP_PROXY)" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("endpoint", "proxy", "said"),
    [
        ("http://spans.example", "socks5://u:hidden@127.0.0.1:9", "ALL_PROXY names a socks5 proxy"),
        ("spans.example:4318", "", "the OpenTelemetry collector: expected an address"),
        ("http://u:hid/den@spans.example", "", "%2F"),
    ],
)
def test_a_collector_that_cannot_be_reached_by_rule_is_one_line(
    endpoint: str, proxy: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(CtgiError, match=said) as raised:
        work(load_settings(telemetry={"endpoint": endpoint}), "a?")
    assert "hid" not in str(raised.value)


def test_the_environments_keys_go_to_its_own_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-environment,authorization=Basic%20abc")
    with running_collector() as here:
        work(load_settings(telemetry={"endpoint": here.url}), "a?")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", here.url)
        work(load_settings(telemetry={"endpoint": here.url}), "a?")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://elsewhere.example")
        work(load_settings(telemetry={"endpoint": here.url}), "a?")
    assert [headers.get("x-key") for headers in here.headers] == ["of-the-environment"] * 2 + [None]
    assert ["authorization" in headers for headers in here.headers] == [True, True, False]


def test_the_reply_of_a_collector_is_not_read_and_no_redirect_followed(caplog: pytest.LogCaptureFixture) -> None:
    with running_collector() as elsewhere, running_collector() as here:
        here.claims = 10**9
        work(load_settings(telemetry={"endpoint": here.url}), "a?")
        assert (here.paths, caplog.text) == (["/v1/traces"], "")
        here.paths.clear()
        here.status, here.location, here.claims = 307, f"{elsewhere.url}/v1/traces", 10**9
        work(load_settings(telemetry={"endpoint": here.url}), "a?")
    assert here.paths == ["/v1/traces"]
    assert elsewhere.paths == []


@pytest.mark.parametrize("by", ["toml", "environment"])
def test_without_the_extra_the_cure_is_named(
    by: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    if by == "toml":
        with pytest.raises(CtgiError, match=r"pip install 'ctgi\[otel\]'"):
            work(load_settings(telemetry={"endpoint": "http://127.0.0.1:1"}), "a?")
    else:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        work(load_settings(), "a?")
        assert "ctgi[otel]" in caplog.text
        assert "nothing is sent" in caplog.text
