"""Galleries and captions of ten million images: what they cost in time, memory and disk.

    python -m benchmarks.ten_million ./large [--rows 10000000] [--index IVF4096_HNSW32,PQ64] [--only gallery]

The embeddings are synthetic: people times ten views, 512 numbers in half precision. Each stage runs in a process of its
own, prints its figures, and keeps them in ./large/figures.jsonl; a second run does what is missing. Ten million rows
take 12 GB in a folder, as much again on LanceDB, and 15 GB for the captions while they are merged.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.ten_million import captions, filters, folder, lance
from benchmarks.ten_million.cost import cost_of

Work = Callable[[], dict[str, Any]]


def stages(asked: argparse.Namespace) -> dict[str, Work]:
    """What is done, in order; the first word says what it belongs to."""
    place, count = asked.folder, asked.rows
    return {
        "gallery rows": lambda: folder.written(place, count, asked.decay, asked.index),
        "gallery resume": lambda: folder.resumed(place, asked.index),
        "gallery index": lambda: folder.indexed(place, asked.index),
        "gallery open": lambda: folder.opened(place),
        "gallery truth": lambda: folder.told(place, asked.queries, asked.decay),
        "gallery search": lambda: folder.searched(place),
        "gallery where": lambda: filters.filtered(place),
        "lance rows": lambda: lance.written(place, count, asked.decay),
        "lance index": lambda: lance.indexed(place),
        "lance open": lambda: lance.opened(place),
        "lance search": lambda: lance.searched(place),
        "captions write": lambda: captions.write(place, count),
        "captions merge": lambda: captions.merged(place, count),
        "captions open": lambda: captions.opened(place, count),
        "captions resume": lambda: captions.gone_on_with(place, count),
    }


def main(arguments: list[str]) -> None:
    """Do the stages that have no figures yet, each in a new process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--index", default="IVF4096_HNSW32,PQ64", help="faiss factory string")
    parser.add_argument("--decay", type=float, default=1.0, help="of the embeddings' spectrum; 0 for white noise")
    parser.add_argument("--only", default="", help="first words of the stages to do, as gallery or captions open")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.stage:
        print(json.dumps({"stage": asked.stage, "rows": asked.rows} | cost_of(stages(asked)[asked.stage])), flush=True)
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / "figures.jsonl"
    done = {json.loads(line)["stage"] for line in kept.read_text().splitlines()} if kept.exists() else set()
    print(describe_machine(), flush=True)
    for stage in stages(asked):
        if stage in done or not stage.startswith(asked.only):
            continue
        command = [sys.executable, "-m", "benchmarks.ten_million", *arguments, "--stage", stage]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        with kept.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
