"""The version of ctgi, and the commit that its code is of."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

__version__ = "0.2.0"


@dataclass(frozen=True)
class Revision:
    """A commit of the code."""

    commit: str
    changed: bool
    """Whether tracked files differ from it."""


def revision() -> Revision | None:
    """The commit that this code is of; None for a copy outside its repository, or without git."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    commit = done.stdout.strip()
    return Revision(commit.removesuffix("-dirty"), commit.endswith("-dirty")) if commit else None
