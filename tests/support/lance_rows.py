"""Rows of a gallery on LanceDB, and a process that writes them; nothing heavy is imported."""

import sys

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.lance.place import LancePlace
from ctgi.retrieval.lance.tables import LanceTable, TableHeader

HEADER = TableHeader("double:rows", "rows", 16, "float32", "/people")


def entries(first: int, last: int, writer: int = 0) -> list[Entry]:
    return [Entry(f"{number:05}.png", f"{writer:04x}{number:060x}", 1, writer) for number in range(first, last)]


def vectors(count: int, seed: int, width: int = 16) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def main(place: str, writer: int, commits: int) -> None:
    """Wait for a line, then write 100 rows in each commit, 50 of which the commit before wrote."""
    _say("ready")
    sys.stdin.readline()
    table = LanceTable.to_write(LancePlace.of(place), HEADER)
    for commit in range(commits):
        table.upsert(entries(50 * commit, 50 * commit + 100, writer), vectors(100, writer))
        _say(commit)


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
