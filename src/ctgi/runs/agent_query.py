"""A query through the agent's graph, and its outcome as the same record as that of MTI."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from ctgi.agents.languages import is_english
from ctgi.graphs.agent import AgentContext, Person, build_agent
from ctgi.graphs.agent_state import ANSWER, AgentState, last_artifact, results, this_request
from ctgi.graphs.anchor_trust import overruled, weakness
from ctgi.reading import Json
from ctgi.records import Anchor, DialogueTurn, Found, SearchRecord, VerdictRecord
from ctgi.runs.query import matches, start
from ctgi.tools.traces.interceptor import DIRECT, Interceptor

_STEPS_OF_A_CONVERSATION = 100_000
UNUSED = "not used to refine the query"


async def search_with_agent(
    context: AgentContext, query: str, length: int, *, person: Person | None = None, label: Mapping[str, Any] = {}
) -> SearchRecord:
    """One query, or one conversation, with the agent; `label` is what the trace is to say about it besides.

    Raises:
        CtgiError: an empty query, or a model that cannot call tools.
        EndpointDownError: a server is gone.
        ToolError: the model called no tool at all.
    """
    given = start(query, length)
    steps = _STEPS_OF_A_CONVERSATION if person else 2 * context.settings.calls + 10
    with context.interceptor.item({**given, **label}) as done:
        started = time.perf_counter()
        state = await _compiled().ainvoke(given, {"recursion_limit": steps}, context=context.anew(person))
        found = outcome(state, started, context.interceptor)
        done(found.to_json())
    return found


@cache
def _compiled() -> Any:
    return build_agent()


def outcome(state: AgentState, started: float, interceptor: Interceptor = DIRECT) -> SearchRecord:
    """A finished search by an agent, without what the command adds."""
    messages, refinement = state["messages"], state.get("refinement") or {}
    ranking: list[Found] = state.get("ranking", [])
    verdicts, turns = _verdicts(messages), _dialogue(messages)
    confirmed = [_anchor(sha256, messages, verdicts) for sha256 in refinement.get("anchors", ())]
    answered = last_artifact(this_request(messages), ANSWER)
    return SearchRecord(
        query=state["query"],
        refined_query=refinement.get("query"),
        anchors=tuple(confirmed),
        overruled=overruled(ranking, {one.sha256 for one in confirmed}),
        dialogue=tuple(turns),
        verified=tuple(verdicts),
        rounds=sum(bool((one.artifact or {}).get("refinement")) for _, one in results(messages)),
        calls=state["calls"],
        results=matches(ranking[: state["length"]]),
        truncated_tokens=state.get("truncated_tokens", 0),
        not_english=sum(not is_english(turn.answer) for turn in turns),
        seconds=round(time.perf_counter() - started, 3),
        trace=interceptor.run,
        answer=answered["text"] if answered else _last_words(messages),
        weight=refinement.get("weight"),
        named=len(state.get("named", [])),
        stopped=state.get("stopped"),
    )


def _last_words(messages: list[AnyMessage]) -> str:
    return next((one.text for one in reversed(messages) if isinstance(one, AIMessage)), "")


def _verdicts(messages: list[AnyMessage]) -> list[VerdictRecord]:
    """What was verified, with each image's rank and score in the search before it."""
    places: dict[str, Json] = {}
    told = list[VerdictRecord]()
    for given, one in results(messages):
        artifact = one.artifact or {}
        places |= {found["image_id"]: found | {"rank": rank} for rank, found in enumerate(artifact.get("found", []), 1)}
        image_id = given.get("image_id")
        if one.name != "verify_match" or image_id not in places:
            continue
        place, failed = places[image_id], one.status == "error"
        told.append(
            VerdictRecord(
                path=place["path"], sha256=place["sha256"], rank=place["rank"], score=place["score"],
                match=artifact.get("match", False), probability=artifact.get("probability"),
                text=artifact.get("text", ""), error=str(one.content) if failed else None,
                threshold=artifact.get("threshold", 0.5),
            )
        )  # fmt: skip
    return told


def _anchor(sha256: str, messages: list[AnyMessage], verdicts: list[VerdictRecord]) -> Anchor:
    """An anchor of the agent's choice; one that the verifier did not confirm is weak."""
    found = next((one for one in _found(messages) if one["sha256"] == sha256), None)
    verdict = next((one for one in reversed(verdicts) if one.sha256 == sha256 and not one.error), None)
    if verdict:
        weak = weakness(verdict) if verdict.match else "not confirmed by the verifier"
        return Anchor(path=verdict.path, sha256=sha256, rank=verdict.rank, probability=verdict.probability, weak=weak)
    place = found or {"path": "", "rank": 0}
    return Anchor(path=place["path"], sha256=sha256, rank=place["rank"], probability=None, weak="not verified")


def _found(messages: list[AnyMessage]) -> list[Json]:
    artifacts = [one.artifact or {} for one in messages if isinstance(one, ToolMessage)]
    return [found | {"rank": rank} for one in artifacts for rank, found in enumerate(one.get("found", []), 1)]


def _dialogue(messages: list[AnyMessage]) -> list[DialogueTurn]:
    """Questions with their answers, of images and of the person; kept are those that a refinement was made of."""
    facts = {
        _key(fact.get("question")): str(fact.get("statement") or fact.get("answer") or "")
        for given, one in results(messages)
        if one.name == "aggregate_query" and one.status == "success"
        for fact in given.get("facts", [])
    }
    asked = {call["id"]: call["args"] for one in messages if isinstance(one, AIMessage) for call in one.tool_calls}
    turns, said = list[DialogueTurn](), ""
    for place, one in enumerate(messages):
        if isinstance(one, AIMessage):
            said = one.text
        elif isinstance(one, HumanMessage) and place:
            turns.append(_turn(said, one.text, None, None, facts))
        elif isinstance(one, ToolMessage) and one.name in ("answer_question", "ask_user") and one.artifact:
            artifact = one.artifact
            question, image = str(asked[one.tool_call_id].get("question", "")), artifact.get("path")
            anchor = image if one.name == "answer_question" else None
            turns.append(_turn(question, artifact["text"], artifact.get("confidence"), anchor, facts))
    return turns


def _turn(
    question: str, answer: str, confidence: float | None, anchor: str | None, facts: Mapping[str, str]
) -> DialogueTurn:
    statement = facts.get(_key(question))
    return DialogueTurn(
        attribute="", question=question, answer=answer, confidence=confidence, statement=statement or "",
        kept=statement is not None, reason=None if statement is not None else UNUSED, anchor=anchor,
    )  # fmt: skip


def _key(question: Any) -> str:
    return " ".join(str(question).casefold().split())
