"""The grounder: lets a multimodal model that returns boxes (Qwen2.5-VL and later) find people."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ctgi.agents.prompts import prompt
from ctgi.config import Endpoint, Settings
from ctgi.errors import ToolError
from ctgi.retrieval.images import ImageRef, image_size
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.images import bounded_size
from ctgi.tools.types import Box, Detection, Detections

SCENE_PIXELS = 1_003_520
"""Scenes are sent up to this area, unless the endpoint's max_pixels says otherwise: people in them are small."""
_IN_PX = re.compile(r"qwen2[._]?5[._-]?(?:vl|omni)", re.IGNORECASE)
"""Models that give px of the image as they see it; others are asked for 0 to 1000."""
_PATCH_PX = 28
_THOUSAND = 1000
_MAX_TOKENS = 2048
_KEYS = ("bbox_2d", "bbox", "box_2d", "box")
_OBJECT = re.compile(r"\{[^{}]*\}")
_FOUR = re.compile(r"\[\s*(-?[\d.]+(?:\s*,\s*-?[\d.]+){3})\s*\]")
_PEOPLE = re.compile(
    r"\b(?:person|people|pedestrian|human|man|men|woman|women|boy|girl|child|adult)s?\b", re.IGNORECASE
)
_NOBODY = re.compile(r"\b(?:no|not any|none)\b", re.IGNORECASE)


def grounding(settings: Settings, tools: Iterable[str]) -> dict[str, Any]:
    """The role of detect_people under these settings, if it is among the tools."""
    if "detect_people" not in tools:
        return {}
    binding = settings.binding("detect_people")
    endpoint = settings.endpoint(binding)
    bounds = (endpoint.min_pixels, endpoint.max_pixels)
    return {"detect_people": partial(Grounder, model=binding.model, bounds=bounds)}


def for_scenes(settings: Settings) -> Settings:
    """These settings with larger images for the model that finds people."""
    name = settings.binding("detect_people").endpoint
    own = settings.endpoints.get(name, Endpoint())
    if "max_pixels" in own.model_fields_set:
        return settings
    larger = Endpoint(**own.model_dump(exclude_unset=True), max_pixels=SCENE_PIXELS)
    return settings.model_copy(update={"endpoints": settings.endpoints | {name: larger}})


@dataclass(frozen=True)
class Grounder:
    """detect_people by a multimodal model."""

    mllm: Mllm
    model: str = ""
    """Its name, which tells how it counts."""
    bounds: tuple[int, int] = (1, SCENE_PIXELS)
    """The least and the largest area, in px, in which images are sent."""

    async def __call__(self, image: ImageRef) -> Detections:
        """Picture -> people, without scores.

        Raises:
            ToolError: the reply has no boxes and does not say that there is nobody.
        """
        in_px = bool(_IN_PX.search(self.model))
        text = prompt("locate_in_px" if in_px else "locate")
        reply = await self.mllm.chat(ChatRequest(text, image, max_tokens=_MAX_TOKENS))
        size = image_size(image.path)
        seen = _as_seen(bounded_size(*size, *self.bounds)) if in_px else (_THOUSAND, _THOUSAND)
        boxes = [*_boxes(reply.text)]
        if not boxes and "[]" not in reply.text.replace(" ", "") and not _NOBODY.search(reply.text):
            raise ToolError(f"{image.path}: the model gave no boxes: {reply.text!r:.160}")
        people = (_scaled(box, seen, size) for box in dict.fromkeys(boxes))
        return Detections(tuple(Detection(box, None) for box in people if box), reply.tokens)


def _as_seen(sent: tuple[int, int]) -> tuple[int, int]:
    """The size in which the model sees an image of this size: whole patches."""
    width, height = (max(_PATCH_PX, round(side / _PATCH_PX) * _PATCH_PX) for side in sent)
    return width, height


def _boxes(text: str) -> Iterator[Box]:
    """The boxes of people in a reply, in the model's own units; an object without its end is left out."""
    objects = _OBJECT.findall(text)
    for written in objects:
        try:
            told = json.loads(written)
        except ValueError:
            continue
        label = told.get("label")
        if isinstance(label, str) and label and not _PEOPLE.search(label):
            continue
        found = _numbers(next((told[key] for key in _KEYS if key in told), None))
        if found:
            yield found
    if not objects:
        for four in _FOUR.findall(text):
            found = _numbers(four.split(","))
            if found:
                yield found


def _numbers(value: Any) -> Box | None:
    try:
        left, top, right, bottom = map(float, value)
    except (TypeError, ValueError):
        return None
    return left, top, right, bottom


def _scaled(box: Box, seen: tuple[int, int], size: tuple[int, int]) -> Box | None:
    """A box in px of the picture, cut at its edges; None if nothing of it is inside."""
    across, down = size[0] / seen[0], size[1] / seen[1]
    edges = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    left, top, right, bottom = (
        round(min(max(edge, 0), end), 1) for edge, end in zip(edges, (*size, *size), strict=True)
    )
    return (left, top, right, bottom) if left < right and top < bottom else None
