"""Tries every tool with one small real request, for `ctgi tools check`."""

import asyncio
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ctgi.agents.assemble import open_tools, where
from ctgi.agents.pool import QuestionPool, load_pool
from ctgi.config import Settings
from ctgi.errors import CtgiError, EndpointDownError, ToolError
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.backends import Abilities
from ctgi.tools.specs import TOOLS
from ctgi.tools.tool_spec import ToolSpec
from ctgi.tools.types import Detections, Questions, Verdict

_QUERY = "a person in a red shirt"
_UNTRAINED = (
    "CLIP as it comes; the paper retrieves with IRRA or RDE trained on generated captions: name such a run with "
    "--bind search_gallery=trained:runs/irra"
)


@dataclass(frozen=True)
class ToolCheck:
    """The result for one tool: whether it works, what its backend can do (None if not applicable), and its reply."""

    tool: str
    backend: str
    endpoint: str
    works: bool
    seconds: float | None
    images: bool | None
    logprobs: bool | None
    structured: bool | None
    said: str
    note: str | None = None
    """What is missing from what the profile stands for."""


async def check(settings: Settings) -> list[ToolCheck]:
    """Try the tools one after another, so that latencies do not mix. A tool that fails is a result, not an error."""
    pool = load_pool(settings.mtg.question_pool)
    with tempfile.TemporaryDirectory() as folder:
        image, gone = _draw_person(Path(folder) / "person.png"), dict[str, str]()
        found = [await _check(name, settings, pool, image, gone) for name in TOOLS]
    return [replace(one, note=_missing(one.tool, settings)) for one in found]


def _missing(tool: str, settings: Settings) -> str | None:
    """The paper's retriever is one trained on its captions, which nobody but the user has."""
    if (tool, settings.profile) == ("search_gallery", "paper") and settings.binding(tool).endpoint != "trained":
        return _UNTRAINED
    return None


async def _check(name: str, settings: Settings, pool: QuestionPool, image: ImageRef, gone: dict[str, str]) -> ToolCheck:
    """One tool; `gone` holds what cannot be used, an endpoint or a model, with the reason: it is tried once."""
    binding = settings.binding(name)
    place = where(binding, settings)
    served_by = str(binding) if TOOLS[name].role else name  # what no model can serve wants something of its own
    if reason := gone.get(place) or gone.get(served_by):
        return ToolCheck(name, str(binding), place, False, None, None, None, None, reason)
    if binding.endpoint == "human":
        return ToolCheck(name, str(binding), place, True, None, None, None, None, "a person; not asked")
    try:
        seconds, able, said = await _try(name, settings, pool, image)
    except (CtgiError, ToolError) as error:
        if isinstance(error, CtgiError) and binding.model:
            gone[place if isinstance(error, EndpointDownError) else served_by] = str(error)
        return ToolCheck(name, str(binding), place, False, None, None, None, None, str(error))
    if able is None:
        return ToolCheck(name, str(binding), place, True, seconds, None, None, None, said)
    return ToolCheck(name, str(binding), place, True, seconds, able.images, able.logprobs, able.structured, said)


async def _try(
    name: str, settings: Settings, pool: QuestionPool, image: ImageRef
) -> tuple[float, Abilities | None, str]:
    """Seconds, what the backend behind the tool turned out to do, and what it said."""
    if name == "search_gallery":
        seconds, said = await asyncio.to_thread(_try_encoder, settings, image)
        return seconds, None, said
    async with open_tools(settings, [name], pool) as tools:
        tool = tools[name]
        able = await tool.mllm.probe() if hasattr(tool, "mllm") else None
        started = time.perf_counter()
        said = _shown(await tool(**_request(TOOLS[name], image)))
        seconds = time.perf_counter() - started
    return seconds, able, said


def _request(spec: ToolSpec, image: ImageRef) -> dict[str, object]:
    return {**spec.example, **({"image": image} if spec.takes_image else {})}


def _shown(said: Any) -> str:
    """What a tool said, in words."""
    if isinstance(said, Verdict) and said.probability is not None:
        return f"{said.text} (P(yes) {said.probability:.2f})"
    if isinstance(said, Questions):
        return "; ".join(question for _, question in said.items)
    if isinstance(said, Detections):
        return f"{len(said.people)} people"
    return str(getattr(said, "text", said))


def _try_encoder(settings: Settings, image: ImageRef) -> tuple[float, str]:
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.retrieval.images import read_image

    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    started = time.perf_counter()
    text = encoder.encode_texts([_QUERY]).vectors
    picture = encoder.encode_images(encoder.preprocess(read_image(image.path))[None])
    seconds = time.perf_counter() - started
    return seconds, f"cosine {float((text @ picture.T)[0, 0]):.3f}, {encoder.dim} dimensions"


def _draw_person(path: Path) -> ImageRef:
    """A crude figure in a red shirt: a test image that needs no file of the user's."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (128, 384), (150, 150, 150))
    draw = ImageDraw.Draw(image)
    draw.ellipse((44, 20, 84, 70), fill=(205, 160, 130))
    draw.rectangle((26, 74, 102, 200), fill=(200, 30, 30))
    draw.rectangle((32, 200, 96, 370), fill=(40, 60, 160))
    image.save(path)
    return ref(str(path))
