"""The account of files that were found and are no images."""

import os
from collections import Counter
from dataclasses import dataclass, field

from ctgi.retrieval.image_kinds import UNREAD, Kind
from ctgi.text import plain

_SHOWN = 6  # endings named in a message


@dataclass
class PassedOver:
    """Files that are not images by name, counted by extension or as "no extension"."""

    endings: Counter[str] = field(default_factory=Counter)
    """Files left out."""
    by_content: Counter[str] = field(default_factory=Counter)
    """Files taken because their content is an image."""
    unread: dict[str, list[str]] = field(default_factory=dict)
    """Files left out that the user may have meant (videos, HEIC), grouped by what to do about them."""

    def count(self, path: str, ending: str, kind: Kind) -> None:
        """Add a file whose extension does not say that it is an image."""
        counts = self.by_content if kind == "image" else self.endings
        counts[ending or "no extension"] += 1
        if kind in UNREAD:
            self.unread.setdefault(UNREAD[kind], []).append(path)

    def lines(self) -> list[str]:
        """The account as messages for the user, one line each; empty if there is nothing to report."""
        lines = []
        if self.by_content:
            lines.append(f"{_files(self.by_content)} taken as images by their content: {_listed(self.by_content)}")
        if self.endings:
            lines.append(f"{_files(self.endings)} passed over: {_listed(self.endings)}")
        for cure, paths in self.unread.items():
            more = f" ({len(paths) - 1:,} more like it)" if len(paths) > 1 else ""
            lines.append(f"{plain(os.path.basename(paths[0]))} is {cure}{more}")
        return lines


def _files(counts: Counter[str]) -> str:
    return f"{counts.total():,} file{'' if counts.total() == 1 else 's'}"


def _listed(counts: Counter[str]) -> str:
    shown = ", ".join(f"{plain(ending)} ({count:,})" for ending, count in counts.most_common(_SHOWN))
    return shown + (f" and {len(counts) - _SHOWN:,} more endings" if len(counts) > _SHOWN else "")
