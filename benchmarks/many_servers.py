"""One server against two of the same endpoint: calls a second, and what one that dies in the middle costs.

    python -m benchmarks.many_servers [--calls 400] [--latency-ms 50] [--concurrency 8] [--rounds 3]

The servers are the test suite's doubles, each in a process of its own. They answer after the latency, so that a server
takes `concurrency` calls at a time and the number of servers is the limit.
"""

import argparse
import asyncio
import statistics
import threading
import time
from contextlib import ExitStack

from benchmarks.caption import double
from benchmarks.machine import describe_machine
from ctgi.config import Binding, Settings
from ctgi.testing import ScriptedServer
from ctgi.tools.backends import ChatRequest, open_mllm


def calls_a_second(urls: list[str], calls: int, concurrency: int) -> float:
    """Of a model on these servers; every call must be answered."""

    async def all_of_them() -> float:
        endpoint = {"base_url": urls, "concurrency": concurrency}
        mllm = open_mllm(Binding("vllm", "double", None), Settings(endpoints={"vllm": endpoint}))
        try:
            await mllm.chat(ChatRequest("Once, to connect?"))
            started = time.perf_counter()
            await asyncio.gather(*(mllm.chat(ChatRequest(f"Question {number}?")) for number in range(calls)))
            return calls / (time.perf_counter() - started)
        finally:
            await mllm.aclose()

    return asyncio.run(all_of_them())


def main() -> None:
    """Print the figures and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine())
    with ExitStack() as servers:
        urls = [servers.enter_context(double(options.latency_ms)) for _ in range(2)]
        rounds = [
            [calls_a_second(some, options.calls, options.concurrency) for some in (urls[:1], urls)]
            for _ in range(options.rounds)
        ]
        one, two = (statistics.median(side) for side in zip(*rounds, strict=True))
        print(f"one server {one:.1f} calls/s, two {two:.1f} calls/s, ratio {two / one:.2f}")
        with ScriptedServer(models=["double"], latency_s=options.latency_ms / 1000) as dying:
            threading.Timer(options.calls / two / 2, dying.stop).start()
            dies = calls_a_second([urls[0], dying.url], options.calls, options.concurrency)
        print(f"two, of which one dies half way: {dies:.1f} calls/s, every call answered")


if __name__ == "__main__":
    main()
