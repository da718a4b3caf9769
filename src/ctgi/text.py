"""Text that others wrote (models, files, people), made safe to show."""

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


def joined(text: str) -> str:
    """The text with surrogate pairs of UTF-16 joined and lone surrogates replaced by U+FFFD, as ftfy does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
