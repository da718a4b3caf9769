"""Writes a trace: one file per run, each record handed to the operating system before the run goes on."""

import errno
import os
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from threading import Lock

from ctgi.errors import CtgiError
from ctgi.files import is_full, lock
from ctgi.secrets import Secrets
from ctgi.text import plain
from ctgi.tools.traces.format import SUFFIX, Counts, Record, seal
from ctgi.tools.traces.values import Values


class TraceWriter:
    """An open trace; threads and tasks may write to it. The file is locked while open, which readers can see."""

    def __init__(self, folder: Path, values: Values, hidden: Collection[str] = ()) -> None:
        """Create the file of a new run in `folder`.

        Args:
            folder: created if missing.
            values: how values and paths are written.
            hidden: secrets that must not be written, in any text.

        Raises:
            CtgiError: no file can be created there.
        """
        self.values = values
        self.counts = Counts()
        self._lock = Lock()
        self._number = 0
        self._end = 0
        self._hidden = Secrets(hidden)
        self._made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        self.run, self.path, self._file = _new_file(folder)

    def write(self, record: Record) -> None:
        """Append one record.

        Raises:
            CtgiError: the disk is full; earlier records stay intact.
        """
        body = self._hidden.mask_json(self.values.dumps(vars(record)))
        with self._lock:
            line = seal(body, self._number)
            try:
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._file.truncate(self._end)
                cure = (
                    "free some space, or run" if is_full(error) else "set traces to another folder in ctgi.toml, or run"
                )
                raise CtgiError(
                    f"{plain(str(self.path))}: cannot write the trace ({error.strerror}): {cure} with --no-trace"
                ) from None
            self._number += 1
            self._end += len(line)
            self.counts.add(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def discard(self) -> None:
        """Close and remove the file, and the folders that were created for it and are empty."""
        with suppress(OSError):
            self.path.unlink()
            for folder in self._made:
                folder.rmdir()
        self._file.close()


def _new_file(folder: Path) -> tuple[str, Path, FileIO]:
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            run = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"  # microseconds, so that names sort by start time
            path = folder / f"{run}{SUFFIX}"
            try:
                file = FileIO(path, "x")
            except (
                FileExistsError,
                FileNotFoundError,
            ):  # the name is taken, or a run without a trace removed the folder
                continue
            lock(file.fileno(), wait=True)  # only a sign for readers, so a file system without locks is fine
            return run, path, file
    except OSError as error:
        raise CtgiError(
            f"{plain(str(folder))}: cannot keep traces here ({error.strerror}): set traces to "
            "another folder in ctgi.toml, or run with --no-trace"
        ) from None
