"""Synthetic people on disk: images and captions in the RSTPReid layout, and a table of what is true of each image."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, write_whole
from ctgi.reading import Json, TextError, parse_json, read_bytes
from ctgi.synth.person import VIEWS
from ctgi.synth.processes import in_order
from ctgi.synth.renderers import Render
from ctgi.synth.shots import CAPTIONS, draw_shots
from ctgi.synth.table import Row, open_table, read_rows
from ctgi.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 4
"""Raised when the same seed gives other pictures or words than before, so that no set is half old and half new."""
IMAGES, TABLE, ANNOTATIONS, RECORD = "imgs", "attributes.jsonl", "data_captions.json", "synth.json"
JPEG_QUALITY = 92
Progress = Callable[[int, int], None]
"""Called with the people done and their number."""


@dataclass(frozen=True)
class Splits:
    """People of each split; they are numbered through in this order."""

    train: int
    val: int
    test: int

    @classmethod
    def of(cls, identities: int, val: int | None = None, test: int | None = None) -> "Splits":
        """Splits of so many people; None for a tenth of them.

        Raises:
            CtgiError: nobody is left to train on.
        """
        val, test = (round(identities / 10) if count is None else count for count in (val, test))
        if min(val, test) < 0 or val + test >= identities:
            raise CtgiError(
                f"{identities} identities with {val} for val and {test} for test: expected at least one more, to "
                "train on; ask for more identities or smaller splits"
            )
        return cls(identities - val - test, val, test)

    @property
    def total(self) -> int:
        """All people."""
        return self.train + self.val + self.test

    def name(self, pid: int) -> str:
        """The split of person number `pid`."""
        if pid < self.train:
            return "train"
        return "val" if pid < self.train + self.val else "test"


@dataclass(frozen=True)
class SynthReport:
    """What a run did."""

    out: str
    seed: int
    identities: int
    images: int
    captions: int
    drawn: int
    """Images of this run; the rest was there."""
    images_by_split: dict[str, int]
    scenes: int = 0
    """Photographs of several people beside them."""


def write_dataset(
    out: Path,
    splits: Splits,
    seed: int = 0,
    *,
    render: Render = Render.DRAWN,
    workers: int = 1,
    without_locks: WithoutLocks = "warn",
    on_progress: Progress = lambda done, total: None,
) -> SynthReport:
    """Draw people and write them to the folder `out`; goes on where an earlier run of the same arguments stopped.

    The same splits, seed and `render` give the same files, by however many processes.

    Raises:
        CtgiError: a library to draw or render with is missing, `out` holds something else, or it cannot be written.
    """
    render.require()
    record = _record(splits, seed, render)
    _claim(out, record)
    with open_table(out / TABLE, VIEWS, without_locks) as table:
        clear_images(out / IMAGES)
        done = table.people
        on_progress(done, splits.total)
        with in_order(partial(save_person, out, splits, seed, render), range(done, splits.total), workers) as people:
            for rows in people:
                table.append(rows)
                on_progress(table.people, splits.total)
        write_whole(out / ANNOTATIONS, _annotations(out / TABLE))
    _write_record(out, record | {"complete": True})
    return SynthReport(
        str(out), seed, splits.total, record["images"], record["captions"], (splits.total - done) * VIEWS,
        record["images_by_split"],
    )  # fmt: skip


def save_person(out: Path, splits: Splits, seed: int, render: Render, pid: int) -> list[Row]:
    """Draw all views of a person and write their images; their rows of the table.

    Raises:
        CtgiError: an image cannot be written.
    """
    rows = []
    for shot in draw_shots(seed, pid, render):
        path = f"{IMAGES}/{shot.name}"
        write_whole(out / path, jpeg(shot.picture.image))
        rows.append({"path": path, "id": pid, "split": splits.name(pid), **shot.truth()})
    return rows


def jpeg(image: "Image") -> bytes:
    """The image as a JPEG file."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _annotations(table: Path) -> Iterator[bytes]:
    """The annotation file of the layout, in pieces."""
    yield b"["
    for number, row in enumerate(read_rows(table)):
        entry = {
            "id": row["id"],
            "img_path": row["path"].removeprefix(f"{IMAGES}/"),
            "captions": row["captions"],
            "split": row["split"],
        }
        yield (b",\n" if number else b"\n") + json.dumps(entry).encode()
    yield b"\n]\n"


# --- the folder


def _record(splits: Splits, seed: int, render: Render) -> Json:
    """What synth.json says: what the set was asked to be, and counts."""
    return {
        "version": VERSION,
        "seed": seed,
        "render": str(render),
        "identities": splits.total,
        "identities_by_split": {name: getattr(splits, name) for name in ("train", "val", "test")},
        "images": splits.total * VIEWS,
        "captions": splits.total * VIEWS * CAPTIONS,
        "images_by_split": {name: getattr(splits, name) * VIEWS for name in ("train", "val", "test")},
        "complete": False,
    }


def _claim(out: Path, record: Json) -> None:
    """Make the folder, or see that it holds the same set."""
    name = plain(str(out))
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / RECORD).exists():
            found = _parsed(read_bytes(out / RECORD))
        elif any(out.iterdir()):
            raise CtgiError(f"{name} is not empty and holds no {RECORD}: choose a new folder")
        else:
            found = record
            _write_record(out, record)
    except OSError as error:
        raise _unwritable(out, error) from None
    if not isinstance(found, dict) or found | {"complete": False} != record:
        raise CtgiError(
            f"{name} holds another synthetic set ({_told(found)}; now asked for: {_told(record)}): choose a new "
            "folder, or give the same arguments to go on there"
        )


def _parsed(content: bytes) -> Any:
    try:
        return parse_json(content)
    except TextError:
        return None


def _told(record: Any) -> str:
    if not isinstance(record, dict):
        return f"no {RECORD} of ours"
    return ", ".join(f"{key} {record.get(key)}" for key in ("version", "seed", "render", "identities_by_split"))


def _write_record(out: Path, record: Json) -> None:
    write_whole(out / RECORD, json.dumps(record, indent=2).encode() + b"\n")


def clear_images(folder: Path) -> None:
    """Make the folder if it is missing; delete half-written images of a run that was killed.

    Raises:
        CtgiError: it cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        for stray in folder.glob(".*.tmp"):
            stray.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> CtgiError:
    return CtgiError(f"{plain(str(folder))}: cannot write a data set here ({error.strerror}): choose another folder")
