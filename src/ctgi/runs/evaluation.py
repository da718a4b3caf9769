"""Results of an evaluation as typed values, and their JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from ctgi.reading import Json
from ctgi.retrieval.dialogue_metrics import DialogueCurves
from ctgi.retrieval.metrics import Metrics
from ctgi.retrieval.resampling import LEVEL

User = Literal["anchor", "oracle", "witness"]
UPPER_BOUND = "the user sees the target image: an upper bound, not the result of a search"
NO_USER = "answers come from the anchor that the model confirmed: no user, no label"
WITNESS = "the witness remembers the data set's detailed description of the person and sees no image"


def as_row(metrics: Metrics) -> dict[str, float]:
    """Metrics by the names papers use, in per cent."""
    values = {f"R@{k}": value for k, value in metrics.recall.items()}
    values |= {"mAP": metrics.mean_ap, "mINP": metrics.mean_inp}
    return {name: round(value, 3) for name, value in values.items()}


@dataclass(frozen=True)
class MtiRow:
    """MTI at one lambda and one xi."""

    lam: float
    xi: float
    metrics: Metrics
    calls_per_query: Mapping[str, float]
    """By the tools that a model serves, and `all`."""
    early_stop_rate: float
    """Shares of the queries, from 0 to 1; so `refined_rate`."""
    refined_rate: float
    anchor_precision: float | None
    """Share of anchors that show the query's person; None without an anchor."""

    def to_json(self) -> Json:
        """One row of `t2i` and `sweep`."""
        return {
            "lam": self.lam,
            "xi": self.xi,
            **as_row(self.metrics),
            "calls_per_query": dict(self.calls_per_query),
            "early_stop_rate": self.early_stop_rate,
            "refined_rate": self.refined_rate,
            "anchor_precision": self.anchor_precision,
        }


@dataclass(frozen=True)
class Intervals:
    """How far each metric would move with other people to look for, at LEVEL per cent; empty for a single person."""

    t2i: Mapping[str, tuple[float, float]]
    """Name of a metric -> its ends, in per cent; so below."""
    i2t: Mapping[str, tuple[float, float]]
    mti: Mapping[str, tuple[float, float]] | None = None

    def to_json(self) -> Json:
        """The part `intervals`."""
        stages = {"t2i": self.t2i, "i2t": self.i2t} | ({} if self.mti is None else {"mti": self.mti})
        rounded = {
            stage: {name: [round(end, 3) for end in ends] for name, ends in found.items()}
            for stage, found in stages.items()
        }
        return {"level": LEVEL, "over": "people", **rounded}


@dataclass(frozen=True)
class NotRefined:
    """A query that was left as it is because a tool failed."""

    caption: int
    """Its place in the split."""
    reason: str


@dataclass(frozen=True)
class NotVerified:
    """A candidate that no verdict was given on; it counted as no match."""

    caption: int
    """The query's place in the split."""
    path: str
    reason: str


@dataclass(frozen=True)
class TurnCurves:
    """The dialogues of a split turn by turn, turn 0 being the queries alone."""

    user: User
    """Who answered."""
    turns: tuple[Metrics, ...]
    curves: DialogueCurves
    questions_per_query: float

    @property
    def note(self) -> str:
        """A caution about the numbers."""
        return {"oracle": UPPER_BOUND, "anchor": NO_USER, "witness": WITNESS}[self.user]

    def to_json(self) -> Json:
        """One entry of `dialogue`."""
        hits, recall = self.curves.hits, self.curves.recall
        return {
            "user": self.user,
            "note": self.note,
            "turns": [{"turn": turn, **as_row(metrics)} for turn, metrics in enumerate(self.turns)],
            **{f"Hits@{k}": [round(value, 3) for value in values] for k, values in hits.items()},
            **{f"Recall@{k}": [round(value, 3) for value in values] for k, values in recall.items()},
            "BRI": round(self.curves.bri, 4),
            "questions_per_query": round(self.questions_per_query, 3),
        }


@dataclass(frozen=True)
class MtiEvaluation:
    """A retriever with MTI."""

    variant: str
    k: int
    max_anchors: int
    fusion: str
    bindings: Mapping[str, str]
    """Tool -> backend."""
    t2i: MtiRow
    calls: Mapping[str, int]
    """Made and reused in this run, with tokens."""
    trace: str | None
    failed: tuple[NotRefined, ...]
    unverified: tuple[NotVerified, ...]
    dialogue: tuple[TurnCurves, ...]
    sweep: tuple[MtiRow, ...] = ()
    """At other lambdas and xis."""

    def to_json(self) -> Json:
        """The part `mti`."""
        sweep = {"sweep": [row.to_json() for row in self.sweep]} if self.sweep else {}
        return {
            "variant": self.variant,
            "k": self.k,
            "max_anchors": self.max_anchors,
            "fusion": self.fusion,
            "bindings": dict(self.bindings),
            "t2i": self.t2i.to_json(),
            "calls": dict(self.calls),
            "trace": self.trace,
            "failed": [asdict(one) for one in self.failed],
            "unverified": [asdict(one) for one in self.unverified],
            "dialogue": [curves.to_json() for curves in self.dialogue],
            **sweep,
        }


@dataclass(frozen=True)
class WitnessEvaluation:
    """A retriever that questions a witness."""

    curves: TurnCurves
    candidates: int
    """Images that questions are asked in view of, at most."""
    bindings: Mapping[str, str]
    """Tool -> backend."""
    failed: tuple[NotRefined, ...]
    """Queries whose dialogue ended with an error."""

    def to_json(self) -> Json:
        """The part `witness`."""
        return {
            **self.curves.to_json(),
            "candidates": self.candidates,
            "bindings": dict(self.bindings),
            "failed": [asdict(one) for one in self.failed],
        }


@dataclass(frozen=True)
class Sample:
    """Queries drawn from a split."""

    drawn: int
    of: int
    """Captions of the split."""
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """A retriever on a split, alone and perhaps with MTI."""

    data: str
    split: str
    retriever: str
    context_length: int
    images: int
    captions: int
    truncated_captions: int
    truncated_tokens: int
    t2i: Metrics
    i2t: Metrics
    intervals: Intervals
    gallery: str
    """A digest of the images: only evaluations on the same ones can be compared."""
    people: int
    """Who is looked for."""
    sample: Sample | None = None
    """Where only some of the captions are queries."""
    captioned: int | None = None
    """Images whose captions were searched as well; None where images alone were."""
    mti: MtiEvaluation | None = None
    witness: WitnessEvaluation | None = None

    def to_json(self) -> Json:
        """What `ctgi evaluate --json` prints."""
        return {
            "data": self.data,
            "split": self.split,
            "retriever": self.retriever,
            "context_length": self.context_length,
            "images": self.images,
            "captions": self.captions,
            "truncated_captions": self.truncated_captions,
            "truncated_tokens": self.truncated_tokens,
            "t2i": as_row(self.t2i),
            "i2t": as_row(self.i2t),
            "intervals": self.intervals.to_json(),
            "people": self.people,
            "gallery": self.gallery,
            **({"sample": asdict(self.sample)} if self.sample else {}),
            **({} if self.captioned is None else {"captioned": self.captioned}),
            **({"mti": self.mti.to_json()} if self.mti else {}),
            **({"witness": self.witness.to_json()} if self.witness else {}),
        }
