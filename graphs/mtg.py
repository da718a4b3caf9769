"""MTG, multi-turn text generation: describe -> (choose -> ask -> relevance -> dedupe) x N -> reconstruct.

The paper, section 3.2: T_s by Eq. 1 (describe), the dialogue over the dynamic pool (choose, ask), the filter of answers
(relevance, dedupe), T_e by Eqs. 2 and 3 (reconstruct).
"""

import operator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command

from ctgi.agents.judge import Judge, Judgment
from ctgi.agents.pool import PoolQuestion, QuestionPool
from ctgi.config import MtgSettings
from ctgi.graphs.steps import Host, begin, step
from ctgi.records import CaptionRecord, Turn
from ctgi.retrieval.images import ImageRef
from ctgi.tools.protocols import AnswerQuestion, CaptionImage, ReconstructCaption
from ctgi.tools.traces.call_notes import timing
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.types import Fact, Reply, Tokens

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

TOOLS = ("caption_image", "answer_question", "reconstruct_caption")
SPLIT_NODES = {"judge": ("relevance", "dedupe")}
"""Nodes of ctgi 0.1, which its traces name, and what does their work."""


@dataclass(frozen=True)
class MtgContext:
    """The context of the nodes: tools, question pool, judge and numbers."""

    caption_image: CaptionImage
    answer_question: AnswerQuestion
    reconstruct_caption: ReconstructCaption
    pool: QuestionPool
    judge: Judge
    settings: MtgSettings
    interceptor: Interceptor = DIRECT
    """Where nodes begin and end in the trace."""


class MtgState(TypedDict, total=False):
    """One image's dialogue."""

    image: ImageRef
    """path and sha256; the bytes never enter the state."""
    initial_caption: str
    attribute: str | None
    """What is asked about now; None when the pool has nothing left to ask."""
    answer: Reply
    turns: Annotated[list[Turn], operator.add]
    caption: str
    tokens: Annotated[Tokens, operator.add]


async def _describe(state: MtgState, runtime: Runtime[MtgContext]) -> MtgState:
    """The initial caption T_s (Eq. 1)."""
    said = await runtime.context.caption_image(state["image"])
    return {"initial_caption": said.text, "tokens": said.tokens, "turns": []}


async def _choose(state: MtgState, runtime: Runtime[MtgContext]) -> Command[Literal["ask", "reconstruct"]]:
    """The next question of the dynamic pool, N rounds of them (section 3.2)."""
    attribute = _next_attribute(state, runtime)
    return Command(update={"attribute": attribute}, goto="ask" if attribute else "reconstruct")


def _next_attribute(state: MtgState, runtime: Runtime[MtgContext]) -> str | None:
    context, turns = runtime.context, state["turns"]
    if len(turns) >= context.settings.turns:
        return None
    question = context.pool.next(
        " ".join(_known(state)),
        asked=[turn.attribute for turn in turns],
        there=[turn.attribute for turn in turns if turn.kept],
        seed=f"{context.settings.seed}/{state['image'].sha256}",
    )
    return question.attribute if question else None


async def _ask(state: MtgState, runtime: Runtime[MtgContext]) -> MtgState:
    """Its answer a_i from the image, the description and the turns before."""
    said = await runtime.context.answer_question(
        state["image"],
        _question(state, runtime).question,
        description=state["initial_caption"],
        turns=[(turn.question, turn.answer) for turn in state["turns"]],
    )
    return {"answer": said, "tokens": said.tokens}


async def _relevance(state: MtgState, runtime: Runtime[MtgContext]) -> Command[Literal["dedupe", "choose"]]:
    """First half of the filter ("low semantic relevance"): an answer that is unusable or off the image ends here."""
    question, answer = _question(state, runtime), state["answer"]
    judgment = await runtime.context.judge.relevance(state["image"], question, answer, _known(state))
    if judgment.reason is None:
        return Command(goto="dedupe")
    return Command(update={"turns": [_turn(question, answer, judgment)]}, goto="choose")


async def _dedupe(state: MtgState, runtime: Runtime[MtgContext]) -> MtgState:
    """Second half of the filter ("redundant information"): what an answer adds to what is known is kept."""
    question, answer = _question(state, runtime), state["answer"]
    judgment = await runtime.context.judge.dedupe(question, answer, _known(state))
    return {"turns": [_turn(question, answer, judgment)]}


def _turn(question: PoolQuestion, answer: Reply, judgment: Judgment) -> Turn:
    return Turn(
        attribute=question.attribute,
        question=question.question,
        answer=answer.text,
        confidence=answer.confidence,
        statement=judgment.statement,
        kept=judgment.reason is None,
        reason=judgment.reason,
    )


async def _reconstruct(state: MtgState, runtime: Runtime[MtgContext]) -> MtgState:
    """The dense caption T_e, out of T_s and the kept answers (Eqs. 2 and 3 in one call)."""
    facts = [Fact(turn.question, turn.answer, turn.statement) for turn in state["turns"] if turn.kept]
    if not facts:
        return {"caption": state["initial_caption"]}
    said = await runtime.context.reconstruct_caption(state["initial_caption"], facts)
    return {"caption": said.text, "tokens": said.tokens}


def _question(state: MtgState, runtime: Runtime[MtgContext]) -> PoolQuestion:
    question = runtime.context.pool.by_attribute(str(state["attribute"]))
    assert question is not None  # the pool chose it
    return question


def _known(state: MtgState) -> list[str]:
    return [state["initial_caption"], *(turn.statement for turn in state["turns"] if turn.kept)]


def build_mtg(host: Host | None = None) -> "CompiledStateGraph[MtgState, MtgContext]":
    """The MTG graph: an image in, a dense pseudo-caption out; stops after N turns or when nothing is left to ask.

    Args:
        host: serves the graph to clients; None where each run brings its context.
    """
    graph = begin(MtgState, MtgContext, "describe", host)
    graph.add_node("describe", step(_describe, host))
    graph.add_node("choose", step(_choose, host))
    graph.add_node("ask", step(_ask, host))
    graph.add_node("relevance", step(_relevance, host))
    graph.add_node("dedupe", step(_dedupe, host))
    graph.add_node("reconstruct", step(_reconstruct, host))
    graph.add_edge("describe", "choose")
    graph.add_edge("ask", "relevance")
    graph.add_edge("dedupe", "choose")
    graph.add_edge("reconstruct", END)
    return graph.compile(name="mtg")


async def caption(graph: Any, context: MtgContext, image: ImageRef) -> CaptionRecord:
    """One image through the graph: its record of captions.jsonl, but for `bindings` and `trace`.

    Raises:
        ToolError: a call failed for good; the image has no caption.
        EndpointDownError: a server is gone.
    """
    limit = 4 * context.settings.turns + 10  # describe, choose, reconstruct and four nodes a turn
    with timing() as clock:
        state = await graph.ainvoke({"image": image}, {"recursion_limit": limit}, context=context)
    return CaptionRecord(
        path=image.path,
        sha256=image.sha256,
        initial_caption=state["initial_caption"],
        turns=tuple(state["turns"]),
        caption=state["caption"],
        seconds=round(clock.seconds, 3),
        tokens=asdict(state["tokens"]),
    )
