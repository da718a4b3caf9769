"""Images/s out of archives and object storage through ctgi, against reading them alone.

    python -m benchmarks.sources
    python -m benchmarks.sources --images 300      # objects are slow

Both sides find the images, read them and hash them. Object storage is moto's server in a process of its own on this
machine; for objects one by one its own work is the limit, so a server that takes 20 ms and no work is asked, too.
"""

import argparse
import hashlib
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from ctgi.retrieval.finding import find_sources
from ctgi.retrieval.images import digest
from ctgi.retrieval.sources.reading import read_ahead
from ctgi.retrieval.sources.recent import recent
from tests.support.storage import Asked, save_tar, web_server

_SERVER = "from moto.server import main; main(['-p', '{port}'])"
_PORT = 5123


def main() -> None:
    """Print both sides and their ratios, taken in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--objects", type=int, default=400, help="of them, those stored one by one")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        members = {name: content for number in range(given.images) for name, content in _pair(number)}
        shard = save_tar(Path(folder) / "people.tar", members)
        print(f"{given.images} JPEG of 128 x 256 px with a text each, {shard.stat().st_size / 1e6:.0f} MB")
        alone = _alone(lambda: shard.open("rb"))
        _compare("tar", given.images, given.rounds, alone, _ours([str(shard)]))
        _compare("tar, processor time", given.images, given.rounds, alone, _ours([str(shard)]), clock=time.process_time)
        with _storage() as system:
            system.put_file(str(shard), "people/people.tar")
            alone = _alone(lambda: system.open("people/people.tar", "rb", block_size=8 << 20, cache_type="readahead"))
            ours = _ours(["s3://people/people.tar"])
            _compare("tar in object storage", given.images, given.rounds, alone, ours)
            for number in range(given.objects):
                system.pipe_file(f"people/crops/{number}.jpg", members[f"{number}.jpg"])
            one_by_one = _ours(["s3://people/crops"], ahead=False)
            many = _ours(["s3://people/crops"])
            _compare("objects, the other side one by one", given.objects, given.rounds, one_by_one, many)
        with web_server(lambda asked: _late(asked, members["0.jpg"])) as address:
            listed = [f"{address}/{number}.jpg" for number in range(given.objects)]
            one_by_one, many = _ours(listed, ahead=False), _ours(listed)
            _compare("the same after 20 ms each", given.objects, given.rounds, one_by_one, many)


def _late(asked: Asked, content: bytes) -> None:
    time.sleep(0.02)
    asked.answer(200, content)


def _pair(number: int) -> Iterator[tuple[str, bytes]]:
    """A picture with as much detail as photographs have, and its text, as WebDataset has them."""
    coarse = np.random.default_rng(number).integers(0, 256, (32, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((128, 256), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    yield f"{number}.jpg", buffer.getvalue()
    yield f"{number}.txt", b"a person"


Side = Callable[[], int]


def _alone(opened: Callable[[], io.BufferedIOBase]) -> Side:
    """The archive read by tarfile alone."""

    def side() -> int:
        count = 0
        with opened() as file, tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                if member.name.endswith(".jpg"):
                    hashlib.sha256(archive.extractfile(member).read()).hexdigest()
                    count += 1
        return count

    return side


def _ours(inputs: list[str], *, ahead: bool = True) -> Side:
    def side() -> int:
        recent.clear()
        count = 0
        found = find_sources(inputs, reading=True)
        for one in read_ahead(found) if ahead else found:
            digest(one.path)
            count += 1
        return count

    return side


def _compare(
    what: str, images: int, rounds: int, one: Side, other: Side, *, clock: Callable[[], float] = time.perf_counter
) -> None:
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, found in zip((one, other), rates, strict=True):
            started = clock()
            assert side() == images
            found.append(images / (clock() - started))
    first, second = (statistics.median(found[1:]) for found in rates)  # the first round starts what there is to start
    ratio = statistics.median(ours / alone for alone, ours in zip(rates[0][1:], rates[1][1:], strict=True))
    print(f"{what}: {second:,.0f} images/s through ctgi, the other side {first:,.0f}: {ratio:.2f}")


@contextmanager
def _storage() -> Iterator[object]:
    """Moto's server with an empty bucket; the file system that leads there."""
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_PORT}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    os.environ.update(environment)
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER.format(port=_PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait()
        import fsspec

        system = fsspec.filesystem("s3")
        system.mkdir("people")
        yield system
    finally:
        server.terminate()
        server.wait()


def _wait() -> None:
    for _ in range(200):
        try:
            urlopen(f"http://127.0.0.1:{_PORT}", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("moto's server did not start")


if __name__ == "__main__":
    main()
