"""`ctgi caption --ray` over two nodes against twice what one `ctgi caption` does, in one run.

    python -m benchmarks.ray [--images 400] [--shards 4] [--concurrency 4] [--latency-ms 300]

The server is the test suite's double, in a process of its own; with few calls in flight it is not the limit. The
cluster is a head that does no work and two nodes of one processor each, on this machine. A dialogue is 3 calls. Both
sides run the command in a process of its own and are timed alike, by the files that they write: from the first record
to the last, with the starts of all shards but the first in between. How long the whole commands take stands beside.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.caption import double
from benchmarks.client import make_images
from benchmarks.machine import describe_machine
from tests.support.ray_cluster import small_cluster

TURNS = 2


def rate(work: Path, images: Path, base_url: str, concurrency: int, *more: str) -> tuple[float, float]:
    """Images per second of one command in an empty folder, and the seconds of all of it."""
    work.mkdir()
    command = [sys.executable, "-c", "from ctgi.cli import main; main()", "caption", str(images), "--json"]
    command += ["--bind", f"images=vllm:double@{base_url}", "--turns", str(TURNS), "--no-cache", *more]
    settings = {"CTGI_ENDPOINTS__VLLM__CONCURRENCY": str(concurrency), "OMP_NUM_THREADS": "1"}
    seen: list[tuple[float, int]] = []
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, env=os.environ | settings) as run:
        while run.poll() is None:
            lines = sum(path.read_bytes().count(b"\n") for path in work.glob("captions*.jsonl") if _has_records(path))
            if lines and (not seen or lines > seen[-1][1]):
                seen.append((time.perf_counter(), lines))
            time.sleep(0.05)
    assert run.returncode == 0
    (begun, first), (ended, last) = seen[0], seen[-1]
    return (last - first) / (ended - begun), time.perf_counter() - started


def _has_records(path: Path) -> bool:
    return "manifest" not in path.name


def main() -> None:
    """Run both sides and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--latency-ms", type=float, default=300)
    options = parser.parse_args()
    print(describe_machine())
    with (
        tempfile.TemporaryDirectory() as temporary,
        double(options.latency_ms) as base_url,
        small_cluster() as cluster,
    ):
        folder = Path(temporary)
        (folder / "images").mkdir()
        make_images(folder / "images", options.images)
        cluster.add()
        cluster.add()
        given = folder / "images", base_url, options.concurrency
        one, one_s = rate(folder / "one", *given)
        two, two_s = rate(folder / "ray", *given, "--ray", cluster.address, "--shards", str(options.shards))
    print(f"one process {one:.2f} images/s, Ray over two nodes {two:.2f} images/s, ratio to twice {two / one / 2:.3f}")
    print(f"the whole commands: {one_s:.0f} s and {two_s:.0f} s")


if __name__ == "__main__":
    main()
