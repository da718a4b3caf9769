"""The metrics of each query of an evaluation in `queries.jsonl`, and two evaluations compared query by query."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ctgi.errors import CtgiError
from ctgi.faults import first_fault
from ctgi.files import whole_file
from ctgi.reading import Json, dump, json_lines, read_json
from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.retrieval.metrics import QueryMetrics
from ctgi.retrieval.resampling import Difference, Values, compare
from ctgi.text import plain

FILE = "queries.jsonl"
NAMES = ("R@1", "R@5", "R@10", "mAP", "mINP")
_RESULT = "result.json"
_STAGES = ("witness", "mti", "t2i")


def write_queries(folder: Path, split: Split, found: Mapping[str, QueryMetrics]) -> None:
    """Write a line for each query that has a match: its caption, image and person, and the metrics in per cent.

    found: the metrics by stage: `t2i`, and `mti` or `witness` where the queries were refined.

    Raises:
        CtgiError: it cannot be written.
    """
    with whole_file(folder / FILE) as file:
        file.writelines(dump(line) + b"\n" for line in _lines(split, found))


def _lines(split: Split, found: Mapping[str, QueryMetrics]) -> Iterator[Json]:
    columns = {stage: {"rank": one.first, **one.by_name()} for stage, one in found.items()}
    rows = next(iter(found.values())).rows.tolist()
    for place, row in enumerate(rows):
        stages = {
            stage: {name: round(float(values[place]), 6) for name, values in named.items()}
            for stage, named in columns.items()
        }
        image = split.images[split.caption_images[row]]
        yield {"caption": split.captions[row], "image": image, "pid": split.caption_pids[row], **stages}


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    caption: str
    pid: int
    t2i: dict[str, float]
    mti: dict[str, float] | None = None
    witness: dict[str, float] | None = None

    def at(self, stage: str) -> dict[str, float] | None:
        """The metrics of a stage."""
        found: dict[str, float] | None = getattr(self, stage)
        return found


@dataclass(frozen=True)
class Measurement:
    """One side of a comparison: the queries of an evaluation and their metrics."""

    place: str
    stage: str
    """t2i, mti or witness."""
    data: str
    """The data set and its split."""
    gallery: str
    """A digest of the images."""
    retriever: str
    queries: Mapping[tuple[int, str, int], Mapping[str, float]]
    """Person, caption, and how often that pair came before -> metrics."""


def read_measurement(place: Path, stage: str | None = None) -> Measurement:
    """An evaluation out of its folder, or out of a file in it.

    stage: t2i, mti or witness; None for the last of them that there is.

    Raises:
        CtgiError: there is none, or it is damaged.
    """
    folder = place if place.is_dir() else place.parent
    shown = plain(str(folder if place.exists() else place))
    if not (folder / FILE).is_file() or not (folder / _RESULT).is_file():
        raise CtgiError(f"{shown}: no {_RESULT} and {FILE} of ctgi evaluate there: run it with --out {shown}")
    result = read_json(folder / _RESULT, "result")
    lines = [*_read(folder / FILE)]
    chosen = stage or next(one for one in _STAGES if all(line.at(one) is not None for line in lines))
    seen, queries = Counter[tuple[int, str]](), {}
    for line in lines:
        pair = line.pid, line.caption
        queries[(*pair, seen[pair])] = line.at(chosen) or {}
        seen[pair] += 1
    named = [str(result.get(key, "?")) if isinstance(result, dict) else "?" for key in ("data", "split")]
    gallery, retriever = (str(result.get(key)) for key in ("gallery", "retriever"))
    return Measurement(shown, chosen, " ".join(named), gallery, retriever, queries)


def _read(path: Path) -> Iterator[_Line]:
    for line in json_lines(path, "queries"):
        try:
            yield _Line.model_validate(line.value)
        except ValidationError as error:
            fault = first_fault(error, "the whole of it")
            raise CtgiError(
                f"{plain(str(path))}, line {line.number}: {fault}: run the same ctgi evaluate again"
            ) from None


@dataclass(frozen=True)
class Comparison:
    """Two evaluations on the queries that both have."""

    first: Measurement
    second: Measurement
    queries: int
    people: int
    left_out: int
    """Queries that only one of the two has."""
    differences: Mapping[str, Difference]
    """By metric."""

    def to_json(self) -> Json:
        """What `ctgi compare --json` prints."""
        return {
            "a": _told(self.first),
            "b": _told(self.second),
            "queries": self.queries,
            "people": self.people,
            "left_out": self.left_out,
            "metrics": {name: _numbers(one) for name, one in self.differences.items()},
        }


def _told(one: Measurement) -> Json:
    return {"run": one.place, "stage": one.stage, "data": one.data, "retriever": one.retriever}


def _numbers(one: Difference) -> Json:
    interval = [round(end, 3) for end in one.interval] if one.interval else None
    numbers = {"a": one.first, "b": one.second, "difference": one.gain}
    return {name: round(value, 3) for name, value in numbers.items()} | {"interval": interval, "p": round(one.p, 5)}


def compare_measurements(first: Measurement, second: Measurement, *, seed: int = 0) -> Comparison:
    """The differences of two evaluations, with intervals and a paired test over people.

    Raises:
        CtgiError: they were not measured on the same images, or share no query.
    """
    if first.gallery != second.gallery:
        raise CtgiError(
            f"{first.place} and {second.place}: measured on other images ({first.data}, {second.data}): "
            "only queries against the same gallery can be compared"
        )
    both = [key for key in first.queries if key in second.queries]
    if not both:
        raise CtgiError(
            f"{first.place} and {second.place}: no query in common: give both the same --captions, --limit and --seed"
        )
    people = [pid for pid, _, _ in both]
    found = compare(_columns(first, both), _columns(second, both), people, seed=seed)
    left_out = len(first.queries) + len(second.queries) - 2 * len(both)
    return Comparison(first, second, len(both), len(set(people)), left_out, found)


def _columns(one: Measurement, keys: Sequence[tuple[int, str, int]]) -> Values:
    try:
        return {name: np.array([one.queries[key][name] for key in keys]) for name in NAMES}
    except KeyError as error:
        raise CtgiError(f"{one.place}: {FILE} lacks {error.args[0]!r}: run the same ctgi evaluate again") from None
