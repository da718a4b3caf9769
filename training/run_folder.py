"""The folder of a training run: resolved config, origin, metrics by epoch, curves, checkpoints."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from ctgi.errors import CtgiError
from ctgi.files import is_full, whole_file, write_whole
from ctgi.reading import Json, JsonLine, json_lines
from ctgi.text import plain
from ctgi.version import revision

Record = Json


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training run."""

    path: Path

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint to use."""
        return self.path / "checkpoints" / "best.pt"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch."""
        return self.path / "metrics.jsonl"

    def open(self, config: Mapping[str, Any], **facts: Any) -> None:
        """Make the folder and write config.yaml and run.json (git commit, versions, command, `facts`).

        Raises:
            CtgiError: it cannot be written.
        """
        try:
            self.last.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CtgiError(
                f"--out {plain(str(self.path))}: cannot make this folder ({error.strerror}): choose another"
            ) from None
        write_whole(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False).encode())
        write_whole(self.path / "run.json", (json.dumps({**origin(), **facts}, indent=2) + "\n").encode())

    def records(self) -> list[Record]:
        """The epochs so far, without a line that a kill left half-written.

        Raises:
            CtgiError: another line is not an epoch; the message names it.
        """
        if not self.metrics.is_file():
            return []
        return [_epoch(self.metrics, line) for line in json_lines(self.metrics, "metrics") if not line.is_torn]

    def keep_records(self, epochs: int) -> None:
        """Drop the epochs after `epochs`, which will be trained again."""
        kept = [record for record in self.records() if record["epoch"] <= epochs]
        write_whole(self.metrics, "".join(json.dumps(record) + "\n" for record in kept).encode())

    def add(self, record: Record) -> None:
        """Append one epoch.

        Raises:
            CtgiError: it cannot be written; the checkpoints stay intact.
        """
        try:
            with self.metrics.open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            cure = "free some space" if is_full(error) else "make it writable"
            raise CtgiError(
                f"metrics {plain(str(self.metrics))}: cannot write ({error.strerror}): "
                f"{cure}, then continue with --resume"
            ) from None


def _epoch(path: Path, line: JsonLine) -> Record:
    value = line.value
    fits = isinstance(value, dict) and isinstance(value.get("epoch"), int)
    if fits and all(isinstance(value.get(group, {}), dict) for group in ("loss", "retrieval")):
        return dict(value)
    raise CtgiError(
        f"metrics {plain(str(path))}, line {line.number}: expected an object with epoch, loss and retrieval: "
        "delete the line"
    )


def origin() -> Record:
    """The origin of a run: git commit of the code and whether it was modified, versions, command, time."""
    packages = ("ctgi", "torch", "open_clip_torch", "numpy")
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git": asdict(code) if (code := revision()) else None,
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
    }


def missing_extras() -> list[str]:
    """The optional packages that are missing; without them, there are no event files or no plot."""
    return [name for name in ("tensorboard", "matplotlib") if find_spec(name) is None]


def add_events(folder: Path, record: Record) -> None:
    """Add one epoch to TensorBoard's event files; it replaces later epochs of an earlier start."""
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(folder), purge_step=record["epoch"]) as writer:
        for name, value in flat(record).items():
            writer.add_scalar(name.replace(".", "/"), value, record["epoch"])


def plot_curves(path: Path, records: Sequence[Record]) -> None:
    """Losses above, retrieval below, over epochs, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    epochs = [record["epoch"] for record in records]
    for axis, group, label in zip(axes, ("loss", "retrieval"), ("loss", "percent"), strict=True):
        rows = [flat(record.get(group, {})) for record in records]
        for name in dict.fromkeys(name for row in rows for name in row):
            axis.plot(epochs, [row.get(name) for row in rows], marker=".", label=name)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if rows and any(rows):
            axis.legend(fontsize="small")
    axes[-1].set_xlabel("epoch")
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers in nested tables by dotted names."""
    numbers: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            numbers |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and key != "epoch":
            numbers[f"{prefix}{key}"] = value
    return numbers
