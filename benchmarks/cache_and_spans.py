"""What the cache and the spans add to a tool call: `python -m benchmarks.cache_and_spans`."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ctgi.config import Binding, load_settings
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest
from ctgi.tools.chat_cache import open_user_cache
from ctgi.tools.telemetry import reporting
from ctgi.tools.traces.interceptor import DIRECT
from ctgi.tools.types import Reply

CALLS = 5000


class Instant:
    """A model that answers at once."""

    endpoint = "this process"

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The same reply to everything."""
        return ChatReply("a red coat", 0.9)

    async def probe(self) -> Abilities:
        """All of them."""
        return Abilities(images=True, logprobs=True, structured=True)

    async def aclose(self) -> None:
        """Nothing to close."""


async def _cached(file: Path, in_flight: int) -> float:
    settings = load_settings(cache={"file": file})
    requests = [ChatRequest(f"question {number}?", ImageRef("1.png", "sha")) for number in range(CALLS)]
    with open_user_cache(settings) as cache:
        model = cache.wrap(Binding.parse("vllm:m"), settings, Instant())
        started = time.perf_counter()
        for first in range(0, CALLS, in_flight):
            await asyncio.gather(*(model.chat(request) for request in requests[first : first + in_flight]))
        return (time.perf_counter() - started) / CALLS


async def _spans() -> float:
    async def answer(image: ImageRef, question: str) -> Reply:
        return Reply("a red coat")

    with reporting(load_settings(), "mtg", "benchmark", DIRECT, exporter=InMemorySpanExporter()) as interceptor:
        tool = interceptor.serve("answer_question", Binding.parse("vllm:m"), lambda: answer)
        started = time.perf_counter()
        for _ in range(CALLS):
            await tool(ImageRef("1.png", "sha"), "what color?")
        return (time.perf_counter() - started) / CALLS


def main() -> None:
    """Print microseconds per call."""
    with tempfile.TemporaryDirectory() as folder:
        for in_flight in (1, 32):
            file = Path(folder) / f"{in_flight}.sqlite"
            miss, hit = asyncio.run(_cached(file, in_flight)), asyncio.run(_cached(file, in_flight))
            sys.stdout.write(f"cache, {in_flight} in flight: miss {miss * 1e6:.0f} us, hit {hit * 1e6:.0f} us a call\n")
    sys.stdout.write(f"span: {asyncio.run(_spans()) * 1e6:.0f} us a call\n")


if __name__ == "__main__":
    main()
