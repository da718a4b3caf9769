"""The page against the same search in process, its first verdict, and many people at once.

    python -m benchmarks.page ./images [--people 50] [--latency-ms 300] [--in-flight 32 2048]

The page (`ctgi ui`) and the model server (`python -m ctgi.testing`) run as processes of their own; this one plays the
people: it sends the query, fetches the page that it is led to, and follows its stream to the end. Replies take no time
in a first part, and `--latency-ms` in a second one, once for each number of requests that `ctgi` may have in flight
(`concurrency`). Prints milliseconds, and the processor time that the page's process takes for a search. Linux.
"""

import argparse
import asyncio
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ctgi.config import Settings, load_settings
from ctgi.graphs.contexts import serve_gallery
from ctgi.runs.events import Logged
from ctgi.runs.index import open_named
from ctgi.runs.query import search_plain
from ctgi.tools.traces.interceptor import DIRECT
from ctgi.ui.searches import LENGTH

REPEATS, ALONE, WARM = 20, 7, 3
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """One search, in seconds from the query on."""

    verdict: float
    """The first verdict."""
    end: float
    """The end of the stream."""


@dataclass(frozen=True)
class Served:
    """A page that runs as a process of its own."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Processor time of its process so far, in the program and in the system for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def client(self) -> httpx2.AsyncClient:
        """People who visit it."""
        limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000)
        return httpx2.AsyncClient(base_url=self.url, headers={"origin": self.url}, timeout=300, limits=limits)


@contextmanager
def served(images: Path, latency_ms: float, in_flight: int) -> Iterator[Served]:
    """The page with a model server behind it, both new."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "ctgi.toml"
        config.write_text(
            f'traces = "{folder}/traces"\n[cache]\nenabled = false\n[endpoints.vllm]\nconcurrency = {in_flight}\n'
        )
        server = [sys.executable, "-m", "ctgi.testing", "--latency-ms", str(latency_ms)]
        with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as model:
            assert model.stdout is not None
            binding = f"images=vllm:scripted@{model.stdout.readline().strip()}"
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            command = ["ui", "-g", str(images), "--port", str(port), "--bind", binding, "--config", str(config), "-q"]
            with subprocess.Popen([sys.executable, "-m", "ctgi", *command]) as page:
                try:
                    wait_for(port, page)
                    yield Served(f"http://127.0.0.1:{port}", page.pid)
                finally:
                    page.terminate()
                    model.terminate()


def wait_for(port: int, page: "subprocess.Popen[bytes]") -> None:
    """Until the page answers; it accepts connections before it can."""
    while page.poll() is None:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/", timeout=60)
            return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise SystemExit("the page did not start")


async def searched(client: httpx2.AsyncClient, number: int) -> Seen:
    """One search with its dialogue."""
    began, verdict = time.perf_counter(), 0.0
    led = await client.post("/searches", data={"query": f"a woman in a coat {number}", "asks": "model"})
    assert led.status_code == 303, led.text
    shown = (await client.get(led.headers["location"])).text
    last = ""
    async with client.stream("GET", shown.partition('data-stream="')[2].partition('"')[0]) as stream:
        async for line in stream.aiter_lines():
            if not verdict and ("verdict yes" in line or 'verdict yes"' in shown):
                verdict = time.perf_counter() - began
            last = line or last
            assert "The search stopped" not in line, line
    assert last == "data: {}", last
    return Seen(verdict, time.perf_counter() - began)


async def many(page: Served, people: int, latency_ms: float) -> None:
    """Print one search alone, and many at once."""
    async with page.client() as client:
        for number in range(WARM):
            await searched(client, number)
        began = page.cpu_s()
        alone = [await searched(client, number) for number in range(ALONE)]
        single = statistics.median(one.end for one in alone)
        verdict = statistics.median(one.verdict for one in alone)
        print(
            f"  alone: {1000 * single:.0f} ms to the end, first verdict {1000 * verdict:.0f} ms "
            f"({1000 * verdict - latency_ms:.0f} ms more than a reply), "
            f"processor {1000 * (page.cpu_s() - began) / ALONE:.0f} ms"
        )
        began = page.cpu_s()
        times = sorted([one.end for one in await asyncio.gather(*(searched(client, n) for n in range(people)))])
        p95 = times[int(0.95 * (people - 1))]
        print(
            f"  {people} at once: median {1000 * statistics.median(times):.0f} ms, p95 {1000 * p95:.0f} ms "
            f"({p95 / single:.1f} times one alone), none failed, "
            f"processor {1000 * (page.cpu_s() - began) / people:.0f} ms each"
        )


async def plain(page: Served, images: Path, settings: Settings) -> None:
    """Print a plain search in process and through the page, taken in turn."""
    gallery, _ = open_named(images, settings, Logged())
    tool = serve_gallery(settings, lambda: gallery, DIRECT)
    inside, outside = [], []
    async with page.client() as client:
        for number in range(REPEATS + WARM):
            began = time.perf_counter()
            await search_plain(tool, f"a man with red bag {number}", LENGTH)
            inside.append(time.perf_counter() - began)
            began = time.perf_counter()
            led = await client.post("/searches", data={"query": f"a man with red bag {number}", "asks": "nobody"})
            assert led.status_code == 303, led.text
            outside.append(time.perf_counter() - began)
    for name, times in (("in process", inside), ("through the page", outside)):
        print(f"  plain search {name}: {1000 * statistics.median(times[WARM:]):.0f} ms")


def main(images: Path, people: int, latency_ms: float, in_flight: list[int]) -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    settings = load_settings(cache={"enabled": False})
    with served(images, 0, in_flight[0]) as page:
        print("replies at once")
        asyncio.run(plain(page, images, settings))
        asyncio.run(many(page, people, 0))
    for limit in in_flight:
        with served(images, latency_ms, limit) as page:
            print(f"a reply takes {latency_ms:.0f} ms, at most {limit} requests in flight")
            asyncio.run(many(page, people, latency_ms))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--latency-ms", type=float, default=300)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[32, 2048])
    given = parser.parse_args()
    main(given.images, given.people, given.latency_ms, given.in_flight)
