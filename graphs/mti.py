"""MTI, multi-turn text interaction (Eqs. 5-7): retrieve -> verify -> propose -> ask -> aggregate -> rerank."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from ctgi.agents.judge import Judgment
from ctgi.agents.languages import words
from ctgi.agents.pool import PoolQuestion, QuestionPool
from ctgi.agents.trust import EVERY_YES, Trust
from ctgi.agents.voting import outvoted
from ctgi.config import MtiSettings
from ctgi.errors import EXHAUSTED, ToolError, exhausted
from ctgi.graphs.mti_state import MtiState, anchors, dialogue, found_in, ranked
from ctgi.graphs.steps import Host, begin, route, step
from ctgi.records import DialogueTurn, Found, VerdictRecord
from ctgi.retrieval.images import ImageRef
from ctgi.tools.protocols import AggregateQuery, AnswerQuestion, ProposeQuestions, SearchGallery, VerifyMatch
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.types import Fact, Ranking, Refinement, Reply, Verdict

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

TOOLS = ("answer_question", "verify_match", "propose_questions", "aggregate_query")
STOP = "stop"
"""What a person types to end the questions early."""


def is_stop(text: str) -> bool:
    """Whether a person ends the questions: "stop", "Stop!"."""
    return words(text) == [STOP]


@dataclass(frozen=True)
class MtiContext:
    """The context of the nodes. In an interactive search a person answers, and there are no anchors."""

    search_gallery: SearchGallery
    verify_match: VerifyMatch
    answer_question: AnswerQuestion
    propose_questions: ProposeQuestions
    aggregate_query: AggregateQuery
    pool: QuestionPool
    judge: Callable[[ImageRef, PoolQuestion, Reply, Sequence[str]], Awaitable[Judgment]]
    settings: MtiSettings
    trust: Trust = EVERY_YES
    """How sure the verifier must be for a match to be confirmed."""
    interactive: bool = False
    interceptor: Interceptor = DIRECT
    """Where searches and nodes begin and end in the trace."""


async def _retrieve(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    ranking = await runtime.context.search_gallery(state["query"], _wanted(state, runtime.context.settings))
    ranked_plainly = _ranked(ranking, state)
    return {
        **ranked_plainly,
        "plain": ranked_plainly["ranking"],
        "round": 1,
        "cursor": 0,
        "early_stop": False,
        "refined_query": None,
        "calls": {"search_gallery": 1},
    }


async def _route_after_retrieve(
    state: MtiState, runtime: Runtime[MtiContext]
) -> Literal["propose", "verify", "__end__"]:
    if not state["ranking"]:
        return END  # type: ignore[return-value]  # langgraph types END as plain str
    return "propose" if runtime.context.interactive or _anchors(state) else "verify"


async def _verify(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    """One wave of candidates at once. Read in rank order, so the anchors are those of a one-by-one loop."""
    settings, start = runtime.context.settings, state["cursor"]
    wave = _wave(state, settings)
    verdicts = await asyncio.gather(
        *(_verdict(runtime, state, rank, found) for rank, found in enumerate(wave, start + 1))
    )
    wanted = settings.max_anchors - len(_anchors(state))
    early = start == 0 and verdicts[0].confirmed and verdicts[0].score > settings.xi
    return {
        "verified": verdicts,
        "anchors": [verdict for verdict in verdicts if verdict.confirmed][: 1 if early else wanted],
        "early_stop": early or state["early_stop"],
        "cursor": start + len(wave),
        "calls": {"verify_match": len(wave)},
    }


def _wave(state: MtiState, settings: MtiSettings) -> list[Found]:
    start = state["cursor"]
    size = 1 if start == 0 else start * (settings.wave_growth - 1) + 1  # 1, then `growth` times the wave before
    return ranked(state)[: settings.k][start : start + size]


async def _verdict(runtime: Runtime[MtiContext], state: MtiState, rank: int, found: Found) -> VerdictRecord:
    image, error = ImageRef(found.path, found.sha256), None
    try:
        verdict = await runtime.context.verify_match(image, _current_query(state))
    except (ToolError, *EXHAUSTED) as failure:  # without a verdict it is not an anchor, and the search goes on
        verdict, error = Verdict(False, None, ""), str(exhausted(failure))
    return VerdictRecord(
        path=image.path, sha256=image.sha256, rank=rank, score=found.score, round=state["round"],
        match=verdict.match, probability=verdict.probability, text=verdict.text, error=error,
        threshold=verdict.threshold,
        doubt=runtime.context.trust.doubt(verdict.probability, rank) if verdict.match else None,
    )  # fmt: skip


async def _route_after_verify(state: MtiState, runtime: Runtime[MtiContext]) -> Literal["verify", "propose", "__end__"]:
    settings = runtime.context.settings
    if state["early_stop"] or len(_anchors(state)) >= settings.max_anchors:
        return "propose"
    if state["cursor"] < min(settings.k, len(state["ranking"])):
        return "verify"
    return "propose" if _anchors(state) else END  # type: ignore[return-value]


async def _propose(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    """Questions about what the query leaves open; those that came with the input are asked as they are."""
    if given := state.get("questions"):
        return {"questions": given}
    context, confirmed = runtime.context, _anchors(state)
    image = ImageRef(confirmed[0].path, confirmed[0].sha256) if confirmed else None
    proposed = await context.propose_questions(
        image,
        _current_query(state),
        count=context.settings.questions,
        asked=[turn.attribute for turn in dialogue(state)],
    )
    return {"questions": list(proposed.items), "calls": {"propose_questions": 1}}


async def _route_after_propose(
    state: MtiState, runtime: Runtime[MtiContext]
) -> Literal["ask_person", "ask_anchor", "aggregate"]:
    if not state["questions"]:
        return "aggregate"
    return "ask_person" if runtime.context.interactive else "ask_anchor"


async def _ask_anchor(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    """Every open question to every anchor, all at once (Eq. 5)."""
    asked = [(anchor, question) for anchor in _anchors(state) for question in state["questions"]]
    answers = await asyncio.gather(
        *(
            runtime.context.answer_question(ImageRef(anchor.path, anchor.sha256), question)
            for anchor, (_, question) in asked
        )
    )
    lost = _outvoted(runtime.context.pool, [attribute for _, (attribute, _) in asked], answers)
    turns: list[DialogueTurn] = []
    for place, ((anchor, (attribute, _)), said) in enumerate(zip(asked, answers, strict=True)):
        turn = await _turn(state, runtime, turns, attribute, said, anchor)
        if place in lost:
            turn = turn.model_copy(update={"kept": False, "reason": lost[place]})
        turns.append(turn)
    return {"dialogue": turns, "calls": {"answer_question": len(turns)}}


def _outvoted(pool: QuestionPool, attributes: Sequence[str], answers: Sequence[Reply]) -> dict[int, str]:
    """By place among all answers: why the anchors that disagree with most others about an attribute are not heard."""
    lost: dict[int, str] = {}
    for attribute in dict.fromkeys(attributes):
        places = [place for place, about in enumerate(attributes) if about == attribute]
        voted = outvoted(pool.question_about(attribute), [answers[place].text for place in places])
        lost |= {places[index]: reason for index, reason in voted.items()}
    return lost


async def _ask_person(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    """One question to the person; the interrupt stands alone, because the node runs again from its start."""
    (attribute, question), *rest = state["questions"]
    answer = str(interrupt({"question": question, "left": len(rest)}))
    if is_stop(answer):
        return {"questions": []}
    turn = await _turn(state, runtime, [], attribute, Reply(answer), None)
    return {"questions": rest, "dialogue": [turn], "calls": {"ask_user": 1}}


async def _turn(
    state: MtiState,
    runtime: Runtime[MtiContext],
    new: list[DialogueTurn],
    attribute: str,
    said: Reply,
    anchor: VerdictRecord | None,
) -> DialogueTurn:
    context = runtime.context
    question = context.pool.question_about(attribute)
    known = [
        state["query"],
        *(turn.statement for turn in (*dialogue(state), *new) if turn.kept),
    ]
    image = ImageRef(anchor.path, anchor.sha256) if anchor else ImageRef("", "")
    judgment = await context.judge(image, question, said, known)
    return DialogueTurn(
        attribute=attribute, question=question.question, answer=said.text, confidence=said.confidence,
        statement=judgment.statement, kept=judgment.reason is None, reason=judgment.reason,
        anchor=anchor.path if anchor else None, round=state["round"],
    )  # fmt: skip


async def _route_after_person(state: MtiState) -> Literal["ask_person", "aggregate"]:
    return "ask_person" if state["questions"] else "aggregate"


async def _aggregate(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    """All that was learned, in every round, refines the original query (Eq. 6); nothing learned, nothing refined."""
    if state["refined_query"] and not any(turn.round == state["round"] for turn in dialogue(state)):
        return {"refined_query": state["refined_query"]}
    facts = [Fact(turn.question, turn.answer, turn.statement) for turn in dialogue(state) if turn.kept]
    if not facts:
        return {"refined_query": None}
    said = await runtime.context.aggregate_query(state["query"], facts)
    return {"refined_query": said.text, "calls": {"aggregate_query": 1}}


async def _route_after_aggregate(state: MtiState) -> Literal["rerank", "__end__"]:
    return "rerank" if state["refined_query"] or anchors(state) else END  # type: ignore[return-value]


async def _rerank(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    """Retrieve with the refined query and fuse (Eq. 7); where nothing was learned, the anchor alone rises."""
    settings = runtime.context.settings
    refinement = Refinement(
        query=_current_query(state),
        anchors=tuple(dict.fromkeys(anchor.sha256 for anchor in anchors(state))),
        weight=settings.lam,
        mode=settings.fusion,
    )
    ranking = await runtime.context.search_gallery(state["query"], _wanted(state, settings), refinement=refinement)
    return {**_ranked(ranking, state), "calls": {"search_gallery": 1}}


async def _route_after_rerank(state: MtiState, runtime: Runtime[MtiContext]) -> Literal["next_round", "__end__"]:
    return "next_round" if state["round"] < runtime.context.settings.rounds else END  # type: ignore[return-value]


async def _next_round(state: MtiState, runtime: Runtime[MtiContext]) -> MtiState:
    return {"round": state["round"] + 1, "cursor": 0, "early_stop": False, "questions": []}


def _wanted(state: MtiState, settings: MtiSettings) -> int:
    """Candidates to ask the gallery for, so that enough are left without those that were set aside."""
    return max(settings.k, state["length"]) + len(state.get("excluded", []))


def _ranked(ranking: Ranking, state: MtiState) -> MtiState:
    aside = state.get("excluded", [])
    found = [one for one in found_in(ranking) if one.sha256 not in aside]
    return {"ranking": found, "truncated_tokens": ranking.truncated_tokens}


def _anchors(state: MtiState) -> list[VerdictRecord]:
    """The candidates confirmed in this round; what a person confirmed counts in every round."""
    return [anchor for anchor in anchors(state) if anchor.by_person or anchor.round == state["round"]]


def _current_query(state: MtiState) -> str:
    return state["refined_query"] or state["query"]


def build_mti(checkpointer: Any = None, host: Host | None = None) -> "CompiledStateGraph[MtiState, MtiContext]":
    """The MTI graph: a query in, a ranking out, refined where a candidate was confirmed or a person answered.

    Args:
        checkpointer: keeps each step of a thread.
        host: serves the graph to clients; None where each run brings its context.
    """
    graph = begin(MtiState, MtiContext, "retrieve", host)
    graph.add_node("retrieve", step(_retrieve, host))
    graph.add_node("verify", step(_verify, host))
    graph.add_node("propose", step(_propose, host))
    graph.add_node("ask_anchor", step(_ask_anchor, host))
    graph.add_node("ask_person", step(_ask_person, host))
    graph.add_node("aggregate", step(_aggregate, host))
    graph.add_node("rerank", step(_rerank, host))
    graph.add_node("next_round", step(_next_round, host))
    graph.add_conditional_edges("retrieve", route(_route_after_retrieve, host))
    graph.add_conditional_edges("verify", route(_route_after_verify, host))
    graph.add_conditional_edges("propose", route(_route_after_propose, host))
    graph.add_edge("ask_anchor", "aggregate")
    graph.add_conditional_edges("ask_person", _route_after_person)
    graph.add_conditional_edges("aggregate", _route_after_aggregate)
    graph.add_conditional_edges("rerank", route(_route_after_rerank, host))
    graph.add_conditional_edges("next_round", route(_route_after_retrieve, host))
    return graph.compile(checkpointer=checkpointer, name="mti")
