"""Requests to the in-process backend that share a forward pass, and what happens when one of them fails."""

import asyncio
import gc
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ctgi.config import Endpoint
from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.hf import HfMllm
from ctgi.tools.backends.hf_features import KEPT_IMAGES
from ctgi.tools.traces.call_notes import timing
from tests.support.small_qwen import (
    COLORS,
    LANGUAGE_MODEL,
    VISION_TOWER,
    before_each,
    computing_all,
    counted,
    one_by_one,
    run,
    together,
)


def mixed_requests(images: list[ImageRef]) -> list[ChatRequest]:
    """Text and choices, with and without an image, dialogues of several lengths, a limit of its own for each."""
    turns = (("What color is the shirt?", "red"), ("And the shoes?", "white, with a blue stripe"))
    free = [
        ChatRequest(f"Describe {i}. " * (i + 1), image, turns[: i % 3], max_tokens=8 + 16 * (i % 2))
        for i, image in enumerate(images)
    ]
    choice = [ChatRequest(f"Is it {c}?", images[i], choices=("yes", "no")) for i, c in enumerate(COLORS)]
    bare = [ChatRequest("Shorten: a person", system="Be brief.", max_tokens=n) for n in (3, 9)]
    return [*free, *choice, *bare, ChatRequest("Pick.", choices=COLORS)]


def test_a_batch_answers_as_one_request_at_a_time_does(model: Path, images: list[ImageRef]) -> None:
    requests = mixed_requests(images)
    with counted(LANGUAGE_MODEL) as alone:
        expected = run(model, one_by_one(requests), batch_size=1)
    with counted(LANGUAGE_MODEL) as batched:
        got = run(model, together(requests), batch_size=4)
    assert batched[0] < 0.6 * alone[0]  # so they did share forward passes
    assert [reply.text for reply in got] == [reply.text for reply in expected]
    assert [reply.tokens for reply in got] == [reply.tokens for reply in expected]
    for a, b in zip(got, expected, strict=True):
        assert a.confidence == pytest.approx(b.confidence, rel=1e-4)
        assert a.choices == pytest.approx(b.choices, rel=1e-4)
    lengths = [reply.tokens.output for reply in expected[:6]]
    assert all(0 < length <= limit for length, limit in zip(lengths, [8, 24] * 3, strict=True))
    assert max(lengths) > 8  # each had a limit of its own
    assert len({reply.text[:2] for reply in expected[:6]}) > 3  # they do depend on what was asked


def test_warm_replies_are_drawn_by_seed_whatever_the_batch(model: Path, images: list[ImageRef]) -> None:
    requests = [ChatRequest(f"Describe {i % 3}", images[i % 2], max_tokens=12) for i in range(5)]
    cold = run(model, together(requests), min_pixels=1)

    warm = run(model, together(requests), min_pixels=1, temperature=1.0)
    with computing_all():
        alone = run(model, one_by_one(requests), min_pixels=1, temperature=1.0)
    other = run(model, together(requests), min_pixels=1, temperature=1.0, seed=1)

    texts = [reply.text for reply in warm]
    assert texts == [reply.text for reply in alone]
    assert all(text != reply.text for text, reply in zip(texts, cold, strict=True))
    assert all(text != reply.text for text, reply in zip(texts, other, strict=True))
    pairs = zip(warm, cold, strict=True)
    assert sum(warm_reply.confidence < cold_reply.confidence for warm_reply, cold_reply in pairs) >= 4


def test_seven_questions_about_an_image_run_the_vision_tower_once(model: Path, images: list[ImageRef]) -> None:
    requests = [ChatRequest(f"Question {i}?", images[0], max_tokens=4) for i in range(7)]
    with counted(VISION_TOWER) as calls:
        got = run(model, one_by_one(requests))
    afresh = [run(model, one_by_one([request]))[0] for request in requests]
    assert calls == [1]
    assert [reply.text for reply in got] == [reply.text for reply in afresh]


def test_the_features_of_all_images_that_are_talked_about_are_kept(
    model: Path, images: list[ImageRef], tmp_path: Path
) -> None:
    many = []
    for i in range(KEPT_IMAGES + 6):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (28, 56), (i, 2 * i, 255 - i)).save(path)
        many.append(ref(str(path)))

    async def ask(mllm: HfMllm) -> int:
        await together([ChatRequest("Hat?", image, max_tokens=1) for image in many])(mllm)
        with counted(VISION_TOWER) as again:
            await together([ChatRequest("Shoes?", image, max_tokens=1) for image in many])(mllm)
        return again[0]

    assert run(model, ask, concurrency=len(many), batch_size=len(many)) == 0


def test_requests_made_at_once_share_a_batch(model: Path, images: list[ImageRef]) -> None:
    async def ask(mllm: HfMllm) -> None:
        await mllm.chat(ChatRequest("Load.", max_tokens=1))
        for i in range(10):
            await together([ChatRequest(f"{i}{j}?", images[0], max_tokens=1) for j in "ab"])(mllm)

    with counted(LANGUAGE_MODEL) as calls:
        run(model, ask)
    assert calls[0] <= 1 + 15  # 10 unless the machine is very busy; 20 would be one by one


