"""A tool that ctgi does not have, as somebody would add it: one file, and one line in the table of tools."""

from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field

from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest, Mllm
from ctgi.tools.desk import Answer, Desk
from ctgi.tools.tool_spec import Profiles, ToolSpec
from ctgi.tools.types import Reply


class CountPeople(Protocol):
    """Say how many people an image shows."""

    async def __call__(self, image: ImageRef, unit: str = "people") -> Reply:
        """Image -> a number in words."""
        ...


@dataclass(frozen=True)
class Counter:
    """count_people by a multimodal model."""

    mllm: Mllm

    async def __call__(self, image: ImageRef, unit: str = "people") -> Reply:
        """Raises as the model does."""
        return Reply((await self.mllm.chat(ChatRequest(f"How many {unit} are there?", image))).text)


async def ask_a_person(image: ImageRef, unit: str = "people") -> Reply:
    return Reply("as many as you see")


async def count_people(desk: Desk, image_id: str, unit: Annotated[str, Field(description="What to count.")]) -> Answer:
    """Count the people in an image."""
    said, artifact = await desk.call("count_people", image_id, unit=unit)
    return said.text, artifact


SPEC = ToolSpec(
    "count_people",
    CountPeople,
    Reply,
    Profiles("embedded", "vllm:double", "openai:gpt-4o", "embedded"),
    count_people,
    role="tests.support.ninth_tool:Counter",
    human="tests.support.ninth_tool:ask_a_person",
    example={"unit": "persons"},
    looks=True,
)
