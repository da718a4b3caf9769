"""Calls per second of our client against a bare loop over the OpenAI SDK, both alternating in one run.

    python -m benchmarks.client [--images 96] [--rounds 3]

Every image is one dialogue of 8 calls, each with the image and all that was said before; 32 dialogues run at once.
The server is the test suite's double, in a process of its own: once with 300 ms latency, once answering at once.
The bare loop gets its data URLs ready-made; ours reads, checks and encodes the files within the measured time.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
from PIL import Image

from ctgi.config import Endpoint
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.chat_completions import messages
from ctgi.tools.backends.openai_compatible import open_vllm
from ctgi.tools.images import data_url

SERVER = (sys.executable, "-m", "ctgi.testing", "--model", "double")
IN_FLIGHT = 32
TURNS = 8
Ask = Callable[[ChatRequest], Awaitable[str]]


def make_images(folder: Path, count: int) -> list[ImageRef]:
    """Noisy crops of 144 x 400 px, about 30 KB each as JPEG."""
    noise = np.random.default_rng(0)
    for number in range(count):
        coarse = noise.integers(0, 256, (50, 18, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((144, 400)).save(folder / f"{number:05}.jpg", quality=95)
    return [ref(str(path)) for path in sorted(folder.iterdir())]


async def dialogues(ask: Ask, images: list[ImageRef]) -> float:
    """Calls per second over one dialogue with each image."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def dialogue(image: ImageRef) -> None:
        history: tuple[tuple[str, str], ...] = ()
        async with slots:
            for turn in range(TURNS):
                request = ChatRequest(f"Question {turn}: what does the person wear?", image, history, "Be brief.")
                history += ((request.prompt, await ask(request)),)

    start = time.perf_counter()
    await asyncio.gather(*map(dialogue, images))
    return len(images) * TURNS / (time.perf_counter() - start)


@asynccontextmanager
async def ours(endpoint: Endpoint) -> AsyncIterator[Ask]:
    """Mllm.chat: data URL, limits, retries, strict reading and all."""
    mllm = open_vllm("double", endpoint)

    async def ask(request: ChatRequest) -> str:
        return (await mllm.chat(request)).text

    yield ask
    await mllm.aclose()


@asynccontextmanager
async def bare(endpoint: Endpoint, urls: dict[str, str]) -> AsyncIterator[Ask]:
    """AsyncOpenAI.chat.completions.create with the same messages and parameters."""
    limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    http = httpx2.AsyncClient(limits=limits)
    client = openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="EMPTY", http_client=http, timeout=120)

    async def ask(request: ChatRequest) -> str:
        turns: Any = messages(request, urls[request.image.sha256] if request.image else None)
        completion = await client.chat.completions.create(
            model="double", messages=turns, temperature=0.01, top_p=1.0, max_tokens=256, seed=0, logprobs=True
        )
        return completion.choices[0].message.content or ""

    yield ask
    await http.aclose()


async def compare(base_url: str, images: list[ImageRef], rounds: int) -> None:
    """Both sides, round by round; a first short round warms both up."""
    endpoint = Endpoint(base_url=base_url, concurrency=IN_FLIGHT)
    urls = {image.sha256: data_url(image, endpoint.min_pixels, endpoint.max_pixels) for image in images}
    speeds: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(rounds + 1):
        part = images if number else images[:IN_FLIGHT]
        for name, opened in (("ours", ours(endpoint)), ("bare", bare(endpoint, urls))):
            async with opened as ask:
                speeds[name].append(await dialogues(ask, part))
    medians = {name: statistics.median(values[1:]) for name, values in speeds.items()}
    ratio = medians["ours"] / medians["bare"]
    print(f"ours {medians['ours']:.1f} calls/s, bare SDK {medians['bare']:.1f} calls/s, ratio {ratio:.3f}")


def main() -> None:
    """Run both cases and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"openai {openai.__version__}, httpx2 {httpx2.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(Path(folder), options.images)
        for latency_ms in (300, 0):
            command = [*SERVER, "--latency-ms", str(latency_ms)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout
                print(f"latency {latency_ms} ms, {IN_FLIGHT} in flight: ", end="", flush=True)
                try:
                    asyncio.run(compare(server.stdout.readline().strip(), images, options.rounds))
                finally:
                    server.kill()


if __name__ == "__main__":
    main()
