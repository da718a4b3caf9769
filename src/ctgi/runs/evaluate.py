"""A retriever measured on a data set, alone and with MTI."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctgi.config import Settings
from ctgi.corrections import told
from ctgi.files import write_whole
from ctgi.graphs.agent import TOOLS as AGENT_TOOLS
from ctgi.graphs.mti import TOOLS
from ctgi.retrieval.benchmarks.datasets import Split, load_dataset
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.evaluate import EncodedSplit, encode_split, image_to_text, text_to_image
from ctgi.runs.evaluate_mti import MtiRun, mti_row, run_mti, sweep, turn_curves, write_scores
from ctgi.runs.evaluation import Evaluation, MtiEvaluation, User
from ctgi.runs.events import Events
from ctgi.tools.tool_calls import AGENT


@dataclass(frozen=True)
class DataSpec:
    """The captions and images to measure."""

    layout: str
    """cuhk, icfg, rstp or folder."""
    root: Path
    split: str = "test"
    captions: str = "human"
    """human, initial:FILE or mtg:FILE."""
    limit: int | None = None
    """Only the first captions, against the whole gallery."""

    def load(self, events: Events) -> Split:
        """The split; counts of a plain folder, and of corrected captions, are reported.

        Raises:
            CtgiError: the data set cannot be read.
        """
        dataset = load_dataset(self.layout, self.root, captions=self.captions)
        whole = dataset.split(self.split)
        if self.layout == "folder":
            events.tell(whole.overview(dataset.root))
        if dataset.corrected:
            events.tell(told(dataset.corrected))
        if self.limit is None:
            return whole
        return replace(
            whole,
            captions=whole.captions[: self.limit],
            caption_pids=whole.caption_pids[: self.limit],
            caption_images=whole.caption_images[: self.limit],
        )


def encode(spec: DataSpec, encoder: Encoder, settings: Settings, folder: Path, events: Events) -> EncodedSplit:
    """The split's features, kept in `folder` for the next run.

    Raises:
        CtgiError: the data set, or an image of it, cannot be read.
    """
    chosen = spec.load(events)
    with events.progress("encode", len(chosen.images)) as update:
        return encode_split(chosen, encoder, settings.retriever, folder, progress=update)


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
    encoded = await asyncio.to_thread(encode, spec, encoder, settings, folder, events)
    result, run = plain_result(spec.layout, encoder, encoded, settings), None
    if measuring.mti:
        run = await run_mti(
            encoded, encoder, settings, folder, events,
            variant=measuring.variant, users=measuring.users, trace=measuring.trace,
        )  # fmt: skip
        result = replace(result, mti=mti_result(run, measuring.lams, measuring.xis))
    write_whole(folder / "result.json", json.dumps(result.to_json(), indent=1).encode())
    if run and run.variant != AGENT:  # its order is not made of S and R alone
        write_scores(folder / "scores.npz", run)
    return Measured(result, encoded, run)


def plain_result(layout: str, encoder: Encoder, encoded: EncodedSplit, settings: Settings) -> Evaluation:
    """Metrics without MTI, and what was measured."""
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
        t2i=text_to_image(encoded),
        i2t=image_to_text(encoded),
    )


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
