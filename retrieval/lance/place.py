"""Where a gallery on LanceDB is, and its errors as messages."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ctgi.errors import CtgiError
from ctgi.files import user_folder
from ctgi.retrieval.gallery_header import has_header
from ctgi.text import plain

if TYPE_CHECKING:
    from lancedb import DBConnection

PREFIX = "lance:"
NAME = "gallery"
"""The table that a gallery is."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_CAUSES = {
    "NoSuchBucket": "there is no such bucket: correct the name, or make the bucket first",
    "Failed to get AWS credentials": "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "no permission: check the credentials, and what they allow in this bucket",
    "SignatureDoesNotMatch": "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "InvalidAccessKeyId": "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "status: 401": "no permission: check the credentials",
    "status: 403": "no permission: check the credentials, and what they allow in this bucket",
    "kind: Connect": "its server cannot be reached: check the network and the address",
    "os error 28": "the disk is full: free some space, and run the same command again; what was committed is kept",
    "os error 122": "the quota is used up: free some space, and run the same command again; what was committed is kept",
    "os error 27": "a file would exceed the largest size that is allowed there: raise the limit (ulimit -f)",
    "os error 13": "no permission to read or write there",
    "os error 30": "the file system is read-only: choose another place",
}
"""What LanceDB's errors hold, and what it means."""
_SOURCE = re.compile(r"(^lance error: )|LanceError\(\w+\): |,? ?\S*/\.?cargo/registry/\S+")


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
            return lancedb.connect(self.address, storage_options=self._storage())

    def _storage(self) -> dict[str, str] | None:
        """What the storage needs to be told beside the environment: a server of one's own may speak plain HTTP."""
        named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        is_plain = self.address.startswith("s3") and named.lower().startswith("http://")
        return {"allow_http": "true"} if is_plain else None

    def check_kind(self) -> None:
        """Refuse a place of this machine at which there is something else.

        Raises:
            CtgiError: it is a file, or a gallery of the other kind.
        """
        if self.is_remote:
            return
        folder = Path(self.address)
        if folder.is_file():
            raise CtgiError(f"{plain(str(self))}: this is a file: name a folder")
        if has_header(folder) and not holds_table(folder):
            copy = f"ctgi gallery copy {plain(self.address)} {PREFIX}OTHER"
            raise CtgiError(
                f"{plain(str(self))}: a gallery in a folder, not on LanceDB: name it {plain(self.address)}, or make "
                f"another one with {copy}"
            )


def holds_table(folder: Path) -> bool:
    """Whether a folder of this machine holds a gallery on LanceDB."""
    return (folder / f"{NAME}.lance").is_dir()


@contextmanager
def explained(place: LancePlace) -> Iterator[None]:
    """Turn LanceDB's errors into messages with the gallery's name."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise CtgiError(f"{plain(str(place))}: {_told(error)}") from None


def _told(error: Exception) -> str:
    known = next((told for mark, told in _CAUSES.items() if mark in str(error)), None)
    if known:
        return known
    lines = _SOURCE.sub("", str(error)).strip().splitlines()
    return plain(lines[0] if lines else type(error).__name__)[:300]
