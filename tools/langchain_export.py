"""The tools as LangChain tools, for any tool-calling agent; it names images by id, never by a path."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ctgi.errors import CtgiError, ToolError
from ctgi.retrieval.images import ImageRef

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def as_langchain_tools(tools: Mapping[str, Any], images: Mapping[str, ImageRef]) -> "list[BaseTool]":
    """LangChain tools over the callables of `open_tools` (and a GallerySearch) by name.

    Args:
        tools: tool name -> callable; the names may be any of those exported below.
        images: image id -> image; with those that search_gallery finds, the only images an agent can reach.

    Raises:
        CtgiError: a tool of that name has no LangChain form.
    """
    from langchain_core.tools import StructuredTool

    known = dict(images)
    exported = _exports(tools, known)
    unknown = sorted(set(tools) - set(exported))
    if unknown:
        raise CtgiError(f"{unknown[0]} has no LangChain form; these have: {', '.join(sorted(exported))}")
    return [StructuredTool.from_function(coroutine=exported[name], name=name, handle_tool_error=True) for name in tools]


def _exports(tools: Mapping[str, Any], images: dict[str, ImageRef]) -> dict[str, Any]:
    """One coroutine per tool; its signature and docstring are what the agent's model reads."""

    def find(image_id: str) -> ImageRef:
        if image_id not in images:
            raise _reply(f"no image has the id {image_id!r}; ids come from search_gallery")
        return images[image_id]

    async def caption_image(image_id: str) -> str:
        """Describe the person in an image."""
        return str((await _call(tools["caption_image"], find(image_id))).text)

    async def answer_question(image_id: str, question: str) -> str:
        """Answer a question about the person in an image."""
        return str((await _call(tools["answer_question"], find(image_id), question)).text)

    async def verify_match(image_id: str, description: str) -> dict[str, Any]:
        """Judge whether an image shows the person described: match, and its probability where known."""
        verdict = await _call(tools["verify_match"], find(image_id), description)
        return {"match": verdict.match, "probability": verdict.probability}

    async def search_gallery(query: str, k: int = 10) -> list[dict[str, Any]]:
        """Find people by a description: the best images with their ids and scores, best first."""
        ranking = await _call(tools["search_gallery"], query, k)
        images.update({candidate.image.sha256: candidate.image for candidate in ranking.candidates})
        return [{"image_id": found.image.sha256, "score": round(found.score, 6)} for found in ranking.candidates]

    async def ask_user(question: str) -> str:
        """Ask the person who is searching."""
        return str((await _call(tools["ask_user"], question)).text)

    functions = (caption_image, answer_question, verify_match, search_gallery, ask_user)
    return {function.__name__: function for function in functions}


async def _call(tool: Any, *arguments: Any) -> Any:
    try:
        return await tool(*arguments)
    except ToolError as error:
        raise _reply(str(error)) from None


def _reply(message: str) -> Exception:
    """An error that becomes the tool's reply, so that the agent can try something else."""
    from langchain_core.tools import ToolException

    return ToolException(message)
