"""Where the records of millions of images stand, by path and by content, in little memory."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from threading import Lock

from ctgi.errors import CtgiError

_KEY_BYTES = 16
_SET_UP = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384")
Placed = tuple[int, str, str]
"""The place of an image, its path and its content."""


def key_of(text: str) -> bytes:
    """A text in 16 bytes; that two texts share them is not to be expected among any number of them."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_KEY_BYTES).digest()


@contextmanager
def on_temporary_disk() -> Iterator[None]:
    """What SQLite or we cannot write to a temporary file is a CtgiError with the cure."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise CtgiError(
            f"the folder of temporary files: {what}: free some space there, or set TMPDIR to another"
        ) from None


def temporary_base() -> sqlite3.Connection:
    """A database of SQLite's in a temporary file that goes with it; threads may share it, one at a time."""
    base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for line in _SET_UP:
        base.execute(f"PRAGMA {line}")
    return base


class Places:
    """The path and content of the image at each place; of several places the last counts. Threads may share it.

    A place is a whole number: a row, or where a line begins. They are kept by SQLite in a temporary file, about 100
    bytes each, which goes with this object; in memory they take some 20 MB, however many they are.
    """

    def __init__(self, images: Iterable[Placed] = ()) -> None:
        """Take in many images, which is faster than to add them.

        Raises:
            CtgiError: the temporary file cannot be written.
        """
        self._lock = Lock()
        self._base = temporary_base()
        with self._writing() as base:
            base.execute("CREATE TABLE images (place INTEGER PRIMARY KEY, path BLOB, content BLOB)")
        self.add(images)
        with self._writing() as base:
            base.execute("CREATE INDEX by_path ON images (path)")
            base.execute("CREATE INDEX by_content ON images (content)")

    def __del__(self) -> None:
        self._base.close()

    def add(self, images: Iterable[Placed]) -> None:
        """Take in more images. Raises as the constructor does."""
        with self._writing() as base:
            base.execute("BEGIN")
            base.executemany(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?)",
                ((place, key_of(path), key_of(content)) for place, path, content in images),
            )
            base.execute("COMMIT")

    def of_path(self, path: str) -> tuple[int, bytes] | None:
        """The last place of an image with this path, and the key of its content."""
        return self._last("SELECT place, content FROM images WHERE path = ? ORDER BY place DESC LIMIT 1", path)

    def with_content(self, content: str) -> int | None:
        """The last place of an image with this content."""
        found = self._last("SELECT place, path FROM images WHERE content = ? ORDER BY place DESC LIMIT 1", content)
        return found[0] if found else None

    def contents(self) -> int:
        """How many different contents there are."""
        return self._count("SELECT count(DISTINCT content) FROM images")

    def paths(self) -> int:
        """How many different paths there are."""
        return self._count("SELECT count(DISTINCT path) FROM images")

    def _last(self, query: str, text: str) -> tuple[int, bytes] | None:
        with self._lock:
            found: tuple[int, bytes] | None = self._base.execute(query, [key_of(text)]).fetchone()
        return found

    def _count(self, query: str) -> int:
        with self._lock:
            return int(self._base.execute(query).fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, on_temporary_disk():
            yield self._base
