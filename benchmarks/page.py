"""The page against the same searches in process, and many people at once.

    python -m benchmarks.page ./images [--people 50]

Prints milliseconds: a warm plain search in process and through the page (median of 20, taken in turn), then the time
from the query to the last ranking of one search with its dialogue, and of many at once, on a scripted model server
whose replies take 20 ms.
"""

import argparse
import asyncio
import logging
import socket
import statistics
import tempfile
import time
from pathlib import Path

import httpx2
import uvicorn

from ctgi.config import load_settings
from ctgi.graphs.contexts import serve_gallery
from ctgi.retrieval.encoder import load_encoder
from ctgi.runs.events import Logged
from ctgi.runs.index import open_or_build
from ctgi.runs.query import search_plain
from ctgi.testing import ScriptedServer
from ctgi.tools.traces.interceptor import DIRECT
from ctgi.ui.app import create_app
from ctgi.ui.guard import Door, Guard
from ctgi.ui.searches import LENGTH
from ctgi.ui.site import Site, open_site

REPEATS = 20


async def main(images: Path, people: int) -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    with ScriptedServer(lambda request: "yes", models=("double",)) as model, tempfile.TemporaryDirectory() as traces:
        settings = load_settings(
            binds=[f"images=vllm:double@{model.url}"], traces=traces, cache={"enabled": False}, mti={"k": 20}
        )
        encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
        gallery, _ = open_or_build(images, encoder, settings, Logged())
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            async with open_site(gallery, settings, Logged()) as site:
                app = Guard(create_app(site), Door("127.0.0.1", port, None))
                server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
                serving = asyncio.create_task(server.serve(sockets=[listening]))
                base = f"http://127.0.0.1:{port}"
                headers = {"origin": base}
                limits = httpx2.Limits(max_connections=200)
                async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=120, limits=limits) as client:
                    await measure(site, client, people)
                server.should_exit = True
                await serving


async def measure(site: Site, client: httpx2.AsyncClient, people: int) -> None:
    """Print each comparison."""
    tool = serve_gallery(site.settings, lambda: site.gallery, DIRECT)
    inside, outside = [], []
    for number in range(REPEATS + 2):
        began = time.perf_counter()
        await search_plain(tool, f"a man with red bag {number}", LENGTH)
        inside.append(time.perf_counter() - began)
        began = time.perf_counter()
        shown = await client.post("/searches", data={"query": f"a man with red bag {number}", "asks": "nobody"})
        assert shown.status_code == 303, shown.text
        outside.append(time.perf_counter() - began)
    for name, times in (("in process", inside), ("through the page", outside)):
        print(f"plain search {name}: {1000 * statistics.median(times[2:]):.0f} ms")
    alone = [await searched(client, number) for number in range(5)]
    single = statistics.median(alone)
    print(f"one search with its dialogue: {1000 * single:.0f} ms")
    times = sorted(await asyncio.gather(*(searched(client, number) for number in range(people))))
    p95 = times[int(0.95 * (people - 1))]
    print(f"{people} at once: median {1000 * statistics.median(times):.0f} ms, p95 {1000 * p95:.0f} ms, none failed")


async def searched(client: httpx2.AsyncClient, number: int) -> float:
    """Seconds from the query to the end of the stream."""
    began = time.perf_counter()
    shown = await client.post("/searches", data={"query": f"a woman in a coat {number}", "asks": "model"})
    assert shown.status_code == 303, shown.text
    stream = await client.get(f"{shown.headers['location']}/stream")
    assert stream.text.rstrip().endswith("event: end\ndata: {}"), stream.text[-200:]
    assert "The search stopped" not in stream.text
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--people", type=int, default=50)
    given = parser.parse_args()
    asyncio.run(main(given.images, given.people))
