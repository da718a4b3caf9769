"""Tells which images show the right person, as far as the user or the trace knows."""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath

from ctgi.errors import CtgiError
from ctgi.reading import read_json
from ctgi.text import plain
from ctgi.tools.traces.diff import Right
from ctgi.tools.traces.format import Item


def load_truth(given: Sequence[str]) -> Right:
    """Right images by file name: globs for every query, or JSON files {query: [globs]}; else what the trace says.

    Raises:
        CtgiError: a file does not have this form.
    """
    globs = [text for text in given if not Path(text).is_file()]
    by_query: dict[str, list[str]] = {}
    for text in given:
        if Path(text).is_file():
            by_query |= _read(Path(text))

    def right(query: str, item: Item, path: str, sha256: str) -> bool | None:
        if query in by_query or globs:
            name = PurePath(path).name
            return any(fnmatch(name, one) or fnmatch(path, one) for one in [*globs, *by_query.get(query, ())])
        known = item.input.get("right")
        return sha256 in known if isinstance(known, list) else None

    return right


def _read(path: Path) -> dict[str, list[str]]:
    found = read_json(path, "--truth")
    if not isinstance(found, dict) or not all(isinstance(names, list) for names in found.values()):
        raise CtgiError(f'--truth {plain(str(path))}: expected JSON like {{"woman with red bag": ["anna_*.png"]}}')
    return {query: [str(name) for name in names] for query, names in found.items()}
