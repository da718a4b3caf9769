"""What `ctgi evaluate` computes: metrics of a split, MTI over its queries, sweeps, and curves by turn."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.agents.splitting import ReadStored
from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.graphs.agent import TOOLS as AGENT_TOOLS
from ctgi.graphs.agent import AgentContext
from ctgi.graphs.contexts import open_agent
from ctgi.graphs.mti import TOOLS, MtiContext
from ctgi.reading import Json
from ctgi.retrieval.dialogue_metrics import dialogue_curves
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.evaluate import EncodedSplit
from ctgi.retrieval.metrics import QueryMetrics, evaluate_blocks, measure_queries
from ctgi.runs.evaluate_dialogue import Turns, anchor_turns, oracle_turns
from ctgi.runs.evaluation import MtiRow, NotRefined, NotVerified, TurnCurves, User
from ctgi.runs.events import Events
from ctgi.runs.interactions import (
    Choice,
    Interaction,
    calls_per_query,
    choose,
    fused_blocks,
    interact_all,
    open_evaluation,
)
from ctgi.runs.origin import digest_of, root_of
from ctgi.runs.recording import Act, recording
from ctgi.runs.split_search import SplitSearch
from ctgi.tools.chat_cache import open_chat_cache
from ctgi.tools.tool_calls import AGENT

_TOLD = 20
"""Number of failures that are listed one by one."""


@dataclass(frozen=True)
class MtiRun:
    """The dialogues of all queries of a split, and what they are ranked in."""

    encoded: EncodedSplit
    gallery: SplitSearch
    interactions: list[Interaction | None]
    failed: list[tuple[int, str]]
    settings: Settings
    variant: str
    turns: dict[User, list[Turns]]
    calls: dict[str, int]
    """Made and reused in this run, with tokens."""
    trace: str | None = None
    """The trace of this run."""

    @property
    def unverified(self) -> tuple[NotVerified, ...]:
        """The candidates that no verdict was given on, and why; they counted as no match."""
        asked = (
            NotVerified(query, verdict.path, verdict.error)
            for query, one in enumerate(self.interactions)
            for search in ((one.full, one.early) if one else ())
            for verdict in (search.verified if search else ())
            if verdict.error
        )
        return tuple(dict.fromkeys(asked))

    @property
    def stopped(self) -> list[tuple[int, str]]:
        """The queries whose agent was stopped before it answered, and why."""
        found = enumerate(self.interactions)
        return [(query, one.full.stopped) for query, one in found if one and one.full.stopped]

    @property
    def failures(self) -> tuple[NotRefined, ...]:
        """The queries that were not refined because a tool failed, and why."""
        return tuple(NotRefined(query, reason) for query, reason in self.failed)

    def choices(self, xi: float) -> list[Choice | None]:
        """Each query's dialogue under this xi; None where a tool failed."""
        k = min(self.settings.mti.k, len(self.gallery.images))
        return [choose(one, xi, self.variant, k) if one else None for one in self.interactions]

    def blocks(self, choices: Sequence[Choice | None], lam: float) -> Iterator[NDArray[np.float32]]:
        """Eq. 7, [Q, G], in blocks of rows."""
        return fused_blocks(self.encoded.text_features, self.gallery, choices, lam, self.settings.mti.fusion)

    def scores(self, query: int, choice: Choice | None) -> NDArray[np.float32]:
        """Eq. 7 for one query at the settings' lambda, [G]."""
        vector = self.encoded.text_features[query : query + 1]
        mti = self.settings.mti
        row: NDArray[np.float32] = next(fused_blocks(vector, self.gallery, [choice], mti.lam, mti.fusion))[0]
        return row

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, images)."""
        return len(self.encoded.text_features), len(self.gallery.images)

    @property
    def pids(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the queries, and of the images."""
        return self.encoded.split.caption_pids, self.encoded.split.image_pids


