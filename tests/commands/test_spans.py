from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ctgi.retrieval.images import digest
from ctgi.testing import ScriptedServer
from tests.support.commands import Run
from tests.support.looking_model import look
from tests.support.otlp_collector import attributes, running_collector


@pytest.fixture
def bind(double: ScriptedServer) -> list[str]:
    double.replies = look
    return ["-b", f"images=vllm:double@{double.url}"]


def test_a_run_is_traced_and_sends_its_spans(
    ctgi: Run, bind: list[str], people: Path, double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        report = ctgi("caption", people, *bind, "--json")
        assert report.code == 0, report.err
        sent = list(collector.spans)
        assert ctgi("trace", "replay", "last").code == 0
        assert len(collector.spans) == len(sent)  # a replay is offline, in this too
    (run,) = [span for span in sent if span.name == "ctgi caption"]
    items = [span for span in sent if span.name == "invoke_agent mtg"]
    calls = [span for span in sent if span.name.startswith("execute_tool ")]
    assert attributes(run)["ctgi.trace"] == report.json["trace"]
    assert {span.parent_span_id for span in items} == {run.span_id}
    assert {span.parent_span_id for span in calls} == {span.span_id for span in items}
    assert {attributes(span)["ctgi.image.sha256"] for span in items} == {digest(str(path)) for path in people.iterdir()}
    chats = [span for span in sent if span.name == "chat double"]
    assert {span.kind for span in chats} == {Span.SPAN_KIND_CLIENT}
    assert len(chats) == len(double.seen)
    assert {span.parent_span_id for span in chats} <= {span.span_id for span in calls}
    for name, count in report.json["tokens"].items():
        assert sum(int(attributes(span).get(f"gen_ai.usage.{name}_tokens", 0)) for span in sent) == count
    assert {attributes(span)["gen_ai.provider.name"] for span in items} == {"vllm"}
    trace = ctgi("trace", "show", report.json["trace"], "--json").json
    assert (trace["summary"]["items"], trace["summary"]["calls"]) == (len(items), len(calls))


def test_without_an_endpoint_nothing_is_sent(ctgi: Run, bind: list[str], people: Path) -> None:
    with running_collector() as collector:
        assert ctgi("caption", people, *bind, "--no-trace").code == 0
    assert collector.paths == []
