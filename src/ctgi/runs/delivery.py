"""Captions that go to object storage: written on this machine, and stored as one object when a run is finished."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.files import user_folder, write_whole
from ctgi.reading import read_json
from ctgi.retrieval.sources import remote
from ctgi.retrieval.sources.listing import state_of
from ctgi.retrieval.sources.references import is_remote
from ctgi.runs.events import Events
from ctgi.runs.manifest import manifest_of
from ctgi.runs.shards import Shard
from ctgi.text import plain

_NAME = "captions.jsonl"


@contextmanager
def delivered(out: str | Path, events: Events, shard: Shard | None = None) -> Iterator[Path]:
    """The file to write what goes to `out`, which may be an address in object storage.

    What is there already is fetched first, so that a run goes on from it. When the block ends without an error, what is
    new is stored; after an error it stays in the file, and the next run on this machine goes on from there. With
    `shard` the file is that of all parts, as a caller of `caption_shard` gives it, and the part and the manifest go
    both ways.

    Raises:
        CtgiError: the storage cannot be reached, or was written to by others meanwhile.
    """
    if not is_remote(str(out)):
        yield Path(out)
        return
    folder, name = _parted(str(out))
    home = _home(folder)
    whole = home / name
    file = whole if shard is None else shard.file(whole)
    copies = [_Copy(file, f"{folder}/{file.name}")]
    if shard is not None:
        copies.append(_Copy(manifest_of(whole), f"{folder}/{manifest_of(whole).name}", is_shared=True))
    events.announce(f"captions go to {plain(copies[0].address)} when the run is finished; until then to {file}")
    for copy in copies:
        copy.fetch()
    try:
        yield whole
    except BaseException:
        events.warn(f"nothing was stored: what is finished is in {file}, and the next run here goes on from it")
        raise
    for copy in copies:
        copy.send()


def address_of(out: str | Path, file: str) -> str:
    """Where the file of a run is stored that goes to `out`: its address, or the file itself."""
    return f"{_parted(str(out))[0]}/{Path(file).name}" if is_remote(str(out)) else file


def _parted(out: str) -> tuple[str, str]:
    """The folder and the name that an address of captions means."""
    if not out.lower().startswith(("s3://", "gs://", "hf://")):
        raise CtgiError(f"--out {remote.shown(out)}: a web server stores nothing: give a file, or an s3:// address")
    folder, _, name = out.rpartition("/")
    if name.endswith(".jsonl") and folder.partition("://")[2]:
        return folder, name
    return out.rstrip("/"), _NAME


def _home(folder: str) -> Path:
    """Where captions are written on this machine on their way to this address."""
    state = user_folder("XDG_STATE_HOME", ".local/state")
    if state is None:
        raise CtgiError("--out: no home folder to write captions to beforehand: set XDG_STATE_HOME to a folder")
    home = state / "delivery" / hashlib.sha256(folder.encode()).hexdigest()[:16]
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CtgiError(
            f"{home}: cannot write here ({error.strerror}): set XDG_STATE_HOME to a writable folder"
        ) from None
    return home


@dataclass(frozen=True)
class _Copy:
    """A file of this machine and the object that it becomes."""

    file: Path
    address: str
    is_shared: bool = False
    """Whether all machines write the same, so that what is stored already will do."""

    def fetch(self) -> None:
        """Bring the file up to what is stored."""
        there, here, noted = self._there(), _state(self.file), self._noted()
        if there is None or there == noted[0]:
            return
        if here is not None and here != noted[1] and not self.is_shared:
            raise self._conflict()
        self._ask(lambda: remote.fetch(self.address, str(self.file)))
        self._note(there)

    def send(self) -> None:
        """Store the file, if it has anything new."""
        here, noted = _state(self.file), self._noted()
        if here is None or here == noted[1]:
            return
        if self._there() not in (None, noted[0]):
            if self.is_shared:
                return
            raise self._conflict()
        self._ask(lambda: remote.send(str(self.file), self.address))
        self._note(self._there())

    def _there(self) -> list[int | None] | None:
        """Size and time of the object; None if there is none."""
        try:
            return [*state_of(self.address)[1:]]
        except remote.GoneError:
            return None
        except remote.RemoteError as error:
            raise self._failure(error) from None

    @property
    def _note_file(self) -> Path:
        return self.file.with_name(f".{self.file.name}.stored")

    def _noted(self) -> Sequence[list[int] | None]:
        """What both were when they were the same."""
        if not self._note_file.exists():
            return None, None
        noted = read_json(self._note_file, "note of what was stored")
        return noted if isinstance(noted, list) and len(noted) == 2 else (None, None)

    def _note(self, there: list[int | None] | None) -> None:
        write_whole(self._note_file, json.dumps([there, _state(self.file)]).encode())

    def _ask(self, request: Callable[[], None]) -> None:
        try:
            request()
        except remote.RemoteError as error:
            raise self._failure(error) from None

    def _failure(self, error: remote.RemoteError) -> CtgiError:
        kept = f"; what is finished is in {self.file}" if self.file.exists() else ""
        return CtgiError(f"--out {remote.shown(self.address)}: {error}{kept}: run the same command again then")

    def _conflict(self) -> CtgiError:
        return CtgiError(
            f"--out {remote.shown(self.address)}: was written by another machine, and {self.file} has captions that "
            "were not stored yet: give another --out, or move that file away"
        )


def _state(file: Path) -> list[int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns]
