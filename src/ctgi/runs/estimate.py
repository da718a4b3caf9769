"""What captioning or MTI would cost, from image sizes and prompt lengths, without calling a model."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctgi.agents.abilities import askable
from ctgi.agents.pool import load_pool
from ctgi.agents.prompts import prompt, worded
from ctgi.captions import read_captions
from ctgi.config import Endpoint, Settings
from ctgi.errors import ImageError
from ctgi.places import Placed
from ctgi.reading import Json
from ctgi.retrieval.finding import find_sources
from ctgi.retrieval.images import digest, image_size
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources.reading import read_ahead
from ctgi.runs.captions_file import Captioned
from ctgi.runs.events import Events

_CHARACTERS_PER_TOKEN = 4  # English prose under a BPE vocabulary
_CAPTION_TOKENS, _ANSWER_TOKENS, _RECONSTRUCTED_TOKENS = 50, 10, 100  # typical of a 7B model on person crops
_VERDICT_TOKENS = 2
_CELL_PX = 28  # Qwen2-VL: one token per 28 x 28 px


def estimate(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    events: Events,
    *,
    limit: int | None = None,
) -> Json:
    """Calls and tokens for the images without a caption: an upper bound, because no question is skipped.

    Image tokens are Qwen2-VL's. `uncached_input_tokens` leaves out what the earlier call of a dialogue sent already.
    `failed` lists the images that cannot be captioned: each is decoded as it would be for a model.

    Raises:
        CtgiError: an input is missing.
    """
    captioned = Captioned(_captioned(out), lambda: _captioned(out))
    endpoint = settings.endpoint(settings.binding("caption_image"))
    sizes: list[int] = []
    failed = []
    already = 0
    passed = PassedOver()
    for found in read_ahead(find_sources(inputs, passed, reading=True)):
        path = found.path
        try:
            if found.fault:
                raise ImageError(path, found.fault)
            if captioned.holds(path, digest(path)):
                already += 1
            elif limit is None or len(sizes) < limit:
                sizes.append(image_tokens(*image_size(path), endpoint))
        except ImageError as error:
            failed.append({"path": path, "reason": error.reason})
    for line in passed.lines():
        events.tell(line)
    for one in failed:
        events.warn(f"cannot be captioned: {one['path']}: {one['reason']}")
    counts = {"images": len(sizes), "already": already, "failed": failed}
    return {**counts, **_cost(sizes, settings), "passed_over": passed.endings}


def _captioned(out: Path) -> Iterator[Placed]:
    for number, line in enumerate(read_captions(out) if out.is_file() else ()):
        if line.has_caption:
            yield number, line.path, line.sha256


def image_tokens(width: int, height: int, endpoint: Endpoint) -> int:
    """Qwen2-VL's tokens for an image brought within the endpoint's pixel bounds."""
    area = width * height
    scale = math.sqrt(min(max(area, endpoint.min_pixels), endpoint.max_pixels) / area)
    return max(1, round(width * scale / _CELL_PX)) * max(1, round(height * scale / _CELL_PX))


def _cost(sizes: list[int], settings: Settings) -> dict[str, int]:
    questions = askable(load_pool(settings.mtg.question_pool), settings).questions
    turns, told = min(settings.mtg.turns, len(questions)), worded(settings.prompts)
    question = sum(_tokens(told("answer").format(question=q.question)) for q in questions) // len(questions)
    head = _tokens(told("system")) + _tokens(told("caption"))
    turn = question + _ANSWER_TOKENS
    by_model = settings.binding("reconstruct_caption").endpoint != "templates"
    rewrite = _tokens(told("reconstruct")) + _CAPTION_TOKENS + turns * turn if by_model else 0
    images, image_sum = len(sizes), sum(sizes)
    text = head + sum(head + _CAPTION_TOKENS + question + past * turn for past in range(turns)) + rewrite
    new_text = head + _CAPTION_TOKENS + turns * turn + rewrite
    return {
        "calls": images * (1 + turns + by_model),
        "image_tokens": image_sum * (1 + turns),
        "input_tokens": image_sum * (1 + turns) + images * text,
        "uncached_input_tokens": image_sum + images * new_text,
        "output_tokens": images * (_CAPTION_TOKENS + turns * _ANSWER_TOKENS + by_model * _RECONSTRUCTED_TOKENS),
    }


def _tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def estimate_mti(captions: Sequence[str], images: Sequence[str], settings: Settings, variant: str) -> dict[str, int]:
    """What MTI over these queries would cost at most: every candidate verified, and one refinement each.

    Image tokens are Qwen2-VL's, of the mean image.

    Raises:
        ImageError: an image cannot be read.
    """
    endpoint = settings.endpoint(settings.binding("verify_match"))
    image = sum(image_tokens(*image_size(path), endpoint) for path in images) // len(images)
    query = sum(map(_tokens, captions)) // len(captions)
    asked, looks, answers = _interview(settings, variant)
    by_model = settings.binding("aggregate_query").endpoint != "templates"
    proposes = variant != "icl" and settings.binding("propose_questions").endpoint != "templates"
    told = worded(settings.prompts)
    k, head = min(settings.mti.k, len(images)), _tokens(told("system"))
    text = k * (head + _tokens(told("verify")) + query) + looks * head + asked
    text += by_model * (head + _tokens(told("aggregate")) + query + asked + answers)
    text += proposes * (head + _tokens(told("propose")) + query)
    seen = (k + looks + proposes) * image
    one = {
        "calls": k + looks + proposes + by_model,
        "image_tokens": seen,
        "input_tokens": seen + text,
        "output_tokens": k * _VERDICT_TOKENS + answers + (proposes + by_model) * _RECONSTRUCTED_TOKENS,
    }
    return {"queries": len(captions)} | {name: len(captions) * value for name, value in one.items()}


def _interview(settings: Settings, variant: str) -> tuple[int, int, int]:
    """Tokens of the questions about one query, the calls that put them, and tokens of the answers."""
    if variant == "icl":
        text = prompt("thi_questions")
        return _tokens(text), 1, _ANSWER_TOKENS * text.count("\n")
    looks = settings.mti.questions * settings.mti.max_anchors
    questions = askable(load_pool(settings.mtg.question_pool), settings).questions
    told = worded(settings.prompts)
    question = sum(_tokens(told("answer").format(question=q.question)) for q in questions) // len(questions)
    return looks * question, looks, looks * _ANSWER_TOKENS
