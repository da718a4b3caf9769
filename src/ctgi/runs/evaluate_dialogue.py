"""Dialogues turn by turn, for curves: with the anchor that MTI found, or with an oracle that sees the target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ctgi.errors import ToolError
from ctgi.graphs.mti import MtiContext
from ctgi.records import SearchRecord
from ctgi.retrieval.images import ImageRef
from ctgi.runs.batch import run_many
from ctgi.tools.types import Fact


@dataclass(frozen=True)
class Turns:
    """One query's text after 0, 1, 2 ... turns, and the anchors whose refined similarity counts as 1."""

    texts: tuple[str, ...]
    """The original query first; a turn that added nothing repeats the text before it."""
    anchors: tuple[str, ...] = ()
    """sha256."""
    calls: int = 0
    """Questions put to the image."""


async def oracle_turns(
    context: MtiContext,
    queries: Sequence[str],
    targets: Sequence[ImageRef],
    *,
    in_flight: int,
    on_progress: Callable[[int], None],
) -> tuple[list[Turns], list[tuple[int, str]]]:
    """A user who looks at the target image answers every question: an upper bound, for no real search knows the target.

    Args:
        context: MTI's tools; nothing is verified.
        queries: Q texts.
        targets: the image that each query describes.
        in_flight: queries at once.
        on_progress: called with the number of queries done.

    Returns:
        Turns of each query, those that failed with their text unchanged, and (query, reason) of each failure.
    """

    async def work(query: int) -> Turns:
        facts = await _interview(context, targets[query], queries[query])
        return Turns(await _texts(context, queries[query], facts), calls=len(facts))

    turns, failed = [Turns((query,)) for query in queries], []
    done = 0
    async for query, result in run_many(range(len(queries)), work, in_flight=in_flight):
        if isinstance(result, ToolError):
            failed.append((query, str(result)))
        else:
            turns[query] = result
        on_progress(done := done + 1)
    return turns, sorted(failed)


async def anchor_turns(
    context: MtiContext, queries: Sequence[str], searches: Sequence[SearchRecord | None]
) -> list[Turns]:
    """The dialogues that MTI had, told turn by turn; no user and no label takes part.

    Args:
        context: MTI's tools; only aggregate_query is called, once per turn that a model sums up.
        queries: Q texts.
        searches: what `ctgi.runs.query.search` gave for each; None for a query that is left as it is.
    """
    turns = []
    for query, search in zip(queries, searches, strict=True):
        dialogue = search.dialogue if search else ()
        facts = [Fact(turn.question, turn.answer, turn.statement) if turn.kept else None for turn in dialogue]
        anchors = tuple(anchor.sha256 for anchor in search.anchors) if search else ()
        turns.append(Turns(await _texts(context, query, facts), anchors, len(facts)))
    return turns


async def _interview(context: MtiContext, image: ImageRef, query: str) -> list[Fact | None]:
    """The questions of one round put to an image in their order; None for an answer that was dropped."""
    proposed = await context.propose_questions(image, query, count=context.settings.questions)
    known, facts = [query], list[Fact | None]()
    for attribute, text in proposed.items:
        said = await context.answer_question(image, text)
        judgment = await context.judge(image, context.pool.question_about(attribute), said, known)
        kept = judgment.reason is None
        facts.append(Fact(text, said.text, judgment.statement) if kept else None)
        known += [judgment.statement] if kept else []
    return facts


async def _texts(context: MtiContext, query: str, facts: Sequence[Fact | None]) -> tuple[str, ...]:
    texts, kept = [query], list[Fact]()
    for fact in facts:
        if fact:
            kept.append(fact)
        texts.append((await context.aggregate_query(query, kept)).text if fact else texts[-1])
    return tuple(texts)
