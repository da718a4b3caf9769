"""The embedded checkpoint says the same in this process and behind a real vLLM server."""

import asyncio
from pathlib import Path

import pytest

from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import load_settings
from ctgi.embedded import MLLM
from ctgi.retrieval.images import ref
from tests.servers.server_process import ModelServer
from tests.support.drawn_people import draw_people

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUESTIONS = ("upper_color", "lower_type", "bag", "hair", "action", "glasses")
DESCRIPTIONS = ("woman with red bag", "A man in a black jacket and blue jeans.", "A person wearing a dress.")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return list(draw_people(tmp_path_factory.mktemp("people"), 8))


async def converse(bind: str, people: list[Path]):
    """Captions, answers after the caption, and P(yes) of every image."""
    pool = load_pool(None)
    settings = load_settings(binds=[bind], endpoints={"vllm": {"min_pixels": 1}, "hf": {"min_pixels": 1}})
    async with open_tools(settings, ("caption_image", "answer_question", "verify_match"), pool) as tools:

        async def one(path: Path):
            image = ref(str(path))
            caption = (await tools["caption_image"](image)).text
            asked = [pool.by_attribute(name).question for name in QUESTIONS]
            answers = await asyncio.gather(
                *(tools["answer_question"](image, question, description=caption) for question in asked)
            )
            verdicts = await asyncio.gather(*(tools["verify_match"](image, text) for text in DESCRIPTIONS))
            return [caption, *(said.text for said in answers)], [verdict.probability for verdict in verdicts]

        return await asyncio.gather(*(one(path) for path in people))


def test_the_same_checkpoint_answers_the_same_in_process_and_in_vllm(vllm_server: ModelServer, people):
    served = asyncio.run(converse(f"images=vllm:{vllm_server.model}@{vllm_server.base_url}", people))
    here = asyncio.run(converse(f"images=hf:{MLLM}", people))  # `embedded` would drop what the model cannot see

    texts = [(mine, theirs) for (words, _), (others, _) in zip(here, served, strict=True)
             for mine, theirs in zip(words, others, strict=True)]  # fmt: skip
    assert len(texts) == len(people) * (1 + len(QUESTIONS))
    # Two implementations: a word in balance may fall the other way.
    assert sum(mine == theirs for mine, theirs in texts) >= 0.95 * len(texts), texts
    gaps = [abs(mine - theirs) for (_, sure), (_, others) in zip(here, served, strict=True)
            for mine, theirs in zip(sure, others, strict=True)]  # fmt: skip
    assert sorted(gaps)[int(len(gaps) * 0.9)] < 0.05
