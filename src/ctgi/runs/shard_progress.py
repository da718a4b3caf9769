"""How far a collection is that is captioned in parts, told by its files: the same on every machine that sees them."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.captions import caption_line
from ctgi.reading import Json, json_lines
from ctgi.runs.manifest import all_rows, manifest_of
from ctgi.runs.shards import Shard, parts_of, shard_of


@dataclass(frozen=True)
class PartProgress:
    """One shard."""

    shard: Shard
    file: str
    images: int
    captioned: int
    idle_s: float | None
    """Since the last record was written, by the clocks of this machine and of the file's; None without a file."""

    def to_json(self) -> Json:
        """As `ctgi captions status --json` prints it."""
        idle = None if self.idle_s is None else round(self.idle_s, 1)
        return {
            "shard": str(self.shard), "file": self.file, "images": self.images, "captioned": self.captioned,
            "idle_s": idle,
        }  # fmt: skip


@dataclass(frozen=True)
class Status:
    """The whole collection."""

    out: str
    images: int
    captioned: int
    parts: list[PartProgress]
    """The shards, where it is divided; their images and captions."""

    def to_json(self) -> Json:
        """As `ctgi captions status --json` prints it."""
        parts = [part.to_json() for part in self.parts]
        return {"out": self.out, "images": self.images, "captioned": self.captioned, "parts": parts}


def status(out: Path) -> Status:
    """How many images of the manifest have a caption in `out` or in a part file, and where those are that have none.

    Raises:
        CtgiError: there is no manifest, or a file cannot be read.
    """
    parts = parts_of(out)
    count = parts[-1][0].count if parts else 1
    done = np.fromiter(_captioned([out, *(path for _, path in parts)]), np.int64)
    done.sort()
    images, captioned = Counter[Shard](), Counter[Shard]()
    for row in all_rows(manifest_of(out)):
        shard = shard_of(row.sha256, count)
        images[shard] += 1
        captioned[shard] += any(_holds(done, row.path, content) for content in (row.sha256, ""))
    shards = [Shard(index, count) for index in range(1, count + 1)] if parts else []
    each = [
        PartProgress(one, str(one.file(out)), images[one], captioned[one], _idle_s(one.file(out))) for one in shards
    ]
    return Status(str(out), images.total(), captioned.total(), each)


def _holds(done: NDArray[np.int64], path: str, sha256: str) -> bool:
    key = hash((path, sha256))
    place = int(done.searchsorted(key))
    return place < len(done) and int(done[place]) == key


def _captioned(files: list[Path]) -> Iterator[int]:
    """A number for each image with a caption, by path and content."""
    for path in files:
        for line in json_lines(path, "captions", quick=True) if path.is_file() else ():
            if not line.is_torn and (record := caption_line(path, line)).has_caption:
                yield hash((record.path, record.sha256))


def _idle_s(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)  # a clock ahead of ours wrote it
    except FileNotFoundError:
        return None
