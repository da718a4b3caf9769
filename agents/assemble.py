"""Bindings to callables: opens the backend of each tool a graph needs and puts a role in front of a model."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from ctgi.agents.answerer import Answerer
from ctgi.agents.captioner import Captioner
from ctgi.agents.pool import QuestionPool
from ctgi.agents.proposer import Proposer
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.verifier import Verifier
from ctgi.agents.writers import Aggregator, Reconstructor, TemplateAggregator, TemplateReconstructor
from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError
from ctgi.network import public_url
from ctgi.plugins import OWN_CODE
from ctgi.tools.backends import Mllm, open_mllm
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.seam import DIRECT, Seam

Role = Callable[[Mllm], Any]

_ROLES: dict[str, Role] = {
    "caption_image": Captioner,
    "answer_question": Answerer,
    "verify_match": Verifier,
    "propose_questions": Proposer,
    "reconstruct_caption": Reconstructor,
    "aggregate_query": Aggregator,
}


@asynccontextmanager
async def open_tools(
    settings: Settings,
    names: Iterable[str],
    pool: QuestionPool,
    *,
    cache: ChatCache | None = None,
    roles: Mapping[str, Role] | None = None,
    seam: Seam = DIRECT,
) -> AsyncIterator[dict[str, Any]]:
    """The tools of these names, each served by the backend it is bound to; tools bound alike share one backend.

    Enter it in the event loop that will call the tools: HTTP clients belong to the running loop.
    search_gallery is not opened here: it needs a gallery (ctgi.tools.search_gallery).

    Args:
        settings: bindings and endpoints.
        names: the tools wanted.
        pool: what templates ask from.
        cache: where the models' replies are looked up first and kept.
        roles: by tool, other roles in front of a model than the usual ones.
        seam: what stands between the callers and the tools: a trace that is written, or one that answers.

    Raises:
        CtgiError: a binding names no backend, or one that cannot do this tool.
    """
    mllms: dict[Binding, Mllm] = {}
    speakers = {**_ROLES, **(roles or {})}
    try:
        yield {
            name: seam.serve(
                name, settings.binding(name), partial(_open_tool, name, settings, mllms, pool, cache, speakers, seam)
            )
            for name in names
        }
    finally:
        for mllm in mllms.values():
            await mllm.aclose()


def _open_tool(
    name: str,
    settings: Settings,
    mllms: dict[Binding, Mllm],
    pool: QuestionPool,
    cache: ChatCache | None,
    roles: Mapping[str, Role],
    seam: Seam,
) -> Any:
    binding = settings.binding(name)
    if binding.endpoint == "templates":
        return _template(name, pool)
    if binding.endpoint == "human":
        return _human(name)
    if name not in roles:
        raise CtgiError(f"{name} cannot be bound to {str(binding)!r}: expected human")
    if binding not in mllms:
        mllm = seam.model(binding, open_mllm(binding, settings))
        mllms[binding] = cache.wrap(binding, settings, mllm) if cache else mllm
    return roles[name](mllms[binding])


def _template(name: str, pool: QuestionPool) -> Any:
    if name == "propose_questions":
        return TemplateQuestioner(pool)
    if name == "reconstruct_caption":
        return TemplateReconstructor()
    if name == "aggregate_query":
        return TemplateAggregator()
    raise CtgiError(
        f"{name} is bound to templates, which only compose text: bind it to a model, "
        f"like {name}=vllm:Qwen/Qwen2-VL-7B-Instruct"
    )


def _human(name: str) -> Any:
    from ctgi.tools.backends.human import HUMAN_TOOLS

    if name not in HUMAN_TOOLS:
        raise CtgiError(f"{name} cannot be bound to human; a person can do {', '.join(HUMAN_TOOLS)}")
    return HUMAN_TOOLS[name]


def where(binding: Binding, settings: Settings) -> str:
    """Where a backend answers, in words: a URL, this process, or the terminal."""
    if binding.endpoint == "human":
        return "the terminal"
    if (
        binding.endpoint in ("templates", "embedded", "open_clip", "trained", OWN_CODE)
        or settings.endpoint(binding).provider == "hf"
    ):
        return "this process"
    return public_url(settings.endpoint(binding).base_url or "unknown")
