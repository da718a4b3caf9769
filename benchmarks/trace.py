"""What recording costs a call, and how fast a recorded run replays, each beside its bare counterpart in the same run.

    python -m benchmarks.trace [--images 200] [--queries 50] [--calls 20000]

Recording: a tool that answers at once, called directly and through a recorder, turn and turn about; the calls are
made in a recorded node, as a graph's are. Replay: what `ctgi trace replay` does, from opening the trace to the last
result on disk, of a captioning with six questions an image and of searches that verify 20 candidates, beside the same
graph over tools that answer at once, neither recorded nor replayed. Both replays give the same bytes, or this fails.
"""

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.writers import TemplateAggregator, TemplateReconstructor
from ctgi.config import Binding, Settings, load_settings
from ctgi.graphs.mtg import TOOLS as MTG_TOOLS
from ctgi.graphs.mtg import MtgContext, build_mtg
from ctgi.graphs.mti import TOOLS, MtiContext
from ctgi.reading import dump
from ctgi.retrieval.images import ImageRef
from ctgi.runs.caption import dialogue
from ctgi.runs.events import Logged
from ctgi.runs.query import search
from ctgi.runs.recording import Act, tracing
from ctgi.runs.replay.plan import Plan, replay_settings
from ctgi.runs.replay.run import replay_run
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.traces.reader import open_trace
from ctgi.tools.types import Candidate, Ranking, Refinement, Reply, Tokens, Verdict

ROUNDS = 5
MTI_TOOLS = ("search_gallery", *TOOLS)
MODEL = Binding("vllm", "double", None)


async def caption_image(image: ImageRef) -> Reply:
    """Answers at once."""
    return Reply("A man in a red shirt.", 0.93, Tokens(300, 9))


async def answer_question(image: ImageRef, question: str, *, description: str = "", turns: Any = ()) -> Reply:
    """Answers at once, each question in words of its own."""
    return Reply(f"something {question[9:24].lower()}", 0.87, Tokens(340, 4))


def image_of(number: int) -> ImageRef:
    """An image that is nowhere."""
    return ImageRef(f"{number:05}.jpg", hashlib.sha256(str(number).encode()).hexdigest())


def served(interceptor: Interceptor, settings: Settings) -> MtgContext:
    """The MTG graph's context over the tools above."""
    reconstruct = interceptor.serve("reconstruct_caption", Binding("templates", "", None), TemplateReconstructor)
    return MtgContext(
        interceptor.serve("caption_image", MODEL, lambda: caption_image),
        interceptor.serve("answer_question", MODEL, lambda: answer_question),
        reconstruct, load_pool(), Judge(settings.mtg), settings.mtg, interceptor,
    )  # fmt: skip


