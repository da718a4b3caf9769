"""sources.jsonl: where each crop is from. Beside the crops, one line for each."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ctgi import records
from ctgi.reading import Json, dump, parse_json
from ctgi.records import Match
from ctgi.retrieval.sources.references import is_remote
from ctgi.tools.types import Box

SOURCES = "sources.jsonl"


@dataclass(frozen=True)
class Origin:
    """Where a crop is from."""

    path: str
    """The crop, from the folder of sources.jsonl."""
    sha256: str
    """Of the crop's content."""
    source: str
    """The photograph or video: absolute, or from the folder of sources.jsonl."""
    frame: int | None
    """In the order shown, from 0; None for a photograph."""
    time_s: float | None
    """Since the video's first frame; None for a photograph."""
    time: str | None
    """When it was taken, in ISO 8601, where the file says so."""
    box: Box
    """Of the person, in px of the upright picture."""
    size: tuple[int, int]
    """Width and height of that picture in px."""
    track: str
    """The same for all crops of one person in one video."""
    score: float | None
    """Of the detector."""
    worth: float
    """How good the crop is, in [0, 1]: size, sharpness and visibility together."""
    camera: str | None = None
    site: str | None = None
    place: tuple[float, float] | None = None
    """Latitude and longitude in degrees, where the file says so."""

    def to_json(self) -> Json:
        """As a line of sources.jsonl; the path stands first."""
        return asdict(self)


_FIELDS = frozenset(field.name for field in fields(Origin))


def origin(row: Json) -> Origin | None:
    """The origin that a line tells; None where it is not one."""
    known = {name: value for name, value in row.items() if name in _FIELDS}
    try:
        box, size, place = known["box"], known["size"], known.get("place")
        left, top, right, bottom = map(float, box)
        width, height = map(int, size)
        known |= {"box": (left, top, right, bottom), "size": (width, height), "place": tuple(place) if place else None}
        return Origin(**known)
    except (KeyError, TypeError, ValueError):
        return None


def origins(paths: Iterable[str]) -> dict[str, records.Origin]:
    """The origins of these images by path, for those that have one; their sources as paths that can be opened."""
    by_folder: dict[Path, dict[str, str]] = {}
    for path in paths:
        folder = _folder_of(path)
        if folder:
            name = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
            by_folder.setdefault(folder, {})[name] = path
    found: dict[str, records.Origin] = {}
    for folder, wanted in by_folder.items():
        for row in _rows(folder / SOURCES, wanted):
            told = origin(row)
            if told and told.path in wanted:
                found[wanted[told.path]] = _opened_from(told, folder)
    return found


def origin_of(path: str) -> records.Origin | None:
    """The origin of one image; None if `ctgi crop` did not make it."""
    return origins([path]).get(path)


def with_origins(results: Sequence[Match]) -> tuple[Match, ...]:
    """These results, those that `ctgi crop` cut out with their origins."""
    found = origins([match.path for match in results])
    return tuple(
        match.model_copy(update={"origin": found[match.path]}) if match.path in found else match for match in results
    )


def _opened_from(told: Origin, folder: Path) -> records.Origin:
    source = os.path.normpath(folder / told.source)
    known = {name: value for name, value in vars(told).items() if name in records.Origin.model_fields}
    return records.Origin(**known | {"source": source})


def _folder_of(path: str) -> Path | None:
    """The nearest folder above an image that has a sources.jsonl."""
    if is_remote(path):
        return None
    return next((folder for folder in Path(path).absolute().parents if (folder / SOURCES).is_file()), None)


def _rows(path: Path, wanted: Iterable[str]) -> Iterable[Json]:
    """The lines of these crops. Others are not parsed: a folder may have millions."""
    starts = tuple(dump({"path": name}).removesuffix(b"}") + b"," for name in wanted)
    try:
        with path.open("rb") as file:
            for line in file:
                if line.startswith(starts):
                    try:
                        row = parse_json(line)
                    except ValueError:
                        continue
                    yield row
    except OSError:
        return
