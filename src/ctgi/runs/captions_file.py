"""captions.jsonl: one record per image, appended and flushed as it is finished; what a kill leaves is readable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from io import FileIO
from pathlib import Path
from threading import Lock

from ctgi.appending import append_whole, set_aside
from ctgi.captions import CaptionLine, caption_line
from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, is_full, open_owned
from ctgi.reading import Json, JsonLine, dump, json_lines, parse_json
from ctgi.retrieval.finding import canonical
from ctgi.text import plain


class Captioned:
    """The images with a record; the same file counts once, however its path is written."""

    def __init__(self) -> None:
        self._sha256_of: dict[str, str] = {}
        self._contents: set[str] = set()
        self._lock = Lock()  # images are looked for in a thread while records are added

    def add(self, path: str, sha256: str) -> None:
        """Note a record; a later one of the same file counts. One without a content is of whatever lies there."""
        with self._lock:
            self._sha256_of[path] = sha256
            self._contents.add(sha256)
            if "_by_file" in vars(self):
                self._by_file[canonical(path)] = sha256

    def holds(self, path: str, sha256: str) -> bool:
        """Whether the image at this path, with this content, has a record."""
        fitting = ("", sha256)
        with self._lock:
            if self._sha256_of.get(path) in fitting:
                return True
            return not self._contents.isdisjoint(fitting) and self._by_file.get(canonical(path)) in fitting

    @cached_property
    def _by_file(self) -> dict[str, str]:
        """Content by the one name of each file; made when it is first needed, for that takes a look at every path."""
        return {canonical(path): sha256 for path, sha256 in self._sha256_of.items()}


class CaptionsFile:
    """A captions file open for appending, by one process at a time, with an index of its records."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._captioned = Captioned()
        self._start_of: dict[str, int] = {}
        self.bindings: dict[str, str] = {}
        """Tool -> backend of the last record."""
        for line in json_lines(path, "captions"):
            self._take(line)

    def holds(self, path: str, sha256: str) -> bool:
        """Whether the image at this path, however it is written, with this content, is captioned already."""
        return self._captioned.holds(path, sha256)

    def find(self, sha256: str) -> CaptionLine | None:
        """The last line with a caption of an image with this content under whatever path, or None."""
        start = self._start_of.get(sha256)
        if start is None:
            return None
        with self.path.open("rb") as file:
            file.seek(start)
            return CaptionLine(parse_json(file.readline()))

    def append(self, record: Json) -> None:
        """Write one record and hand it to the operating system before returning.

        Raises:
            CtgiError: the disk is full or the file cannot be written; the records before it stay whole.
        """
        self._remember(CaptionLine(record), self._write(dump(record) + b"\n"))

    def _write(self, content: bytes) -> int:
        """Append a whole line or nothing; returns where it begins."""
        try:
            return append_whole(self._file, content)
        except OSError as error:
            cure = "free some space" if is_full(error) else "choose another --out"
            raise CtgiError(
                f"{plain(str(self.path))}: cannot write ({error.strerror}): {cure}, then run the same command again; "
                "every caption written so far is kept"
            ) from None

    def _take(self, line: JsonLine) -> None:
        if line.is_torn:
            set_aside(self.path, self._file, line, "its image is captioned again")
            return
        self._remember(caption_line(self.path, line), line.start)
        if not line.content.endswith(b"\n"):  # pandas and editors end a file so
            self._write(b"\n")

    def _remember(self, line: CaptionLine, start: int) -> None:
        self.bindings = line.bindings
        if line.has_caption:
            self._captioned.add(line.path, line.sha256)
            self._start_of[line.sha256] = start


@contextmanager
def open_captions(path: Path, without_locks: WithoutLocks = "warn", *, wait: bool = False) -> Iterator[CaptionsFile]:
    """Open `path` for appending; a torn last line of a killed run is moved to a file beside it first.

    A new file left empty is removed.

    without_locks, wait: see `ctgi.files.open_owned`.

    Raises:
        CtgiError: the folder is missing or not writable, a line is no record, or another process is writing this file.
    """
    made = [one for one in (path, *path.parents) if not one.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_owned(path, without_locks, wait=wait)
    except BlockingIOError:
        raise CtgiError(
            f"{plain(str(path))}: another ctgi caption is writing this file: wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise CtgiError(
            f"{plain(str(path))}: cannot write captions here ({error.strerror}): choose another --out"
        ) from None
    with file:
        if not file.seekable():
            raise CtgiError(
                f"{plain(str(path))}: not a file that can be read again, which resuming needs: choose another --out"
            )
        try:
            yield CaptionsFile(path, file)
        finally:
            if path in made and file.seek(0, os.SEEK_END) == 0:
                _remove(made)


def _remove(made: list[Path]) -> None:
    """Remove a new file that nothing was written to, and the folders made for it."""
    with suppress(OSError):
        made[0].unlink()
        for folder in made[1:]:
            folder.rmdir()
