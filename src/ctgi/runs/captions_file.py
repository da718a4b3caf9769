"""captions.jsonl: one record per image, appended and flushed as it is finished; what a kill leaves is readable."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from threading import Lock

from ctgi.appending import append_whole, set_aside
from ctgi.captions import CaptionLine, caption_line
from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, is_full, open_owned
from ctgi.places import Placed, Places, key_of
from ctgi.reading import Json, dump, json_lines, parse_json
from ctgi.retrieval.finding import canonical, many_canonical
from ctgi.text import plain


class Captioned:
    """Which images of a captions file have a caption; the same file counts once, however its path is written."""

    def __init__(self, images: Iterable[Placed] = (), again: Callable[[], Iterable[Placed]] = tuple) -> None:
        """Take in the place, path and content of each; `again` tells them once more, if that is needed."""
        self._places = Places(images)
        self._again = again
        self._by_file: Places | None = None
        self._lock = Lock()  # images are looked for in a thread while records are added

    def add(self, place: int, path: str, sha256: str) -> None:
        """Note a record; a later one of the same file counts. One without a content is of whatever lies there."""
        with self._lock:
            self._places.add([(place, path, sha256)])
            if self._by_file is not None:
                self._by_file.add([(place, canonical(path), sha256)])

    def holds(self, path: str, sha256: str) -> bool:
        """Whether the image at this path, with this content, has a record."""
        fitting = ("", sha256)
        if _has(self._places, path, fitting):
            return True
        if all(self._places.with_content(content) is None for content in fitting):
            return False
        with self._lock:
            if self._by_file is None:
                name_of = many_canonical()  # takes a look at every path
                self._by_file = Places((place, name_of(name), content) for place, name, content in self._again())
        return _has(self._by_file, canonical(path), fitting)

    def find(self, sha256: str) -> int | None:
        """The last place of an image with this content."""
        return self._places.with_content(sha256)


def _placed(path: Path) -> Iterator[Placed]:
    """Where the lines with a caption begin, in a file that may be growing, with their path and content."""
    for line in json_lines(path, "captions", quick=True):
        if line.is_torn:
            return
        record = caption_line(path, line)
        if record.has_caption:
            yield line.start, record.path, record.sha256


def _has(places: Places, path: str, contents: Collection[str]) -> bool:
    found = places.of_path(path)
    return found is not None and found[1] in map(key_of, contents)


class CaptionsFile:
    """A captions file open for appending, by one process at a time, with an index of its records."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self.bindings: dict[str, str] = {}
        """Tool -> backend of the last record."""
        self._captioned = Captioned(self._read(), lambda: _placed(path))

    def holds(self, path: str, sha256: str) -> bool:
        """Whether the image at this path, however it is written, with this content, is captioned already."""
        return self._captioned.holds(path, sha256)

    def find(self, sha256: str) -> CaptionLine | None:
        """The last line with a caption of an image with this content under whatever path, or None."""
        start = self._captioned.find(sha256)
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
        start, line = self._write(dump(record) + b"\n"), CaptionLine(record)
        self.bindings = line.bindings
        if line.has_caption:
            self._captioned.add(start, line.path, line.sha256)

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

    def _read(self) -> Iterator[Placed]:
        """The lines as `_placed` gives them; mends the end of the file."""
        for line in json_lines(self.path, "captions", quick=True):
            if line.is_torn:
                set_aside(self.path, self._file, line, "its image is captioned again")
                return
            record = caption_line(self.path, line)
            self.bindings = record.bindings
            if not line.content.endswith(b"\n"):  # pandas and editors end a file so
                self._write(b"\n")
            if record.has_caption:
                yield line.start, record.path, record.sha256


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
