"""Prompts that go on from what is computed already: the replies are those of whole prompts, for less work."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Gemma3Config, Qwen2VLConfig

from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.hf import HfMllm
from ctgi.tools.backends.hf_continued import can_continue
from ctgi.tools.backends.hf_prefixes import Computed, KeptDialogues, start_of
from ctgi.tools.backends.hf_prompt import Prompt
from tests.support.small_qwen import Ask, computing_all, counted_tokens, run, together

SYSTEM = "You help to find a person in photographs by what can be seen: clothing, colors, shoes and bags."
ASKED = ("Describe the person.", "Which shoes, and is there any bag to be seen?", "A hat?")


def of_each(images: list[ImageRef]) -> Ask:
    """A dialogue about each image, all at once, each with a request without an image and two verdicts between."""

    async def dialogue(mllm: HfMllm, image: ImageRef, number: int) -> list[ChatReply]:
        replies: list[ChatReply] = []
        said: tuple[tuple[str, str], ...] = ()
        for question in ASKED[number % 2 :]:
            replies.append(await mllm.chat(ChatRequest(question, image, said, SYSTEM, max_tokens=6)))
            said += ((question, replies[-1].text),)
            replies.append(await mllm.chat(ChatRequest(f"Shorten: {number}", system=SYSTEM, max_tokens=6)))
        replies.append(await mllm.chat(ChatRequest("Another?", image, said[:1], SYSTEM, max_tokens=6)))
        verdicts = [ChatRequest(f"Is it {word}?", image, said[:1], choices=("yes", "not at all")) for word in "ab"]
        return [*replies, *await asyncio.gather(*map(mllm.chat, verdicts))]

    async def ask(mllm: HfMllm) -> list[ChatReply]:
        pairs = [dialogue(mllm, image, number) for number, image in enumerate(images)]
        return [reply for replies in await asyncio.gather(*pairs) for reply in replies]

    return ask


def assert_alike(got: list[ChatReply], expected: list[ChatReply]) -> None:
    assert [reply.text for reply in got] == [reply.text for reply in expected]
    assert [reply.tokens for reply in got] == [reply.tokens for reply in expected]
    for one, other in zip(got, expected, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-4)
        assert one.choices == pytest.approx(other.choices, rel=1e-4)


Whole = tuple[int, list[ChatReply]]


@pytest.fixture(scope="module")
def whole(model: Path, images: list[ImageRef]) -> Whole:
    """The replies to whole prompts, and the number of tokens that were computed for them."""
    with computing_all(), counted_tokens() as tokens:
        replies = run(model, of_each(images[:4]), batch_size=4)
    return tokens[0], replies


@pytest.mark.parametrize(("kept_bytes", "least", "most"), [(2**29, 0.0, 0.5), (200_000, 0.5, 2.0)])
def test_dialogues_go_on_as_if_all_were_computed_again(
    model: Path,
    images: list[ImageRef],
    whole: Whole,
    monkeypatch: pytest.MonkeyPatch,
    kept_bytes: int,
    least: float,
    most: float,
) -> None:
    """With room for all dialogues, and with so little that they are forgotten between turns."""
    computed, expected = whole
    monkeypatch.setattr("ctgi.tools.backends.hf_prefixes.KEPT_BYTES", kept_bytes)
    with counted_tokens() as tokens:
        got = run(model, of_each(images[:4]), batch_size=4)
    assert_alike(got, expected)
    assert least * computed < tokens[0] < most * computed


def test_several_questions_about_a_new_image_compute_it_once(model: Path, images: list[ImageRef]) -> None:
    requests = [ChatRequest(f"{number}?", images[0], system=SYSTEM, max_tokens=1) for number in range(8)]
    with computing_all(), counted_tokens() as all_of_them:
        expected = run(model, together(requests))
    with counted_tokens() as once:
        got = run(model, together(requests))
    assert_alike(got, expected)
    assert once[0] < 0.3 * all_of_them[0]


def about(image: str, *ids: int) -> Prompt:
    """5 is an image's token."""
    tokens = {"input_ids": torch.tensor([ids]), "mm_token_type_ids": torch.tensor([[int(i == 5) for i in ids]])}
    return Prompt(tokens, {}, image, max_tokens=8, thinking=False, choices=())


def computed(image: str, *ids: int) -> Computed:
    return Computed(image, torch.tensor(ids), [(torch.zeros(1, len(ids), 2), torch.zeros(1, len(ids), 2))])


@pytest.mark.parametrize(
    ("prompt", "kept", "length"),
    [
        (about("a", 1, 5, 5, 2, 3), computed("a", 1, 5, 5, 2, 4, 4), 4),
        (about("a", 1, 5, 5, 2, 3), computed("a", 1, 5, 5, 2, 3, 9), 4),  # the last is left
        (about("a", 1, 5, 5, 2, 3), computed("a", 1, 5), 2),
        (about("a", 1, 5, 5, 2, 3), computed("b", 1, 5, 5, 2, 3), 1),  # another image
        (about("a", 1, 5, 5, 2, 3), computed("a", 2, 5, 5, 2, 3), 0),
        (about("", 1, 2, 3), computed("a", 1, 2, 5, 5), 2),
    ],
)
def test_a_prompt_goes_on_where_it_first_differs(prompt: Prompt, kept: Computed, length: int) -> None:
    assert start_of(prompt, kept).length == length


def test_dialogues_that_rested_longest_make_room() -> None:
    size = computed("a", 1, 5, 5, 2).bytes
    kept = KeptDialogues(images=9, max_bytes=2 * size)
    for image in "abca":
        kept.keep(computed(image, 1, 5, 5, 2))
    lengths = {image: kept.start(about(image, 1, 5, 5, 2, 3)).length for image in "abc"}
    assert lengths == {"a": 4, "b": 1, "c": 4}  # of b only what comes before the image
    kept.keep(computed("d", *range(10, 30)))  # alone too large
    assert kept.start(about("c", 1, 5, 5, 2, 3)).length == 0
    few = KeptDialogues(images=1, max_bytes=9 * size)
    for image in "ab":
        few.keep(computed(image, 1, 5, 5, 2))
    assert [few.start(about(image, 1, 5, 5, 2, 3)).length for image in "ab"] == [1, 4]


@pytest.mark.parametrize(
    ("config", "can"),
    [
        (Qwen2VLConfig(), True),
        (Qwen2VLConfig(text_config={"use_sliding_window": True, "max_window_layers": 2}), False),
        (Gemma3Config(), False),
    ],
)
def test_only_where_each_token_sees_all_before_it(config: Any, can: bool) -> None:
    assert can_continue(SimpleNamespace(config=config)) is can
