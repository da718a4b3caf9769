"""MTI with no match among the top 20: verification in waves against one by one, on the same server, in one run.

    python -m benchmarks.mti [--latency-ms 100] [--queries 5]

The server is the test suite's double, in a thread; it answers "no" to every candidate. Time is that of
`ctgi.runs.query.search` alone: the gallery is open and the encoder (a small random CLIP) loaded.
"""

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

from benchmarks.client import make_images
from benchmarks.machine import describe_machine
from ctgi.config import load_settings
from ctgi.graphs.contexts import open_mti
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import Gallery, build_gallery, open_gallery
from ctgi.runs.query import search
from ctgi.testing import Reply, ScriptedServer
from tests.support.tiny_clip import save_tiny_clip


async def median_seconds(gallery: Gallery, base_url: str, growth: int, queries: int) -> tuple[float, int]:
    """Median seconds of a search, and the candidates verified in the last one."""
    settings = load_settings(binds=[f"images=vllm:scripted@{base_url}"], mti={"wave_growth": growth})
    async with open_mti(settings, lambda: gallery) as context:
        results = [await search(context, f"person number {number}", 10) for number in range(queries + 1)]
    assert not any(result.anchors for result in results)
    return statistics.median(result.seconds for result in results[1:]), results[-1].calls["verify_match"]


def main() -> None:
    """Print seconds and sequential round trips of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=int, default=100)
    parser.add_argument("--queries", type=int, default=5)
    options = parser.parse_args()
    print(describe_machine())
    no = Reply("no", top={"no": 0.9, "yes": 0.1})
    with (
        tempfile.TemporaryDirectory() as temporary,
        ScriptedServer(no, latency_s=options.latency_ms / 1000) as server,
    ):
        base_url = server.url
        images, clip = Path(temporary) / "images", Path(temporary) / "clip"
        clip.mkdir()
        images.mkdir()
        make_images(images, 40)
        settings = load_settings(binds=[f"search_gallery=open_clip:local-dir:{save_tiny_clip(clip)}"])
        encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
        build_gallery([str(images)], images / ".ctgi", encoder, settings.retriever)
        gallery = open_gallery(images, encoder)
        waves, calls = asyncio.run(median_seconds(gallery, base_url, 4, options.queries))
        single, _ = asyncio.run(median_seconds(gallery, base_url, 1, options.queries))
    print(f"{calls} candidates, none confirmed, {options.latency_ms} ms a call")
    print(
        f"waves: {waves:.3f} s (3 round trips in sequence); one by one: {single:.3f} s (20); ratio {waves / single:.3f}"
    )


if __name__ == "__main__":
    main()
