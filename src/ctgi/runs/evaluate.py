"""A retriever measured on a data set, alone and with MTI."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctgi.config import Settings
from ctgi.corrections import told
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.graphs.agent import TOOLS as AGENT_TOOLS
from ctgi.graphs.mti import TOOLS
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.retrieval.benchmarks.memories import read_memories
from ctgi.retrieval.benchmarks.sampling import spread_queries
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.evaluate import EncodedSplit, encode_split, measure_images, measure_texts
from ctgi.retrieval.metrics import QueryMetrics
from ctgi.retrieval.resampling import intervals
from ctgi.runs.captioned import captioned_split
from ctgi.runs.evaluate_mti import MtiRun, measure_refined, mti_row, run_mti, sweep, turn_curves, write_scores
from ctgi.runs.evaluate_witness import TOOLS as WITNESS_TOOLS
from ctgi.runs.evaluate_witness import WitnessRun, run_witness
from ctgi.runs.evaluation import Evaluation, Intervals, MtiEvaluation, Sample, User, WitnessEvaluation
from ctgi.runs.events import Events
from ctgi.runs.origin import digest_of
from ctgi.runs.query_results import write_queries
from ctgi.tools.candidate_sheet import MAX_CANDIDATES
from ctgi.tools.tool_calls import AGENT


@dataclass(frozen=True)
class DataSpec:
    """The captions and images to measure."""

    layout: str
    """One of `ctgi.retrieval.benchmarks.datasets.DATA`."""
    root: Path
    split: str = "test"
    captions: str = "human"
    """human, initial:FILE or mtg:FILE."""
    limit: int | None = None
    """Only so many captions as queries, drawn over all people, against the whole gallery."""
    seed: int = 0
    """Of that draw."""
    gallery_captions: Path | None = None
    """Captions of the images, searched as well."""

    def load(self, events: Events) -> tuple[Split, Sample | None]:
        """The split, and how its queries were drawn if not all captions are queries.

        Counts of a plain folder, of corrected captions and of a sample are reported.

        Raises:
            CtgiError: the data set cannot be read.
        """
        dataset = load_dataset(self.layout, self.root, captions=self.captions)
        whole = dataset.split(self.split)
        if not dataset.is_published:
            events.tell(whole.overview(dataset.root))
        if len({*whole.image_pids}) == 1:
            events.warn(
                f"{self.split}: all of its {len(whole.images):,} images show the same person, so whatever is found is "
                "right and every figure is 100 %: a split with several people tells models apart"
            )
        if dataset.corrected:
            events.tell(told(dataset.corrected))
        if self.limit is None or self.limit >= len(whole.captions):
            return whole, None
        drawn = spread_queries(whole.caption_pids, self.limit, self.seed)
        people = len({whole.caption_pids[row] for row in drawn})
        events.tell(
            f"{self.split}: {len(drawn):,} of {len(whole.captions):,} captions as queries, of {people:,} people "
            f"(seed {self.seed})"
        )
        queries = replace(
            whole,
            captions=tuple(whole.captions[row] for row in drawn),
            caption_pids=tuple(whole.caption_pids[row] for row in drawn),
            caption_images=tuple(whole.caption_images[row] for row in drawn),
        )
        return queries, Sample(len(drawn), len(whole.captions), self.seed)


def encode(split: Split, encoder: Encoder, settings: Settings, folder: Path, events: Events) -> EncodedSplit:
    """The split's features, kept in `folder` for the next run.

    Raises:
        CtgiError: an image cannot be read.
    """
    with events.progress("encode", len(split.images)) as update:
        return encode_split(split, encoder, settings.retriever, folder, progress=update)


@dataclass(frozen=True)
class Measuring:
    """What to measure besides plain retrieval."""

    mti: bool = False
    """Also refine every query by a dialogue."""
    variant: str = "ctgi"
    users: Sequence[User] = ()
    """Users whose dialogues are measured turn by turn."""
    lams: Sequence[float] = ()
    xis: Sequence[float] = ()
    """Other lambdas and xis to measure with, which is arithmetic."""
    trace: bool = True
    rounds: int = 0
    """Questions put to a witness, where the data set has one."""


@dataclass(frozen=True)
class Measured:
    """An evaluation, and what it was computed from."""

    result: Evaluation
    encoded: EncodedSplit
    run: MtiRun | None
    """The dialogues."""


async def evaluate(
    spec: DataSpec, encoder: Encoder, settings: Settings, folder: Path, events: Events, measuring: Measuring
) -> Measured:
    """Measure a retriever; features, replies and the result are kept in `folder`.

    Raises:
        CtgiError: a data set that cannot be read, or a binding that cannot do its tool.
    """
    if settings.retriever.rerank and (measuring.mti or measuring.rounds):
        raise CtgiError("rerank under [retriever] orders rankings without a dialogue: remove it, or the dialogue")
    memories = await asyncio.to_thread(read_memories, spec.layout, spec.root) if measuring.rounds else {}
    split, sample = await asyncio.to_thread(spec.load, events)
    encoded = await asyncio.to_thread(encode, split, encoder, settings, folder, events)
    read, captioned = None, None
    if spec.gallery_captions:
        encoded, stored = await asyncio.to_thread(captioned_split, encoded, spec.gallery_captions, encoder, events)
        read, captioned = (lambda: stored), sum(image.sha256 in stored for image in encoded.images)
    texts, images = measure_texts(encoded), measure_images(encoded)
    result = replace(
        plain_result(spec.layout, encoder, encoded, settings, texts, images),
        sample=sample,
        captioned=captioned,
    )
    by_stage, run = {"t2i": texts}, None
    if measuring.mti:
        run = await run_mti(
            encoded, encoder, settings, folder, events,
            variant=measuring.variant, users=measuring.users, trace=measuring.trace, stored=read,
        )  # fmt: skip
        by_stage["mti"] = measure_refined(run, settings.mti.lam, settings.mti.xi)
        around = replace(result.intervals, mti=_around(by_stage["mti"], split.caption_pids))
        result = replace(result, mti=mti_result(run, measuring.lams, measuring.xis), intervals=around)
    if measuring.rounds:
        questioned = await run_witness(
            encoded, encoder, memories, measuring.rounds, settings, folder, events, trace=measuring.trace
        )
        by_stage["witness"] = questioned.rounds[-1]
        result = replace(result, witness=_witnessed(questioned, settings))
    write_queries(folder, split, by_stage)
    write_whole(folder / "result.json", json.dumps(result.to_json(), indent=1).encode())
    if run and run.variant != AGENT:  # its order is not made of S and R alone
        write_scores(folder / "scores.npz", run)
    return Measured(result, encoded, run)


def plain_result(
    layout: str, encoder: Encoder, encoded: EncodedSplit, settings: Settings, texts: QueryMetrics, images: QueryMetrics
) -> Evaluation:
    """Metrics without MTI, and what was measured; `texts` and `images` are those of each query."""
    split = encoded.split
    return Evaluation(
        data=layout,
        split=split.name,
        retriever=str(settings.binding("search_gallery")),
        context_length=encoder.context_length,
        images=len(split.images),
        captions=len(split.captions),
        truncated_captions=sum(cut > 0 for cut in encoded.truncated),
        truncated_tokens=sum(encoded.truncated),
        t2i=texts.mean(),
        i2t=images.mean(),
        intervals=Intervals(_around(texts, split.caption_pids), _around(images, split.image_pids)),
        gallery=digest_of(sorted(encoded.images, key=lambda image: image.sha256)),
        people=len({split.caption_pids[row] for row in texts.rows}),
    )


def _around(found: QueryMetrics, pids: Sequence[int]) -> dict[str, tuple[float, float]]:
    return intervals(found.by_name(), [pids[row] for row in found.rows])


def _witnessed(run: WitnessRun, settings: Settings) -> WitnessEvaluation:
    bindings = {tool: str(settings.binding(tool)) for tool in WITNESS_TOOLS}
    return WitnessEvaluation(run.curves, MAX_CANDIDATES, bindings, run.failed)


def mti_result(run: MtiRun, lams: Sequence[float] = (), xis: Sequence[float] = ()) -> MtiEvaluation:
    """Metrics after MTI, its calls and failures; with `lams` or `xis` also at every pair of them."""
    mti, tools = run.settings.mti, (AGENT, *AGENT_TOOLS) if run.variant == AGENT else TOOLS
    return MtiEvaluation(
        variant=run.variant,
        k=mti.k,
        max_anchors=mti.max_anchors,
        fusion=mti.fusion,
        bindings={tool: str(run.settings.binding(tool)) for tool in tools},
        t2i=mti_row(run, mti.lam, mti.xi),
        calls=run.calls,
        trace=run.trace,
        failed=run.failures,
        unverified=run.unverified,
        dialogue=tuple(turn_curves(run, user) for user in run.turns),
        sweep=tuple(sweep(run, lams or [mti.lam], xis or [mti.xi])) if lams or xis else (),
    )
