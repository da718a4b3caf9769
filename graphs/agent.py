"""The agent: a model that decides which tool to call next, until it answers or its budget is spent."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import END
from langgraph.runtime import Runtime
from pydantic import Field

from ctgi.agents.prompts import prompt
from ctgi.config import AgentSettings, MtiSettings
from ctgi.errors import CtgiError, ToolError
from ctgi.graphs.agent_state import (
    ANSWER,
    UNREADABLE,
    AgentState,
    as_message,
    as_refinement,
    as_sent,
    calls_made,
    last_artifact,
    this_request,
    tokens_spent,
)
from ctgi.graphs.mti import is_stop
from ctgi.graphs.mti_state import found_in
from ctgi.graphs.steps import Host, begin, route, step
from ctgi.records import Found
from ctgi.tools.backends.tool_calling import HOW_TO_CALL_TOOLS
from ctgi.tools.desk import Answer, Desk
from ctgi.tools.langchain_export import on_desk
from ctgi.tools.protocols import SearchGallery
from ctgi.tools.specs import TOOLS as ALL_TOOLS
from ctgi.tools.tool_calls import AGENT, Decide
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.types import Refinement

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.graph.state import CompiledStateGraph

TOOLS = ("caption_image", "answer_question", "verify_match", "propose_questions", "aggregate_query")
"""What an agent may call, beside search_gallery, answer, and ask_user where somebody is there."""
_DEPTH = 100
"""Images ranked at the end at least: as many as an agent can have seen in one search."""
_UNREAD_CALLS = ("<tool_call>", "[TOOL_CALLS]", "<function=", "<|python_tag|>")
"""How calls look that a server passes on as text, because it was started without a parser."""


@dataclass(frozen=True)
class Person:
    """Who is searching, where somebody is there; asked through the tool ask_user."""

    goes_on: bool
    """Whether the conversation goes on after an answer."""
    show: Callable[[AgentState], None] = lambda state: None
    """Shows the ranking that the agent came to."""


@dataclass(frozen=True)
class AgentContext:
    """What the nodes work with."""

    decide: Decide
    search_gallery: SearchGallery
    callables: Mapping[str, Any]
    """The tools that the agent may call, search_gallery among them."""
    tools: "Mapping[str, BaseTool]"
    """The same as its model calls them, with `answer`."""
    settings: AgentSettings
    person: Person | None = None
    interceptor: Interceptor = DIRECT

    @property
    def instructions(self) -> str:
        """What its model is told first."""
        sight = prompt("agent_sees" if self.settings.pictures else "agent_blind")
        told = prompt("agent").format(calls=self.settings.calls, sight=sight)
        return f"{told}\n{prompt('agent_person')}" if self.person else told

    def anew(self, person: Person | None = None) -> "AgentContext":
        """The same for another search, whose agent knows no images yet."""
        return replace(self, tools=toolbox(self.callables, pictures=self.settings.pictures), person=person)


async def answer(
    desk: Desk,
    image_ids: Annotated[list[str], Field(description="Ids of the images that show the person, the best first.")],
    text: Annotated[str, Field(description="What was found, in one or two sentences.")] = "",
) -> Answer:
    """Answer the person with the images found; this ends the search."""
    found = [desk.find(image_id) for image_id in dict.fromkeys(image_ids)]
    return "answered", {"named": [image.sha256 for image in found], "text": text}


def toolbox(callables: Mapping[str, Any], *, pictures: bool = False) -> "dict[str, BaseTool]":
    """These tools and `answer` as a model calls them, at a desk of their own; pictures are named, not held."""
    forms = {name: ALL_TOOLS[name].form for name in callables} | {ANSWER: answer}
    return {tool.name: tool for tool in on_desk(forms, Desk(callables, {}, by_name=True), pictures=pictures)}


async def _decide(state: AgentState, runtime: Runtime[AgentContext]) -> AgentState:
    context = runtime.context
    messages: list[AnyMessage] = state.get("messages") or [HumanMessage(state["query"])]
    try:
        said = await context.decide(as_sent(context.instructions, messages))
    except ToolError as error:  # such as a conversation that became too long for the model
        if not calls_made(messages):
            raise
        return {"stopped": f"its model failed: {error}", "calls": {AGENT: 1}, "named": []}
    if any(mark in said.text for mark in _UNREAD_CALLS):
        raise CtgiError(f"the server passes on the agent's calls as text, unread: {HOW_TO_CALL_TOOLS}")
    new = [] if state.get("messages") else messages
    refusal = f"the model refused: {said.text}" if said.refused else None
    return {"messages": [*new, as_message(said)], "calls": {AGENT: 1}, "stopped": refusal, "named": []}


async def _route_after_decide(
    state: AgentState, runtime: Runtime[AgentContext]
) -> Literal["act", "listen", "conclude"]:
    if state.get("stopped"):
        return "conclude"
    if _last(state).tool_calls:
        return "act"
    return "listen" if runtime.context.person else "conclude"


async def _act(state: AgentState, runtime: Runtime[AgentContext]) -> AgentState:
    """All calls of the last message at once, as many as the budget allows; each gets its reply."""
    context, last = runtime.context, _last(state)
    left = max(0, context.settings.calls - calls_made(this_request(state["messages"])))
    made, rest = last.tool_calls[:left], last.tool_calls[left:]
    done = await asyncio.gather(*(_called(context, last, call) for call in made))
    refused = [_told(call, "not called: the budget of calls is spent") for call in rest]
    counts: dict[str, int] = {}
    for call in made:
        if call["name"] in context.callables:
            counts[call["name"]] = counts.get(call["name"], 0) + 1
    answered = next((one.artifact for one in done if one.name == ANSWER and one.artifact), None)
    named = {"named": answered["named"]} if answered else {}
    return {"messages": [*done, *refused], "calls": counts, **named}  # type: ignore[typeddict-item]


async def _called(context: AgentContext, message: AIMessage, call: Any) -> ToolMessage:
    tool, unreadable = context.tools.get(call["name"]), message.additional_kwargs.get(UNREADABLE, {})
    if tool is None:
        return _told(call, f"no tool is called {call['name']!r}: the tools are {', '.join(context.tools)}")
    if call["id"] in unreadable:
        return _told(call, f"the arguments are no JSON object: {unreadable[call['id']]!r}")
    result: ToolMessage = await tool.ainvoke({**call, "type": "tool_call"})
    return result


def _told(call: Any, why: str) -> ToolMessage:
    return ToolMessage(why, name=call["name"], tool_call_id=call["id"], status="error")


async def _route_after_act(state: AgentState, runtime: Runtime[AgentContext]) -> Literal["decide", "conclude"]:
    asked = this_request(state["messages"])
    return "conclude" if last_artifact(asked, ANSWER) or _spent(asked, runtime.context.settings) else "decide"


def _spent(asked: Any, settings: AgentSettings) -> str | None:
    """Which part of the budget is spent."""
    if calls_made(asked) >= settings.calls:
        return f"its {settings.calls} calls are spent"
    tokens = tokens_spent(asked)
    return f"its {settings.tokens:,} tokens are spent ({tokens:,})" if tokens >= settings.tokens else None


async def _conclude(state: AgentState, runtime: Runtime[AgentContext]) -> AgentState:
    """Rank by the last search, with the images that the answer names before all others."""
    context, messages = runtime.context, state["messages"]
    asked, searched = this_request(messages), last_artifact(messages, "search_gallery")
    if not calls_made(messages) and not context.person and not state.get("stopped"):
        said = _last(state).text[:200]
        raise ToolError(f"the agent's model called no tool, and said: {said!r}; {HOW_TO_CALL_TOOLS}")
    stopped = state.get("stopped") or (None if last_artifact(asked, ANSWER) else _spent(asked, context.settings))
    if searched is None and context.person:
        return {"ranking": [], "stopped": stopped, "truncated_tokens": 0}
    query, refinement = _last_search(state, searched, context)
    narrowed = {"where": searched["where"]} if searched and "where" in searched else {}
    ranking = await context.search_gallery(query, max(_DEPTH, state["length"]), refinement=refinement, **narrowed)
    return {
        "query": query,
        "ranking": _named_first(found_in(ranking), state.get("named", []), messages),
        "refinement": asdict(refinement) if refinement else None,
        "truncated_tokens": ranking.truncated_tokens,
        "calls": {"search_gallery": 1},
        "stopped": stopped,
    }


def _last_search(state: AgentState, searched: Any, context: AgentContext) -> tuple[str, Refinement | None]:
    """The query and refinement to rank by; other words for the query count as a refinement that replaces it."""
    if searched is None:
        return state["query"], None
    if context.person and context.person.goes_on:
        return searched["query"], as_refinement(searched["refinement"])
    refinement = as_refinement(searched["refinement"])
    if refinement is None and searched["query"] != state["query"]:
        refinement = Refinement(searched["query"], (), 0.0, MtiSettings().fusion)
    return state["query"], refinement


def _named_first(ranking: list[Found], named: list[str], messages: Any) -> list[Found]:
    """Those that lie below the ranking keep the scores of the search that found them."""
    known = {found.sha256: found for found in ranking}
    for one in messages:
        for found in (one.artifact or {}).get("found", []) if isinstance(one, ToolMessage) else []:
            kept = {name: found.get(name) for name in ("path", "sha256", "score", "score_before", "rank_before")}
            known.setdefault(found["sha256"], Found(**kept))
    first = [known[sha256] for sha256 in named if sha256 in known]
    return first + [found for found in ranking if found.sha256 not in named]


async def _route_after_conclude(state: AgentState, runtime: Runtime[AgentContext]) -> Literal["listen", "__end__"]:
    person = runtime.context.person
    return "listen" if person and person.goes_on else END  # type: ignore[return-value]


async def _listen(state: AgentState, runtime: Runtime[AgentContext]) -> AgentState:
    """The person's reply to what the agent says."""
    person = runtime.context.person
    assert person is not None
    answered = last_artifact(this_request(state["messages"]), ANSWER)
    if answered or state.get("stopped"):
        person.show(state)
    words = answered["text"] if answered else _last(state).text
    said = (await runtime.context.callables["ask_user"](words)).text
    if not said.strip() or is_stop(said):
        return {"over": True}
    return {"messages": [HumanMessage(said)], "calls": {"ask_user": 1}, "over": False}


