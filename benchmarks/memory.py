"""Memory and time of captions files and galleries of many records: what is opened, resumed, written and read.

    python -m benchmarks.memory [--records 1000000] [--only captions gallery]

Writes files of made-up records of realistic length to the temporary folder (1,000,000 captions take 2.4 GB), and does
each thing in a process of its own. Prints its peak memory beyond what the process had at its beginning, mapped files
included, in MB for a million records; seconds; and processor seconds, which other work on the machine changes less.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from ctgi.caption_table import Wanted
from ctgi.captions import read_captions
from ctgi.captions_index import CaptionsIndex
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, owners
from ctgi.retrieval.gallery import open_gallery
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_writer import GalleryWriter, resume, writing
from ctgi.runs.captioned import CaptionsOnDisk
from ctgi.runs.captions_file import open_captions

DIM = 64
BATCH = 10_000
PARTS = ("coat", "trousers", "shoes", "bag", "hair", "hat")
TOOLS = ("caption_image", "ask_image", "judge_answer")


def path_of(number: int) -> str:
    """A path as cameras give it."""
    day = f"camera-{number % 40:02}/2026-11-{number % 28 + 1:02}"
    return f"/data/surveillance/site-north/{day}/track_{number:08}_frame_{number % 997:05}.jpg"


def sha256_of(number: int) -> str:
    """Of its content."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def record(number: int) -> dict[str, object]:
    """A line of captions.jsonl, about 2.4 kB."""
    said = [f"The person wears a dark blue {part} with white stripes." for part in PARTS]
    turns = [
        {
            "attribute": part, "question": f"What color is the {part} of the person?", "answer": answer,
            "confidence": 0.9312345, "statement": answer, "kept": True, "reason": None,
        }
        for part, answer in zip(PARTS, said, strict=True)
    ]  # fmt: skip
    return {
        "path": path_of(number), "sha256": sha256_of(number), "initial_caption": "A man in a dark blue coat.",
        "turns": turns, "caption": " ".join(["A man in a dark blue coat.", *said]), "seconds": 2.31,
        "tokens": {"input": 4012, "output": 312}, "bindings": dict.fromkeys(TOOLS, "vllm:Qwen2.5-VL-7B-Instruct"),
        "trace": "2026-11-26T10-00-00-abcd",
    }  # fmt: skip


def header() -> Header:
    """Of a gallery of made-up vectors."""
    return Header(spec="made-up", fingerprint="made-up", dim=DIM, dtype="float32", root="..", index="Flat")


def batches(records: int) -> Iterator[tuple[list[Entry], np.ndarray]]:
    """Rows of a gallery."""
    generator = np.random.default_rng(0)
    for start in range(0, records, BATCH):
        numbers = range(start, min(start + BATCH, records))
        vectors = generator.standard_normal((len(numbers), DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield [Entry(path_of(n)[1:], sha256_of(n), 12_345 + n, 1_764_000_000_000_000_000 + n) for n in numbers], vectors


def open_and_resume(folder: Path, records: int) -> None:
    """As `ctgi caption` does: every image is looked for, and one is new."""
    with open_captions(folder / "captions.jsonl") as file:
        assert all(file.holds(path_of(n), sha256_of(n)) for n in range(records))
        file.append(record(records))


def read_all(folder: Path, records: int) -> None:
    """As exports do."""
    assert sum(1 for _ in read_captions(folder / "captions.jsonl")) >= records


def look_up(folder: Path, records: int) -> None:
    """As `ctgi search --captions` does before it encodes them: the caption of each image."""
    stored = CaptionsOnDisk(folder / "captions.jsonl")
    known = owners(((n, sha256_of(n)) for n in range(records)), stored.caption_of, CAPTION_WEIGHT)
    assert len(known.places) == records


def browse(folder: Path, records: int) -> None:
    """As the page does."""
    index = CaptionsIndex(folder / "captions.jsonl")
    index.refresh()
    assert len(index.wanted(Wanted(text="camera-03"))) <= records


def write_rows(folder: Path, records: int) -> None:
    """As `ctgi index` does for new images."""
    with writing(folder / "gallery"):
        writer = GalleryWriter(folder / "gallery", header())
        for entries, vectors in batches(records):
            writer.append(entries, vectors)
        writer.commit()
        writer.close()


def resume_rows(folder: Path, records: int) -> None:
    """As `ctgi index` does for a gallery that is there: every image is looked for."""
    with writing(folder / "gallery"):
        writer, _ = resume(folder / "gallery", header(), rebuild=False)
        assert all(writer.row_at(path_of(n)[1:]) == n for n in range(records))
        writer.close()


def open_rows(folder: Path, records: int) -> None:
    """As `ctgi search` does, up to the first query."""
    assert len(open_gallery(folder / "gallery")) == records


def anchor_rows(folder: Path, records: int) -> None:
    """As a refined search does: rows by content."""
    assert open_gallery(folder / "gallery").rows_of(sha256_of(records - 1)) == [records - 1]


STEPS: dict[str, tuple[Callable[[Path, int], None], ...]] = {
    "captions": (open_and_resume, read_all, look_up, browse),
    "gallery": (write_rows, resume_rows, open_rows, anchor_rows),
}


def memory_mb(name: str) -> float:
    """Of this process: VmRSS, or VmHWM, the most it had since `take` began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def take(name: str, folder: Path, records: int) -> None:
    """Run one step, and print its memory and seconds."""
    step = next(step for steps in STEPS.values() for step in steps if step.__name__ == name)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, started, used = memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    step(folder, records)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    mb = (memory_mb("VmHWM") - before) / records * 1e6
    print(f"{name:16} {mb:6.1f} MB per million, {seconds:7.2f} s ({used:.2f} s of processor)", flush=True)


def measure(folder: Path, records: int, wanted: list[str]) -> None:
    """Print each step's figures."""
    if "captions" in wanted:
        with (folder / "captions.jsonl").open("w") as file:
            file.writelines(json.dumps(record(number)) + "\n" for number in range(records))
    for step in (step for kind in wanted for step in STEPS[kind]):
        command = [sys.executable, "-m", "benchmarks.memory", "--step", step.__name__, "--folder", str(folder)]
        subprocess.run([*command, "--records", str(records)], check=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=[*STEPS], default=[*STEPS])
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        take(arguments.step, arguments.folder, arguments.records)
        return
    print(describe_machine())
    print(f"{arguments.records:,} records", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments.records, arguments.only)


if __name__ == "__main__":
    main()
