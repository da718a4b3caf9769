"""ctgi: find people in image collections by description, with no human annotation.

    import ctgi

    record = ctgi.caption_image("a.jpg")
    result = ctgi.search("woman with red bag", "./images")

The names in `__all__` are public. `Session` keeps models open over many calls.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ctgi.version import __version__ as __version__

if TYPE_CHECKING:
    from ctgi.api import caption, caption_image, evaluate, index, search
    from ctgi.errors import CtgiError, EndpointDownError, ImageError, ToolError
    from ctgi.results import Anchor, CaptionRecord, DialogueTurn, Match, SearchResult, Turn, VerdictRecord
    from ctgi.session import Session

__all__ = [
    "Anchor",
    "CaptionRecord",
    "CtgiError",
    "DialogueTurn",
    "EndpointDownError",
    "ImageError",
    "Match",
    "SearchResult",
    "Session",
    "ToolError",
    "Turn",
    "VerdictRecord",
    "caption",
    "caption_image",
    "evaluate",
    "index",
    "search",
]

_HOMES = {
    "ctgi.api": ("caption", "caption_image", "evaluate", "index", "search"),
    "ctgi.errors": ("CtgiError", "EndpointDownError", "ImageError", "ToolError"),
    "ctgi.results": ("Anchor", "CaptionRecord", "DialogueTurn", "Match", "SearchResult", "Turn", "VerdictRecord"),
    "ctgi.session": ("Session",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Public names, imported on use: `import ctgi` alone loads nothing."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ctgi' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
