"""Parts of a collection that are worked on apart: which images are whose, and where each part's captions are."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_BLOCK = 2**20
_PART = re.compile(r"([1-9][0-9]*)-of-([1-9][0-9]*)")


@dataclass(frozen=True, order=True)
class Shard:
    """Part `index` of `count`, 1-based; images are divided by content, so copies fall into one shard."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def file(self, out: Path) -> Path:
        """The file of this part, if all parts together would write `out`."""
        return out.with_name(f"{out.stem}.{self.index}-of-{self.count}{out.suffix}")

    def takes(self, sha256: str | bytes) -> bool:
        """Whether an image with this content belongs to the shard."""
        return int(sha256[:8], 16) % self.count == self.index - 1


def shard_of(sha256: str, count: int) -> Shard:
    """The shard that takes an image."""
    return Shard(int(sha256[:8], 16) % count + 1, count)


def parts_of(out: Path) -> list[tuple[Shard, Path]]:
    """The part files of `out` that are there, in order, whatever the number of shards."""
    found = []
    for path in out.parent.glob("*") if out.parent.is_dir() else ():
        name = path.name.removeprefix(f"{out.stem}.").removesuffix(out.suffix)
        numbers = _PART.fullmatch(name)
        if numbers and path.name == f"{out.stem}.{name}{out.suffix}":
            shard = Shard(int(numbers[1]), int(numbers[2]))
            if shard.index <= shard.count:
                found.append((shard, path))
    return sorted(found, key=lambda one: (one[0].count, one[0].index))


class WrittenParts:
    """How many lines the part files have; a look reads what was added since the last one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._read = dict.fromkeys(files, 0)
        self._lines = 0

    def lines(self) -> int:
        """All whole lines by now."""
        for path in self._read:
            with suppress(OSError), path.open("rb") as file:
                file.seek(self._read[path])
                for block in iter(partial(file.read, _BLOCK), b""):
                    self._read[path] += len(block)
                    self._lines += block.count(b"\n")
        return self._lines