def test_a_bad_image_fails_its_own_request_only(model: Path, images: list[ImageRef], tmp_path: Path) -> None:
    for name in ("changed.png", "broken.png", "thin.png"):
        shutil.copy(images[0].path, tmp_path / name)
    changed = ref(str(tmp_path / "changed.png"))
    shutil.copy(images[1].path, changed.path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    Image.new("RGB", (4000, 8)).save(tmp_path / "thin.png")
    bad = [changed, ref(str(tmp_path / "broken.png")), ref(str(tmp_path / "thin.png"))]
    requests = [ChatRequest("What?", image, max_tokens=3) for image in (images[2], *bad, images[3])]

    first, *failed, last = run(model, together(requests))

    assert [type(error) for error in failed] == [ImageError, ImageError, ToolError]
    assert "changed since" in str(failed[0])
    assert "thin.png" in str(failed[2])
    alone = run(model, one_by_one([requests[0], requests[-1]]))
    assert [first.text, last.text] == [reply.text for reply in alone]


def test_a_caller_that_gives_up_does_not_disturb_the_others(model: Path, images: list[ImageRef]) -> None:
    async def ask(mllm: HfMllm) -> list[Any]:
        await mllm.chat(ChatRequest("Load.", max_tokens=1))
        calls = [asyncio.create_task(mllm.chat(ChatRequest(f"{i}?", images[0], max_tokens=40))) for i in range(6)]
        await asyncio.sleep(0.01)
        calls[0].cancel()
        calls[3].cancel()
        return [await asyncio.gather(*calls, return_exceptions=True), await mllm.chat(ChatRequest("More?"))]

    replies, later = run(model, ask, batch_size=2)
    gone = [isinstance(reply, asyncio.CancelledError) for reply in replies]
    assert gone == [True, False, False, True, False, False]
    alone = run(model, one_by_one([ChatRequest(f"{i}?", images[0], max_tokens=40) for i in (1, 2, 4, 5)]))
    assert [reply.text for reply in replies if isinstance(reply, ChatReply)] == [reply.text for reply in alone]
    assert later.tokens.output > 0


def test_an_exception_in_a_batch_reaches_all_its_callers_and_the_next_batch_runs(
    model: Path,
) -> None:
    requests = [ChatRequest(f"{i}?", max_tokens=3) for i in range(4)]

    def fail() -> None:
        raise RuntimeError("a defect in the model's code")

    async def ask(mllm: HfMllm) -> list[Any]:
        with before_each(LANGUAGE_MODEL, fail):
            failed = await together(requests)(mllm)
        return [failed, await together(requests)(mllm)]

    failed, after = run(model, ask)
    assert [str(error) for error in failed] == ["a defect in the model's code"] * 4
    assert [reply.tokens.output for reply in after] == [3] * 4


def test_lack_of_memory_says_what_to_lower(model: Path) -> None:
    with before_each(LANGUAGE_MODEL, lambda: torch.empty(2**50).sum()):
        [error] = run(model, together([ChatRequest("What?")]))
    assert isinstance(error, CtgiError)
    assert "batch_size or max_pixels" in str(error)


def test_closing_ends_the_threads(model: Path) -> None:
    run(model, one_by_one([ChatRequest("What?", max_tokens=1)]))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("ctgi-hf")]


def test_each_call_of_a_batch_takes_its_share_of_the_time(model: Path, images: list[ImageRef]) -> None:
    """Three threads work, so calls cannot have taken more than three times as long as all of them together."""
    clocks = []

    async def timed(mllm: HfMllm, image: ImageRef) -> None:
        with timing() as clock:
            await mllm.chat(ChatRequest("Describe the person.", image, max_tokens=8))
        clocks.append(clock.seconds)

    async def ask(mllm: HfMllm) -> float:
        started = time.perf_counter()
        await asyncio.gather(*(timed(mllm, image) for image in images * 4))
        return time.perf_counter() - started

    whole = run(model, ask, batch_size=24)
    assert len(clocks) == 24
    assert all(seconds > 0 for seconds in clocks)
    assert sum(clocks) <= 3 * whole


def test_a_closed_model_says_so(model: Path) -> None:
    async def ask(mllm: HfMllm) -> None:
        await mllm.aclose()
        await mllm.chat(ChatRequest("Describe the person."))

    with pytest.raises(CtgiError, match="closed already"):
        run(model, ask)


def test_a_caller_that_gave_up_leaves_no_error_that_nobody_took(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def session() -> None:
        mllm = HfMllm(str(tmp_path / "missing"), Endpoint(), "cpu")
        impatient = asyncio.create_task(mllm.chat(ChatRequest("one")))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(CtgiError, match="missing"):
            await mllm.chat(ChatRequest("two"))
        await mllm.aclose()

    asyncio.run(session())
    gc.collect()
    assert "never retrieved" not in caplog.text
