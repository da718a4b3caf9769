"""`ctgi caption --ray` over two nodes against twice what one `ctgi caption` does, in one run.

    python -m benchmarks.ray [--images 320] [--shards 8] [--concurrency 4] [--latency-ms 300]

The server is the test suite's double, in a process of its own; with few calls in flight it is not the limit. The
cluster is a head that does no work and two nodes of one processor each, on this machine. A dialogue is 3 calls. Both
sides run the command in a process of its own. One process is timed by its own clock, from the first image to the last
record; Ray from the connection to the last record, with listing the images and starting every shard.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.caption import double
from benchmarks.client import make_images
from benchmarks.machine import describe_machine
from tests.support.ray_cluster import small_cluster

TURNS = 2


def rate(work: Path, images: Path, base_url: str, concurrency: int, *more: str) -> float:
    """Images per second of one command in an empty folder."""
    work.mkdir()
    command = [sys.executable, "-c", "from ctgi.cli import main; main()", "caption", str(images), "--json"]
    command += ["--bind", f"images=vllm:double@{base_url}", "--turns", str(TURNS), "--no-cache", *more]
    settings = {"CTGI_ENDPOINTS__VLLM__CONCURRENCY": str(concurrency), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | settings)
    report = json.loads(run.stdout)
    return float(report["captioned"] / report["seconds"])


def main() -> None:
    """Run both sides and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--shards", type=int, default=8)
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
        one = rate(folder / "one", *given)
        two = rate(folder / "ray", *given, "--ray", cluster.address, "--shards", str(options.shards))
    print(f"one process {one:.2f} images/s, Ray over two nodes {two:.2f} images/s, ratio to twice {two / one / 2:.3f}")


if __name__ == "__main__":
    main()
