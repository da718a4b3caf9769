"""What MTG's confidences are worth in training: wrong answers injected, then captions as they are, filtered, weighed.

    python -m benchmarks.uncertain_captions [--wrong 0.2] [--seeds 3]

SYNTHETIC: drawn people (the tests' data set), a CLIP of random weights trained from scratch with IRRA, and confidences
drawn so that wrong answers tend to have lower ones. It shows that the switches work and which way they push, not what
they do on photographs. R@1 is text to image on people never seen in training.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from ctgi.training.config import load_config
from ctgi.training.loop import train
from tests.support.people_dataset import mtg_records, save_people_dataset, save_records
from tests.support.tiny_clip import LEARNER, save_tiny_clip

ARMS = {
    "no wrong answers": ("right.jsonl", []),
    "as they are": ("wrong.jsonl", []),
    "filtered at 0.75": ("wrong.jsonl", ["data.min_confidence=0.75"]),
    "weighed, power 3": ("wrong.jsonl", ["data.confidence_power=3"]),
}


def recall_at_1(root: Path, captions: Path, clip: Path, sets: list[str], seed: int) -> float:
    """Text-to-image R@1 on val after one training."""
    base = [
        f"model.clip=open_clip:local-dir:{clip}", "model.image_size=[64,32]", "data.batch_size=8", "data.workers=0",
        "data.augment=none", "optim.lr=5e-4", "optim.new_lr_factor=1", "optim.bias_lr_factor=1", "optim.eps=1e-8",
        "schedule.warmup_epochs=1", "run.device=cpu", f"run.seed={seed}", "schedule.epochs=8",
    ]  # fmt: skip
    data = {"dataset": "rstp", "root": str(root), "captions": f"mtg:{captions}"}
    with tempfile.TemporaryDirectory() as out:
        report = train(load_config("irra", data=data, sets=[*base, *sets]), Path(out) / "run")
    assert report.retrieval is not None
    return float(report.retrieval["R@1"])


def main() -> None:
    """Print the mean R@1 of each arm and its spread over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wrong", type=float, default=0.2, help="share of answers that are wrong")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(2)
    print(describe_machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        root = save_people_dataset(folder / "people", train=64, val=24, test=1, views=2)
        save_records(folder / "right.jsonl", mtg_records(root))
        save_records(folder / "wrong.jsonl", mtg_records(root, wrong=options.wrong))
        (folder / "clip").mkdir()
        clip = save_tiny_clip(folder / "clip", config=LEARNER)
        print(f"{options.wrong:.0%} of the answers wrong; R@1 on 24 unseen people, {options.seeds} seeds")
        for name, (captions, sets) in ARMS.items():
            found = [recall_at_1(root, folder / captions, clip, sets, seed) for seed in range(options.seeds)]
            print(
                f"{name:18s} {statistics.mean(found):5.1f}  ({', '.join(f'{value:.1f}' for value in found)})",
                flush=True,
            )


if __name__ == "__main__":
    main()
