"""What a source yields."""

from typing import NamedTuple


class Found(NamedTuple):
    """An image, or an archive that could not be read to its end."""

    path: str
    """A file, or a reference (see `references`)."""
    size: int | None = None
    """In bytes, where the listing tells it: of the image; of the whole file for a row of a Parquet file."""
    stamp: int | None = None
    """When it was changed, in ns since 1970, of it or its archive; another number that changes with it where no time is
    told."""
    fault: str = ""
    """Why `path` could not be read; then it is no image."""
