"""The errors that ctgi raises on purpose; anything else is a bug and keeps its traceback."""


class CtgiError(Exception):
    """Something that the user can fix: the message says what failed, what was expected and what to do. Exit code 2."""


class EndpointDownError(CtgiError):
    """A model server is gone for good: the run ends early and what is finished stays on disk."""


class ArgumentError(CtgiError):
    """The arguments of one call are wrong, and the caller can correct them; an agent reads this as the tool's reply."""


class ToolError(Exception):
    """One tool call failed for one item: the item is reported as failed and the run goes on. Exit code 1."""

    spent: tuple[int, int] = (0, 0)
    """Input and output tokens that the failed call took, if the server counted them."""


class ImageError(ToolError):
    """One image cannot be used; `reason` says why in a few words."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnreadError(ImageError):
    """The file system refuses to read the file just now; this says nothing about its content."""


EXHAUSTED = (MemoryError, RecursionError)
"""Errors that a single item may cause; other items go on."""


def exhausted(error: BaseException) -> ToolError:
    """One of `EXHAUSTED` as the ToolError of its item; a ToolError unchanged."""
    if isinstance(error, ToolError):
        return error
    if isinstance(error, MemoryError):
        return ToolError("it takes more memory than there is")
    return ToolError(f"it is nested too deeply ({error})")
