"""One query to its vector: torch against ONNX Runtime, on a CLIP ViT-B/16 for images of 384 x 128 px.

    python -m benchmarks.onnx_query

Prints milliseconds, as the median of 15: of processor time on one thread, which other programs do not change, and of
the clock on two threads. Weights are random, which changes no time. Each library runs alone, because the idle threads
of one slow down the other.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import open_clip
import torch

from benchmarks.machine import describe_machine
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.onnx_encoder import TEXT
from ctgi.retrieval.onnx_export import write_onnx
from ctgi.retrieval.tokenizer import CaptionTokenizer

QUERIES = (
    "woman with red bag",
    "a young woman in a dark blue jacket over a white shirt, black trousers and white sneakers, with a red bag",
)
REPEATS = 15
NAME = "ViT-B-16-quickgelu"


def main() -> None:
    """Measure and print."""
    print(describe_machine())
    model = open_clip.create_model(NAME, load_weights=False, force_image_size=(384, 128))
    clip = ClipTokens(model, open_clip.get_model_config(NAME)).eval()
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(clip, Path(folder))
        for query in QUERIES:
            compare(clip, Path(folder) / TEXT, query)


def compare(clip: ClipTokens, graph: Path, query: str) -> None:
    """Print both libraries' times for a query."""
    ids = CaptionTokenizer()([query])
    ids = ids[:, : int(ids.argmax()) + 1].contiguous()
    for threads, clock in ((1, time.thread_time), (2, time.perf_counter)):
        torch.set_num_threads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(graph, options)
        with torch.inference_mode():
            ours, theirs = clip.encode_text(ids, normalize=True).numpy(), session.run(None, {"ids": ids.numpy()})[0]
            torch_ms = median_ms(lambda: clip.encode_text(ids, normalize=True), clock)
        onnx_ms = median_ms(lambda run=session.run: run(None, {"ids": ids.numpy()}), clock)
        what = "processor time, one thread" if threads == 1 else "clock, two threads"
        print(
            f"{ids.shape[1]} tokens, {what}: torch {torch_ms:.1f} ms, onnx {onnx_ms:.1f} ms, "
            f"largest difference {np.abs(ours - theirs).max():.0e}"
        )


def median_ms(encode: Callable[[], object], clock: Callable[[], float]) -> float:
    """The median of the encodings."""
    times = []
    for _ in range(REPEATS + 3):
        began = clock()
        encode()
        times.append(1000 * (clock() - began))
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
