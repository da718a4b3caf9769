"""What a piece of work costs: time, processor time and memory."""

import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")
_EVERY_SECONDS = 0.05


def cost_of(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do a piece of work and add to its figures what it took.

    Returns:
        `seconds`; `cpu_seconds` of all threads; `memory_mb`, the most at a time that was not a mapped file;
        `with_files_mb`, the same with the mapped files, which the system takes back when it needs memory.
    """
    peak, done = [_own_memory()], Event()

    def watch() -> None:
        while not done.wait(_EVERY_SECONDS):
            peak[0] = max(peak[0], _own_memory())

    watching = Thread(target=watch, daemon=True)
    watching.start()
    began, cpu = time.perf_counter(), time.process_time()
    figures = work()
    took = {"seconds": round(time.perf_counter() - began, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}
    done.set()
    watching.join()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return took | {"memory_mb": max(peak[0], _own_memory()), "with_files_mb": most} | figures


def megabytes(path: Path) -> int:
    """What a file, or all files below a folder, take on disk."""
    found = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return round(sum(one.stat().st_size for one in found) / 1e6)


def _own_memory() -> int:
    told = Path("/proc/self/status")
    if not told.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    values = dict(line.split(":", 1) for line in told.read_text().splitlines())
    return int(values["RssAnon"].split()[0]) // 1024


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    ordered = sorted(seconds)
    places = {"p50_ms": 0.5, "p95_ms": 0.95}
    return {
        name: round(1000 * ordered[min(int(at * len(ordered)), len(ordered) - 1)], 1) for name, at in places.items()
    }


def times_of(items: Iterable[T], work: Callable[[T], object]) -> list[float]:
    """How many seconds the work takes for each item, one after the other."""
    times = []
    for item in items:
        began = time.perf_counter()
        work(item)
        times.append(time.perf_counter() - began)
    return times


def drop_from_memory(path: Path) -> None:
    """Ask the system to forget a file, so that the next reading comes from the disk."""
    for one in [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]:
        with one.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
