"""One query to its vector: torch against ONNX Runtime, on a CLIP ViT-B/16 for images of 384 x 128 px.

    python -m benchmarks.onnx_query

Prints the median and the fastest of 30 encodings in milliseconds, tokens included, on two threads. The weights are
random, which changes no time. Each library runs alone, because the idle threads of one slow down the other.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch

from benchmarks.machine import describe_machine
from ctgi.config import RetrieverSettings
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.onnx_export import write_onnx
from ctgi.retrieval.trained_encoder import live_encoder

QUERIES = (
    "woman with red bag",
    "a young woman in a dark blue jacket over a white shirt, black trousers and white sneakers, with a red bag",
)
REPEATS = 30
THREADS = 2


def main() -> None:
    """Measure and print."""
    print(describe_machine())
    torch.set_num_threads(THREADS)
    name = "ViT-B-16-quickgelu"
    model = open_clip.create_model(name, load_weights=False, force_image_size=(384, 128))
    clip = ClipTokens(model, open_clip.get_model_config(name))
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(clip, Path(folder))
        ours, theirs = live_encoder(clip, "torch", "cpu"), load_encoder(f"onnx:{folder}", RetrieverSettings())
        for query in QUERIES:
            words = len(query.split())
            print(f"{words} words: torch {measured(ours.encode_texts, query)}", end=", ")
            print(f"onnx {measured(theirs.encode_texts, query)}", end=", ")
            difference = np.abs(ours.encode_texts([query]).vectors - theirs.encode_texts([query]).vectors).max()
            print(f"largest difference {difference:.1e}")


def measured(encode: Callable[[list[str]], object], query: str) -> str:
    """The median and the fastest of the encodings."""
    times = []
    for _ in range(REPEATS + 3):
        began = time.perf_counter()
        encode([query])
        times.append(1000 * (time.perf_counter() - began))
    return f"{statistics.median(times[3:]):.1f} ms (fastest {min(times[3:]):.1f})"


if __name__ == "__main__":
    main()
