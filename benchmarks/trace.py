"""What recording costs a call, and how fast a recorded run replays, each beside its bare counterpart in the same run.

    python benchmarks/trace.py [--images 200] [--calls 20000]

Recording: a tool that answers at once, called directly and through a recorder, turn and turn about; the calls are
made in a recorded node, as a graph's are. Replay: `ctgi trace replay` (in process) of a captioning of so many images
with six questions each, beside the same graph over tools that answer at once, neither recorded nor replayed. Both
replays end in the same captions.jsonl, or the benchmark fails.
"""

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine

from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.agents.writers import TemplateReconstructor
from ctgi.config import Binding, Settings, load_settings
from ctgi.graphs.captions_file import dump
from ctgi.graphs.mtg import TOOLS, MtgContext, build_mtg, caption
from ctgi.graphs.replay_plan import Plan, replay_settings
from ctgi.graphs.replay_run import replay_run
from ctgi.graphs.trace_run import tracing
from ctgi.retrieval.images import ImageRef
from ctgi.tools.recorded import NodeRun
from ctgi.tools.seam import DIRECT, Seam
from ctgi.tools.trace_reader import open_trace
from ctgi.tools.types import Said, Tokens

ROUNDS = 5
MODEL = Binding("vllm", "double", None)


async def caption_image(image: ImageRef) -> Said:
    """Answers at once."""
    return Said("A man in a red shirt.", 0.93, Tokens(300, 9))


async def answer_question(image: ImageRef, question: str, *, description: str = "", turns: Any = ()) -> Said:
    """Answers at once, each question in words of its own."""
    return Said(f"something {question[9:24].lower()}", 0.87, Tokens(340, 4))


def served(seam: Seam, settings: Settings) -> MtgContext:
    """The MTG graph's context over the tools above."""
    reconstruct = seam.serve("reconstruct_caption", Binding("templates", "", None), TemplateReconstructor)
    return MtgContext(
        seam.serve("caption_image", MODEL, lambda: caption_image),
        seam.serve("answer_question", MODEL, lambda: answer_question),
        reconstruct, load_pool(), Judge(settings.mtg), settings.mtg,
    )  # fmt: skip


async def overhead_us(settings: Settings, calls: int) -> tuple[float, float]:
    """Microseconds of a call, bare and recorded; medians of rounds that take turns."""
    image, turns = ImageRef("images/0001.jpg", "ab" * 32), [("What color is it?", "red")] * 3
    times: dict[str, list[float]] = {"bare": [], "recorded": []}
    with tracing(settings, command="caption", graph="mtg", tools=TOOLS, given={}) as seam:
        tools = {"bare": answer_question, "recorded": seam.serve("answer_question", MODEL, lambda: answer_question)}
        with seam.item({"image": image}), NodeRun("ask", 3):
            for _ in range(ROUNDS):
                for name, tool in tools.items():
                    started = time.perf_counter()
                    for number in range(calls // ROUNDS):
                        await tool(image, f"Question {number}?", description="A man in a red shirt.", turns=turns)
                    times[name].append((time.perf_counter() - started) / (calls // ROUNDS) * 1e6)
    return statistics.median(times["bare"]), statistics.median(times["recorded"])


async def run_graph(seam: Seam, settings: Settings, images: list[ImageRef], out: Path) -> float:
    """Caption all images one after the other; seconds."""
    graph, context = build_mtg(), served(seam, settings)
    started = time.perf_counter()
    with out.open("wb") as file:
        for image in images:
            with seam.item({"image": image}) as done:
                record = await caption(graph, context, image)
                bindings = {tool: str(settings.binding(tool)) for tool in TOOLS}
                done(record := record | {"bindings": bindings, "trace": seam.run})
            file.write(dump(record) + b"\n")
    return time.perf_counter() - started


async def compare_replay(settings: Settings, images: list[ImageRef], folder: Path) -> None:
    """Record, then replay and run bare."""
    with tracing(settings, command="caption", graph="mtg", tools=TOOLS, given={}) as seam:
        recorded_s = await run_graph(seam, settings, images, folder / "captions.jsonl")
        run = seam.run
    bare_s = await run_graph(DIRECT, settings, images, folder / "bare.jsonl")
    started = time.perf_counter()
    trace = open_trace(settings.traces / f"{run}.jsonl")
    report = await replay_run(trace, replay_settings(trace, Plan()), Plan(), out=folder / "again.jsonl")
    replay_s = time.perf_counter() - started
    assert (report.identical, report.live) == (len(images), 0)
    assert (folder / "again.jsonl").read_bytes() == (folder / "captions.jsonl").read_bytes()
    calls = report.served
    size = trace.path.stat().st_size
    print(f"{len(images)} images, {calls} calls, {size / calls:.0f} bytes a call with nodes and results")
    print(
        f"replay {calls / replay_s:,.0f} calls/s; the bare graph over tools that answer at once "
        f"{calls / bare_s:,.0f}, recorded {calls / recorded_s:,.0f}; replay / bare time {replay_s / bare_s:.2f}"
    )


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        binds = ["images=vllm:double@http://127.0.0.1:1/v1"]
        settings = load_settings(binds=binds)
        bare, recorded = asyncio.run(overhead_us(settings, options.calls))
        print(f"recording: {recorded - bare:.0f} us a call (recorded {recorded:.1f}, bare {bare:.1f})")
        images = [ImageRef(f"{n:05}.jpg", hashlib.sha256(str(n).encode()).hexdigest()) for n in range(options.images)]
        asyncio.run(compare_replay(settings, images, Path(temporary)))


if __name__ == "__main__":
    main()
