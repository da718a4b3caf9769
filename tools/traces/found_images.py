"""Finds a trace's images again, where they were or where they were moved to."""

from dataclasses import dataclass
from pathlib import Path, PurePath

from ctgi.errors import ImageError
from ctgi.retrieval.images import digest


@dataclass(frozen=True)
class FoundImages:
    """The images of a trace on this machine."""

    folder: Path | None = None
    """Where they lie now, if they were moved."""

    def find(self, path: str, sha256: str) -> str:
        """The place of an image; any image there where no content is known.

        Raises:
            ImageError: it is gone, cannot be read, or another image lies there.
        """
        reason = "no such file"
        for place in self._places(path):
            try:
                if not sha256 or digest(place) == sha256:
                    return place
                reason = "the path holds another image now"
            except ImageError as error:
                reason = error.reason
        raise ImageError(path, reason)

    def _places(self, path: str) -> list[str]:
        if self.folder is None:
            return [path]
        inside = PurePath(path).parts[1:] if PurePath(path).is_absolute() else PurePath(path).parts
        return [str(self.folder.joinpath(*inside[start:])) for start in range(len(inside))]
