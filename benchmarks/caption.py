"""`ctgi caption` as a whole against a bare loop over the OpenAI SDK that makes the same calls, in one run.

    python -m benchmarks.caption [--images 160] [--rounds 3] [--memory]

The server is the test suite's double, in a process of its own: once with 300 ms latency, once answering at once; 32
requests are in flight on both sides. A dialogue is 7 calls: a description and six questions, each with the image and
all that was said before. Ours is the command in a process of its own (its own clock: from the first image to the last
record on disk): it reads, checks and encodes the files, judges the answers, runs the graph and writes the records.
The bare loop gets ready-made data URLs and throws its answers away. --memory compares the command's peak memory at
500 and 5,000 images.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai

from benchmarks.client import IN_FLIGHT, SERVER, make_images
from benchmarks.machine import describe_machine
from ctgi.agents.pool import load_pool
from ctgi.agents.prompts import prompt
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.chat_completions import messages
from ctgi.tools.images import data_url

TURNS = 6
MIN_PIXELS, MAX_PIXELS = 50_176, 200_704


def ours(folder: Path, base_url: str, shards: int = 1) -> tuple[float, float]:
    """Calls per second and peak memory in MB of `ctgi caption` on a fresh output file, over so many processes."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-c", "from ctgi.cli import main; main()", "caption", str(folder), "--json"]
        command += ["--bind", f"images=vllm:double@{base_url}", "--turns", str(TURNS), "--no-cache"]
        parts = [[] if shards == 1 else ["--shard", f"{part}/{shards}"] for part in range(1, shards + 1)]
        runs = [subprocess.Popen([*command, *part], cwd=work, stdout=subprocess.PIPE, text=True) for part in parts]
        peak_kib = max(_peak_kib(run) for run in runs)
        reports = [json.loads(run.communicate()[0]) for run in runs]
    assert not any(report["failed"] for report in reports)
    calls = sum(report["captioned"] for report in reports) * (1 + TURNS)
    return calls / max(report["seconds"] for report in reports), peak_kib / 1024


def _peak_kib(run: "subprocess.Popen[str]") -> int:
    """VmHWM until the process ends; its ru_maxrss would begin with ours, from before the exec."""
    peak = 0
    while run.poll() is None:
        lines = Path(f"/proc/{run.pid}/status").read_text().splitlines()
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
        time.sleep(0.1)
    return peak


async def bare(images: list[ImageRef], base_url: str) -> float:
    """Calls per second of AsyncOpenAI.chat.completions.create, one dialogue per image, 32 at once."""
    questions = [prompt("answer").format(question=question.question) for question in load_pool().questions[:TURNS]]
    urls = {image.sha256: data_url(image, MIN_PIXELS, MAX_PIXELS) for image in images}
    slots = asyncio.Semaphore(IN_FLIGHT)
    limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)

    async def dialogue(client: openai.AsyncOpenAI, image: ImageRef) -> None:
        history: tuple[tuple[str, str], ...] = ()
        async with slots:
            for text in (prompt("caption"), *questions):
                request = ChatRequest(text, image, history, prompt("system"))
                turns: Any = messages(request, urls[image.sha256])
                completion = await client.chat.completions.create(
                    model="double", messages=turns, temperature=0.01, top_p=1.0, max_tokens=256, seed=0, logprobs=True
                )
                history += ((text, completion.choices[0].message.content or ""),)

    async with httpx2.AsyncClient(limits=limits) as http:
        client = openai.AsyncOpenAI(base_url=base_url, api_key="EMPTY", http_client=http, timeout=120)
        started = time.perf_counter()
        await asyncio.gather(*(dialogue(client, image) for image in images))
        return len(images) * (1 + TURNS) / (time.perf_counter() - started)


@contextmanager
def double(latency_ms: float) -> Iterator[str]:
    """The double in a process of its own; yields its URL."""
    command = [*SERVER, "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def compare(images: list[ImageRef], folder: Path, base_url: str, rounds: int, shards: int) -> None:
    """Both sides in turn, and the medians' ratio."""
    pairs = [(ours(folder, base_url, shards)[0], asyncio.run(bare(images, base_url))) for _ in range(rounds)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"  {shards} process(es): ours {mine:.1f} calls/s, bare SDK {theirs:.1f} calls/s, ratio {mine / theirs:.3f}")


def main() -> None:
    """Run the cases and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.memory:
            with double(0) as base_url:
                for count in (500, 5000):
                    (folder / str(count)).mkdir()
                    make_images(folder / str(count), count)
                    print(f"{count} images: peak memory {ours(folder / str(count), base_url)[1]:.0f} MB", flush=True)
            return
        images = make_images(folder, options.images)
        for latency_ms in (300, 0):
            print(f"latency {latency_ms} ms, {IN_FLIGHT} in flight, {options.images} images x {1 + TURNS} calls")
            with double(latency_ms) as base_url:
                for shards in (1, 2):
                    compare(images, folder, base_url, options.rounds, shards)


if __name__ == "__main__":
    main()