async def run_mti(
    encoded: EncodedSplit,
    encoder: Encoder,
    settings: Settings,
    folder: Path,
    events: Events,
    *,
    variant: str = "ctgi",
    users: Sequence[User] = (),
    trace: bool = True,
    stored: ReadStored | None = None,
) -> MtiRun:
    """MTI for every caption of the split, many at once; captions `stored` of the images choose the questions.

    Replies are kept in `folder`, and come from it where it has them. `events` hears what failed. With `trace` every
    call is recorded in a trace of this run.

    Raises:
        CtgiError: an unknown variant, or a binding that cannot do its tool.
        EndpointDownError: a server is gone; run the same again to go on.
    """
    queries = encoded.split.captions
    gallery = SplitSearch(queries, encoded.text_features, encoded.images, encoded.image_features, encoder)
    asked = (AGENT,) if variant == AGENT else TOOLS
    in_flight = 2 * max(settings.endpoint(settings.binding(tool)).at_once for tool in asked)
    kept = open_chat_cache(folder / "calls.sqlite")
    with recording(_act(encoded, variant), settings, events, trace=trace, cache=kept) as opened:
        opening: AbstractAsyncContextManager[MtiContext | AgentContext] = (
            open_agent(settings, lambda: gallery, interceptor=opened.interceptor, cache=opened.cache)
            if variant == AGENT
            else open_evaluation(settings, gallery, opened.cache, variant, opened.interceptor, stored)
        )
        async with opening as context:
            with events.progress("interact", len(queries)) as update:
                found, failed = await interact_all(
                    context, queries, in_flight=in_flight, on_progress=update, label=partial(_label, encoded)
                )
            run = MtiRun(encoded, gallery, found, failed, settings, variant, {}, {}, opened.interceptor.run)
            if isinstance(context, MtiContext):
                for user in users:
                    run.turns[user] = await _turns(user, run, context, in_flight)
                    await _read(gallery, run.turns[user])
        made = opened.cache
        run.calls.update(made=made.made, reused=made.reused, tokens_in=made.tokens.input, tokens_out=made.tokens.output)
    _tell_failures(run, events)
    return run


def _act(encoded: EncodedSplit, variant: str) -> Act:
    given = {"variant": variant, "images": digest_of(encoded.images), "split": encoded.split.name}
    root = root_of([image.path for image in encoded.images])
    if variant == AGENT:
        return Act("evaluate", AGENT, (AGENT, "search_gallery", *AGENT_TOOLS), given, root, told=(AGENT, *AGENT_TOOLS))
    return Act("evaluate", "mti", ("search_gallery", *TOOLS), given, root, told=TOOLS)


def _tell_failures(run: MtiRun, events: Events) -> None:
    """Queries that were not refined, and candidates that no verdict was given on."""
    lines = [f"not refined: caption {one.caption}: {one.reason}" for one in run.failures]
    lines += [f"stopped: caption {query}: {reason}" for query, reason in run.stopped]
    lines += [f"not verified: caption {one.caption}: {one.path}: {one.reason}" for one in run.unverified]
    for line in lines[:_TOLD]:
        events.warn(line)
    if len(lines) > _TOLD:
        events.warn(f"and {len(lines) - _TOLD} more: --json and result.json list them all")


def _label(encoded: EncodedSplit, query: int) -> Json:
    """The label of a query in the trace: its index in the split, and the images of its person."""
    split = encoded.split
    right = [image.sha256 for image, pid in zip(encoded.images, split.image_pids, strict=True)
             if pid == split.caption_pids[query]]  # fmt: skip
    return {"caption": query, "right": right}


async def _turns(user: User, run: MtiRun, context: MtiContext, in_flight: int) -> list[Turns]:
    split = run.encoded.split
    if user == "anchor":
        choices = run.choices(run.settings.mti.xi)
        return await anchor_turns(context, split.captions, [c.search if c and c.is_reranked else None for c in choices])
    targets = [run.encoded.images[image] for image in split.caption_images]
    turns, failed = await oracle_turns(
        context, split.captions, targets, in_flight=in_flight, on_progress=lambda done: None
    )
    run.failed.extend(failed)
    return turns


async def _read(gallery: SplitSearch, turns: Sequence[Turns]) -> None:
    for text in {text for one in turns for text in one.texts}:
        await gallery.vector(text)


# --- numbers


