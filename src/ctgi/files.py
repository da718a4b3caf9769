"""Files that are either the old one or the whole new one, whatever happens while they are written."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ctgi.errors import CtgiError
from ctgi.text import plain


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Put `content`, whole or in pieces, at `path` through a temporary file beside it and a rename.

    Raises:
        CtgiError: it cannot be written; what was at `path` is untouched.
    """
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        raise CtgiError(
            f"cannot write {plain(str(path))!r} ({error.strerror}): expected a file in an existing, "
            "writable folder with space left; free some or choose another place"
        ) from None
    except BaseException:  # Ctrl-C: leave no half file behind
        _remove(temporary)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
