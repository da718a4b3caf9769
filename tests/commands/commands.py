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


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """A command in a process of its own, for tests that kill it."""
    command = [sys.executable, "-c", "from ctgi.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
