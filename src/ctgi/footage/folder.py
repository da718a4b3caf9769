"""The folder that crops are written to: nothing in it is half, and an interrupted run goes on where it stopped."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from ctgi.appending import append_whole, set_aside
from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, is_full, own, write_whole
from ctgi.footage.sources import SOURCES, Origin
from ctgi.reading import Json, dump, json_lines
from ctgi.text import plain

_PROGRESS = ".crop.jsonl"


@dataclass(frozen=True)
class Mark:
    """How far a source is."""

    source: str
    content: str
    """`content_of` it."""
    asked: str
    """With what it was cropped: detector, interval and limits."""
    done: bool = False
    frame: int = -1
    """The last frame before which all tracks have ended."""
    time_s: float = 0.0
    tracks: int = 0
    """Numbers given to tracks up to there."""


class PeopleFolder:
    """An open folder of crops, for one process at a time."""

    def __init__(self, out: Path, progress: FileIO) -> None:
        self.out = out
        self._progress = progress
        self._sources = FileIO(out / SOURCES, "a+")
        self._marks: dict[str, Mark] = {}
        for line in json_lines(out / _PROGRESS, "progress"):
            if line.is_torn:
                set_aside(out / _PROGRESS, progress, line, "its source is cropped again")
            else:
                mark = Mark(**line.value)
                self._marks[mark.source] = mark
        for line in json_lines(out / SOURCES, "sources"):
            if line.is_torn:
                set_aside(out / SOURCES, self._sources, line, "its source is cropped again")

    def close(self) -> None:
        """Close the files."""
        self._sources.close()

    def named(self, source: str) -> str:
        """A source as sources.jsonl names it: relative paths from the folder of crops."""
        return source if Path(source).is_absolute() else os.path.relpath(source, self.out)

    def mark(self, source: str) -> Mark | None:
        """How far a source is; None if it was never begun."""
        return self._marks.get(self.named(source))

    def begin(self, mark: Mark) -> Mark:
        """Begin a source, or go on with it; what was written after its last mark is removed. Returns where to go on."""
        known = self._marks.get(mark.source)
        again = known if known and (known.content, known.asked) == (mark.content, mark.asked) else mark
        if known:
            self._forget(again)
        self.set(again)
        return again

    def set(self, mark: Mark) -> None:
        """Keep in mind how far a source is."""
        if self._marks.get(mark.source) != mark:
            self._append(self._progress, asdict(mark))
            self._marks[mark.source] = mark

    def save(self, told: Origin, jpeg: bytes) -> None:
        """Write one crop, then the line that says where it is from."""
        file = self.out / told.path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, jpeg)
        self._append(self._sources, told.to_json())

    def _forget(self, mark: Mark) -> None:
        """Remove the crops of a source after its mark."""
        kept: list[bytes] = []
        gone: list[str] = []
        for line in json_lines(self.out / SOURCES, "sources"):
            row: Json = line.value
            if row.get("source") == mark.source and (row.get("frame") is None or row["frame"] > mark.frame):
                gone.append(row["path"])
            else:
                kept.append(line.content if line.content.endswith(b"\n") else line.content + b"\n")
        if gone:
            self._sources.close()
            write_whole(self.out / SOURCES, kept)
            self._sources = FileIO(self.out / SOURCES, "a+")
        for path in gone:
            (self.out / path).unlink(missing_ok=True)

    def _append(self, file: FileIO, row: Json) -> None:
        try:
            append_whole(file, dump(row) + b"\n")
        except OSError as error:
            cure = "free some space" if is_full(error) else "choose another --out"
            raise CtgiError(
                f"{plain(str(self.out))}: cannot write ({error.strerror}): {cure}, then run the same command again; "
                "every crop written so far is kept"
            ) from None


@contextmanager
def open_people(out: Path, without_locks: WithoutLocks = "warn") -> Iterator[PeopleFolder]:
    """The folder `out`, made if it is missing.

    Raises:
        CtgiError: it cannot be written, or another process is writing to it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        progress = FileIO(out / _PROGRESS, "a+")
    except OSError as error:
        raise CtgiError(
            f"{plain(str(out))}: cannot write crops here ({error.strerror}): choose another --out"
        ) from None
    with progress:
        try:
            own(progress.fileno(), out / _PROGRESS, without_locks)
        except BlockingIOError:
            raise CtgiError(
                f"{plain(str(out))}: another ctgi crop is writing here: wait for it, or choose another --out"
            ) from None
        with closing(PeopleFolder(out, progress)) as folder:
            yield folder
