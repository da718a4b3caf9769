"""Running `ctgi` in tests: what a command printed, and commands in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Done:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


# A shell's background job ignores SIGINT, and its children do: the command must not when the tests run in one.
AS_IN_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """A command in a process of its own, for tests that kill it."""
    code = f"{AS_IN_A_TERMINAL}; from ctgi.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
