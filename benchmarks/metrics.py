"""Evaluation at benchmark sizes: seconds and peak memory, each size in a process of its own.

The sizes are the test splits of CUHK-PEDES (6,156 captions, 3,074 images) and ICFG-PEDES (19,848 each). The other
side is the usual evaluator: the whole matrix, argsorted, with an int64 match matrix beside it; it is run at the
small size only, for at the large one it wants more than 14 GB.

Example: python -m benchmarks.metrics
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.metrics import evaluate_features, evaluate_scores

SIZES = ((6156, 3074, 1000), (19_848, 19_848, 1000))
DIM = 512


def made(queries: int, images: int, persons: int) -> tuple[NDArray[np.float32], ...]:
    """Unit features and person numbers of both sides."""
    generator = np.random.default_rng(0)
    features = [generator.standard_normal((n, DIM), dtype=np.float32) for n in (queries, images)]
    for rows in features:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return *features, np.arange(queries) % persons, np.arange(images) % persons


def whole_matrix_evaluator(scores: NDArray[np.float32], pids: NDArray[np.int64], gallery: NDArray[np.int64]) -> float:
    """Mean average precision the usual way."""
    matches = (gallery[np.argsort(-scores, axis=1)] == pids[:, None]).astype(np.int64)
    precision = matches.cumsum(axis=1) / np.arange(1, matches.shape[1] + 1)
    return float(100 * ((precision * matches).sum(axis=1) / matches.sum(axis=1)).mean())


def measure(queries: int, images: int, persons: int, side: str) -> None:
    """One evaluation; prints its seconds, mAP and the peak memory of this process."""
    query_features, image_features, pids, gallery = made(queries, images, persons)
    started = time.perf_counter()
    if side == "features":
        value = evaluate_features(query_features, image_features, pids, gallery).mean_ap
    else:
        scores = query_features @ image_features.T
        started = time.perf_counter()
        usual = side == "usual"
        value = (
            whole_matrix_evaluator(scores, pids, gallery) if usual else evaluate_scores(scores, pids, gallery).mean_ap
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - started:.2f} {value:.4f} {peak:.2f}")


def main() -> None:
    """Print a line per size and side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs=4, metavar=("QUERIES", "IMAGES", "PERSONS", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        measure(*map(int, arguments.only[:3]), arguments.only[3])
        return
    from machine import describe_machine

    print(describe_machine())
    for size in SIZES:
        sides = ("usual", "matrix", "features") if size == SIZES[0] else ("matrix", "features")
        seconds = {}
        for side in sides:
            command = [sys.executable, __file__, "--only", *map(str, size), side]
            taken, value, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            seconds[side] = float(taken)
            print(
                f"{size[0]} x {size[1]}, {side}: {taken} s, mAP {value}, peak {peak} GiB (features and scores included)"
            )
        if "usual" in seconds:
            print(f"ctgi / usual: {seconds['matrix'] / seconds['usual']:.2f}")


if __name__ == "__main__":
    main()
