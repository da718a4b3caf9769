"""Everything that docs/embedded.md says of the embedded models, measured by one command.

    python -m benchmarks.embedded OUT PHOTOGRAPHS [--scene "an indoor hall"] [--limit 40] [--ts CLIP] [--write]

Draws the people (once), then runs the other scripts, two at a time and one thread each; what they print is kept in
OUT/*.txt. PHOTOGRAPHS holds crops and labels.json (benchmarks/real_crops.py). CLIP is a folder with the retriever that
learned from first captions alone. `--write` keeps thresholds and abilities beside the weights. Speed comes last, alone.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CTGI = (sys.executable, "-m", "ctgi")
SETS = {
    "people": ("--identities", "40", "--test", "39", "--seed", "12345"),
    "rendered": ("--identities", "40", "--test", "39", "--seed", "12345", "--render", "3d"),
    "match": ("--identities", "121", "--val", "40", "--test", "80", "--seed", "86028121"),
    "gallery": ("--identities", "240", "--test", "200", "--seed", "777"),
}


def run(out: Path, name: str, command: Sequence[str], threads: int = 1) -> bool:
    """Run a command and keep what it prints in OUT/NAME.txt; whether it succeeded."""
    began = time.monotonic()
    with (out / f"{name}.txt").open("w") as file:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    print(f"{name}: {'done' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode == 0


Table = dict[str, Sequence[str]]
"""Names and commands."""


def on_models(out: Path, options: argparse.Namespace) -> Table:
    """What measures the multimodal model, and with `--write` how far it is to be trusted."""
    people, rendered = out / "people", out / "rendered"
    python = (sys.executable, "-m")
    few, write = ("--limit", str(options.limit)), ("--write",) if options.write else ()
    has_3d = (rendered / "synth.json").exists()
    in_3d = ("--in-3d", str(rendered)) if has_3d else ()
    judge = ("--only", "claims", "typed")
    table: Table = {
        "abilities": (*python, "benchmarks.abilities", str(people), str(options.photographs), *in_3d,
                      "--scene", options.scene, *few, "--errors", *write),
        "verdicts": (*python, "benchmarks.embedded_verdicts", str(out / "match"), "--out", str(out / "verdict-calls"),
                     *write),
        "claims": (*python, "benchmarks.embedded_answers", str(people), "--limit", "120", *judge),
    }  # fmt: skip
    return table | (
        {"claims-3d": (*python, "benchmarks.embedded_answers", str(rendered), *few, *judge)} if has_3d else {}
    )


def on_searches(out: Path, options: argparse.Namespace) -> Table:
    """What uses the thresholds and abilities that the former may have written."""

    def evaluate(name: str, *arguments: str) -> Sequence[str]:
        return (
            *CTGI,
            "evaluate",
            "--data",
            "rstp",
            "--root",
            str(out / "gallery"),
            "-o",
            str(out / f"run-{name}"),
            *arguments,
        )

    table: Table = {
        "mti": evaluate("mti", "--mti", "--limit", "100"),
        "retriever": evaluate("retriever"),
        "photographs": (sys.executable, "-m", "benchmarks.real_crops", str(options.photographs), "--errors"),
    }
    ts = f"open_clip:local-dir:{options.ts}"
    return table | ({"retriever-ts": evaluate("retriever-ts", "--retriever", ts)} if options.ts else {})


def main() -> None:
    """Draw, measure, say where to read it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--scene", default="")
    parser.add_argument("--limit", type=int, default=40, help="drawn and rendered images that are asked everything")
    parser.add_argument("--ts", type=Path, help="the retriever that learned from first captions")
    parser.add_argument("--only", nargs="+", help="names of measurements")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    for name, arguments in SETS.items():
        if not (out / name / "synth.json").exists():
            run(out, f"draw-{name}", (*CTGI, "synth", str(out / name), "--val", "0", *arguments, "--workers", "2"))
    for table in (on_models(out, options), on_searches(out, options)):
        chosen = [(name, command) for name, command in table.items() if name in (options.only or table)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda step: run(out, *step), chosen))
    if "speed" in (options.only or ["speed"]):
        captions = out / "captions.jsonl"
        captions.unlink(missing_ok=True)
        judged = (sys.executable, "-m", "benchmarks.embedded_answers", str(out / "people"), "--only", "speed")
        told = (*CTGI, "caption", str(out / "people" / "imgs"), "--limit", "48", "--no-cache", "--no-trace")
        run(out, "speed-searches", judged, threads=2)
        run(out, "speed-captions", (*told, "--out", str(captions)), threads=2)
    print(f"read {out}/*.txt")


if __name__ == "__main__":
    main()