async def overhead_us(settings: Settings, calls: int) -> tuple[float, float]:
    """Microseconds of a call, bare and recorded; medians of rounds that take turns."""
    image, turns = ImageRef("images/0001.jpg", "ab" * 32), [("What color is it?", "red")] * 3
    times: dict[str, list[float]] = {"bare": [], "recorded": []}
    with tracing(Act("caption", "mtg", MTG_TOOLS), settings) as interceptor:
        tools = {
            "bare": answer_question,
            "recorded": interceptor.serve("answer_question", MODEL, lambda: answer_question),
        }
        with interceptor.item({"image": image}), interceptor.node("ask", 3):
            for _ in range(ROUNDS):
                for name, tool in tools.items():
                    started = time.perf_counter()
                    for number in range(calls // ROUNDS):
                        await tool(image, f"Question {number}?", description="A man in a red shirt.", turns=turns)
                    times[name].append((time.perf_counter() - started) / (calls // ROUNDS) * 1e6)
    return statistics.median(times["bare"]), statistics.median(times["recorded"])


async def run_captions(interceptor: Interceptor, settings: Settings, count: int, out: Path) -> None:
    """MTG over so many images, one after the other."""
    graph, context = build_mtg(), served(interceptor, settings)
    bindings = {tool: str(settings.binding(tool)) for tool in MTG_TOOLS}
    with out.open("wb") as file:
        for number in range(count):
            image = image_of(number)
            record = await dialogue(graph, context, image, bindings)
            file.write(dump(record.to_json()) + b"\n")


async def search_gallery(
    query: str, k: int, *, refinement: Refinement | None = None, where: str | None = None
) -> Ranking:
    """Answers at once."""
    return Ranking(tuple(Candidate(image_of(n), 0.5 - n / 97, 0.5 - n / 97, n + 1) for n in range(k)))


async def verify_match(image: ImageRef, description: str) -> Verdict:
    """Confirms the eighteenth candidate."""
    return Verdict(image == image_of(17), 0.9, "yes", Tokens(300, 1))


async def run_searches(interceptor: Interceptor, settings: Settings, count: int, out: Path) -> None:
    """MTI over so many queries, one after the other."""
    pool = load_pool()
    templates = Binding("templates", "", None)
    context = MtiContext(
        interceptor.serve("search_gallery", MODEL, lambda: search_gallery),
        interceptor.serve("verify_match", MODEL, lambda: verify_match),
        interceptor.serve("answer_question", MODEL, lambda: answer_question),
        interceptor.serve("propose_questions", templates, lambda: TemplateQuestioner(pool)),
        interceptor.serve("aggregate_query", templates, TemplateAggregator),
        pool, Judge(settings.mtg), settings.mti, interceptor=interceptor,
    )  # fmt: skip
    bindings = {tool: str(settings.binding(tool)) for tool in MTI_TOOLS}
    with out.open("wb") as file:
        for number in range(count):
            found = await search(context, f"person number {number}", 10)
            file.write(
                dump(found.to_json() | {"cached": 0, "bindings": bindings, "passed_over": {}, "not_indexed": []})
                + b"\n"
            )


Graph = Callable[[Interceptor, Settings, int, Path], Awaitable[None]]


async def compare_replay(name: str, graph: Graph, tools: Sequence[str], count: int, settings: Settings) -> None:
    """Record, run bare, replay; print calls per second of the three."""
    command = "caption" if name == "mtg" else "search"
    seconds = {}
    started = time.perf_counter()
    with tracing(Act(command, name, tools), settings) as interceptor:
        await graph(interceptor, settings, count, Path(f"{name}.jsonl"))
    seconds["recorded"] = time.perf_counter() - started
    started = time.perf_counter()
    await graph(DIRECT, settings, count, Path(f"{name}-bare.jsonl"))
    seconds["bare"] = time.perf_counter() - started
    started = time.perf_counter()
    trace = open_trace(settings.traces / f"{interceptor.run}.jsonl")
    report = await replay_run(trace, replay_settings(trace, Plan()), Plan(), Logged(), out=Path(f"{name}-again.jsonl"))
    seconds["replay"] = time.perf_counter() - started
    assert (report.identical, report.live) == (count, 0)
    assert Path(f"{name}-again.jsonl").read_bytes() == Path(f"{name}.jsonl").read_bytes()
    rates = {which: report.served / value for which, value in seconds.items()}
    print(
        f"{name}, {count} items, {report.served} calls, {trace.path.stat().st_size / report.served:.0f} bytes a call: "
        f"replay {rates['replay']:,.0f} calls/s, bare graph {rates['bare']:,.0f}, recorded {rates['recorded']:,.0f}; "
        f"replay / bare time {seconds['replay'] / seconds['bare']:.2f}"
    )


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        binds = ["images=vllm:double@http://127.0.0.1:1/v1"]
        settings = load_settings(binds=binds)
        bare, recorded = asyncio.run(overhead_us(settings, options.calls))
        print(f"recording: {recorded - bare:.0f} us a call (recorded {recorded:.1f}, bare {bare:.1f})")
        asyncio.run(compare_replay("mtg", run_captions, MTG_TOOLS, options.images, settings))
        asyncio.run(compare_replay("mti", run_searches, MTI_TOOLS, options.queries, settings))


if __name__ == "__main__":
    main()