def mti_row(run: MtiRun, lam: float, xi: float) -> MtiRow:
    """Metrics, calls and rates at one lambda and one xi; no model is called."""
    choices = run.choices(xi)
    answered = [choice for choice in choices if choice]
    calls = calls_per_query(choices, run.settings, run.variant)
    return MtiRow(
        lam=lam,
        xi=xi,
        metrics=evaluate_blocks(run.blocks(choices, lam), run.shape, *run.pids),
        calls_per_query={tool: round(mean, 3) for tool, mean in calls.items()},
        early_stop_rate=_share(choice.early for choice in answered),
        refined_rate=_share(choice.refined_query is not None for choice in answered),
        anchor_precision=_anchor_precision(run, choices),
    )


def check_sweep(settings: Settings, variant: str) -> None:
    """Check that a sweep is possible from what one run stores.

    Raises:
        CtgiError: more than one round, whose later candidates depend on lambda.
    """
    if settings.mti.rounds > 1 and variant == "ctgi":
        raise CtgiError("a sweep needs [mti] rounds = 1: what a second round verifies depends on lambda")


def sweep(run: MtiRun, lams: Sequence[float], xis: Sequence[float]) -> list[MtiRow]:
    """`mti_row` at every pair of values.

    Raises:
        CtgiError: more than one round, whose later candidates depend on lambda.
    """
    check_sweep(run.settings, run.variant)
    return [mti_row(run, lam, xi) for lam, xi in product(lams, xis)]


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return round(sum(values) / len(values), 4) if values else 0.0


def _anchor_precision(run: MtiRun, choices: Sequence[Choice | None]) -> float | None:
    """Share of anchors that show the query's person; None without an anchor."""
    queries, images = run.pids
    right = [
        any(images[column] == queries[row] for column in run.gallery.columns([anchor]))
        for row, choice in enumerate(choices)
        if choice
        for anchor in choice.anchors
    ]
    return _share(right) if right else None


def measure_refined(run: MtiRun, lam: float, xi: float) -> QueryMetrics:
    """The metrics of each query after MTI."""
    return measure_queries(run.blocks(run.choices(xi), lam), run.shape, *run.pids)


def write_scores(out: Path, run: MtiRun) -> None:
    """Keep what S and R are made of: features of queries, refined queries and images, with anchors and pids.

    S is `queries @ images.T` and R is `refined @ images.T`; `anchor` holds a column of R or -1 for none.

    Raises:
        CtgiError: `out` cannot be written.
    """
    choices = run.choices(run.settings.mti.xi)
    refined = run.encoded.text_features.copy()
    anchors = np.full(len(choices), -1)
    for row, choice in enumerate(choices):
        if choice and choice.refined_query is not None:
            refined[row] = run.gallery.known_vector(choice.refined_query)
        if choice and choice.anchors:
            anchors[row] = run.gallery.columns(choice.anchors[:1])[0]
    content = io.BytesIO()
    queries, images = run.pids
    np.savez(
        content,
        queries=run.encoded.text_features,
        refined=refined,
        images=run.encoded.image_features,
        anchor=anchors,
        query_pids=queries,
        image_pids=images,
    )
    write_whole(out, content.getvalue())


# --- turn by turn


def turn_curves(run: MtiRun, user: User) -> TurnCurves:
    """Metrics and ranks after each turn, and the questions put."""
    turns = run.turns[user]
    length = max(len(one.texts) for one in turns)
    measured = [measure_queries(_turn_blocks(run, turns, turn), run.shape, *run.pids) for turn in range(length)]
    asked = sum(one.calls for one in turns) / len(turns)
    ranks = np.stack([one.first for one in measured], axis=1)
    return TurnCurves(user, tuple(one.mean() for one in measured), dialogue_curves(ranks), asked)


def _turn_blocks(run: MtiRun, turns: Sequence[Turns], turn: int) -> Iterator[NDArray[np.float32]]:
    """Eq. 7 after some turns; before the first, every query keeps S."""
    choices = [_as_choice(one, turn) for one in turns]
    return run.blocks(choices, run.settings.mti.lam)


def _as_choice(turns: Turns, turn: int) -> Choice | None:
    text = turns.texts[min(turn, len(turns.texts) - 1)]
    return Choice(None if text == turns.texts[0] else text, turns.anchors if turn else ())
