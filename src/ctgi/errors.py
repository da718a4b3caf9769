"""The errors that ctgi raises on purpose; anything else is a bug and keeps its traceback."""


class CtgiError(Exception):
    """The user's to fix: the message names what failed, what was expected and the next step. Exit code 2."""


class EndpointDownError(CtgiError):
    """A model server is gone for good: the run ends early and what is finished stays on disk."""


class ArgumentError(CtgiError):
    """One call's arguments are wrong, and whoever made the call can mend it; an agent reads it as the tool's reply."""


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
    """The file system does not let the file be read just now, which says nothing about what it holds."""


EXHAUSTED = (MemoryError, RecursionError)
"""What a single item can do to this process; the others need not suffer for it."""


def exhausted(error: BaseException) -> ToolError:
    """One of `EXHAUSTED` as the failure of the item that met it; a ToolError as it is."""
    if isinstance(error, ToolError):
        return error
    if isinstance(error, MemoryError):
        return ToolError("it takes more memory than there is")
    return ToolError(f"it is nested too deeply ({error})")
