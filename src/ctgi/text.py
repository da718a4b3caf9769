"""Text that others wrote (models, files, people), made safe to show."""

import re

_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_JOINERS = "\u200c\u200d"  # within emoji and in several scripts; they neither reorder nor hide text


def plain(text: str) -> str:
    r"""One line of `text` that is safe for a terminal or a page.

    White space becomes spaces; control characters, ANSI escapes, bidi overrides, other invisible characters
    and lone surrogates (bytes of names that are not UTF-8) come out as visible escapes such as \x1b.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    return " " if char.isspace() else char.encode("unicode_escape").decode()


def is_file_name(text: str) -> bool:
    """Whether a file could be called so; bytes that are no UTF-8 stand as surrogates, others are none."""
    return "\0" not in text and (text.isascii() or not _NO_BYTES.search(text))


def joined(text: str) -> str:
    """The text with surrogate pairs of UTF-16 joined and lone surrogates replaced by U+FFFD, as ftfy does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
