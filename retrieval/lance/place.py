"""Where a gallery on LanceDB is, and its errors as messages."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ctgi.errors import CtgiError
from ctgi.files import user_folder
from ctgi.text import plain

if TYPE_CHECKING:
    from lancedb import DBConnection

PREFIX = "lance:"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_SOURCE = re.compile(r"(^lance error: )|LanceError\(\w+\): |,? ?\S*/cargo/registry/\S+")


@dataclass(frozen=True)
class LancePlace:
    """`lance:FOLDER`, or `lance:` and the address of a bucket."""

    address: str
    """What LanceDB connects to."""

    @classmethod
    def of(cls, name: str | Path) -> "LancePlace":
        """What a name means that begins with `lance:`; a Path may have lost a slash of its address.

        Raises:
            CtgiError: nothing follows the colon.
        """
        address = str(name).removeprefix(PREFIX)
        if not address:
            raise CtgiError(
                f"{PREFIX} expected a folder or an address behind it, like lance:people or lance:s3://bucket/p"
            )
        return cls(_SCHEME.sub(r"\1://", address, count=1) if _SCHEME.match(address) else address)

    def __str__(self) -> str:
        return PREFIX + self.address

    @property
    def is_remote(self) -> bool:
        """Whether it is no folder of this machine."""
        return "://" in self.address

    @property
    def home(self) -> Path:
        """A folder of this machine for what belongs to the gallery: threads, and what the page keeps.

        Raises:
            CtgiError: it is in object storage, and the user has no home folder.
        """
        if not self.is_remote:
            return Path(self.address)
        folder = user_folder("XDG_STATE_HOME", ".local/state")
        if folder is None:
            raise CtgiError(
                f"{plain(str(self))}: searches have no place on this machine: set XDG_STATE_HOME to a folder"
            )
        return folder / "galleries" / quote(self.address, safe="")

    @property
    def lasting(self) -> "LancePlace":
        """The same place, named so that it means the same from any working directory."""
        return self if self.is_remote else LancePlace(str(Path(self.address).resolve()))

    def connect(self) -> "DBConnection":
        """LanceDB there; nothing is read yet.

        Raises:
            CtgiError: the `lance` extra is not installed, or there is no such place.
        """
        try:
            import lancedb
        except ModuleNotFoundError as error:
            missing = f"a gallery on LanceDB needs {error.name}, which is not installed"
            raise CtgiError(f'{missing}: pip install "ctgi[lance]"') from None
        with explained(self):
            return lancedb.connect(self.address)


@contextmanager
def explained(place: LancePlace) -> Iterator[None]:
    """Turn LanceDB's errors into messages with the gallery's name."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise CtgiError(f"{plain(str(place))}: {_told(error)}") from None


def _told(error: Exception) -> str:
    lines = _SOURCE.sub("", str(error)).strip().splitlines()
    return plain(lines[0] if lines else type(error).__name__)[:300]