async def _route_after_listen(
    state: AgentState, runtime: Runtime[AgentContext]
) -> Literal["decide", "conclude", "__end__"]:
    if not state.get("over"):
        return "decide"
    person = runtime.context.person
    return END if person and person.goes_on else "conclude"  # type: ignore[return-value]


def _last(state: AgentState) -> AIMessage:
    return next(one for one in reversed(state["messages"]) if isinstance(one, AIMessage))


def build_agent(checkpointer: Any = None, host: Host | None = None) -> "CompiledStateGraph[AgentState, AgentContext]":
    """The agent's graph: a query in, a ranking out, by the calls that a model decides on.

    Args:
        checkpointer: keeps each step of a thread.
        host: serves the graph to clients; None where each run brings its context.
    """
    graph = begin(AgentState, AgentContext, "decide", host)
    graph.add_node("decide", step(_decide, host))
    graph.add_node("act", step(_act, host))
    graph.add_node("listen", step(_listen, host))
    graph.add_node("conclude", step(_conclude, host))
    graph.add_conditional_edges("decide", route(_route_after_decide, host))
    graph.add_conditional_edges("act", route(_route_after_act, host))
    graph.add_conditional_edges("listen", route(_route_after_listen, host))
    graph.add_conditional_edges("conclude", route(_route_after_conclude, host))
    return graph.compile(checkpointer=checkpointer, name="agent")
