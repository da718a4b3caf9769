"""A long list of paths, or of anything else, in little memory."""

import pickle
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import TypeVar, overload

from ctgi.places import on_temporary_disk

_IN_MEMORY = 2**17

T = TypeVar("T")


class Spool(Sequence[T]):
    """Items in a temporary file, which goes with this object; 8 bytes of each are in memory. One thread at a time."""

    def __init__(self, items: Iterable[T] = ()) -> None:
        """Take in items.

        Raises:
            CtgiError: the temporary file cannot be written.
        """
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed below
        self._starts = array("q")
        for item in items:
            self._put(item)

    def __del__(self) -> None:
        with suppress(OSError):  # a full disk was told already
            self._file.close()

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...

    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        self._file.seek(self._starts[place])
        item: T = pickle.load(self._file)
        return item

    def _put(self, item: T) -> None:
        with on_temporary_disk():
            start = self._file.tell()
            pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)
            self._file.flush()
        self._starts.append(start)
