"""A record's seconds are its own: what was spent on other images meanwhile is not in them."""

from pathlib import Path
from typing import Any

import pytest

from ctgi.config import load_settings
from ctgi.runs.caption import CaptionReport, caption_images
from ctgi.runs.events import Logged
from ctgi.testing import ScriptedServer
from tests.support.traces import read, wordy


async def caption(people: Path, **endpoint: Any) -> tuple[CaptionReport, list[dict[str, Any]]]:
    out = people.parent / "captions.jsonl"
    out.unlink(missing_ok=True)
    settings = load_settings(binds=[f"images={endpoint.pop('bind')}"], **endpoint)
    report = await caption_images([str(people)], out, settings, Logged(), trace=False)
    assert report.failed == []
    return report, read(out)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_waiting_for_a_slot_does_not_count(double: ScriptedServer, people: Path, monkeypatch: Any) -> None:
    """One call at a time: together the images cannot have taken longer than the run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(people.parent))
    double.replies, double.latency_s = wordy(), 0.005
    endpoints = {"vllm": {"concurrency": 1}}
    report, records = await caption(people, bind=f"vllm:double@{double.url}", endpoints=endpoints)
    assert len(records) == 8
    for record in records:
        assert record["seconds"] >= 0.005 * (1 + len(record["turns"])) - 0.001  # each of its calls took that long
    assert sum(record["seconds"] for record in records) <= report.seconds + 0.01


@pytest.mark.anyio
async def test_an_answer_from_the_cache_takes_no_time(double: ScriptedServer, people: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(people.parent))
    double.replies = wordy()
    await caption(people, bind=f"vllm:double@{double.url}")
    report, records = await caption(people, bind=f"vllm:double@{double.url}")
    assert (report.calls, {record["seconds"] for record in records}) == (0, {0.0})
