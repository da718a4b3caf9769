"""Recording runs of `ctgi` in tests, and finding their traces."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctgi.testing import Reply, Request, ScriptedServer

FOLDER = Path(".ctgi/traces")


def runs() -> list[str]:
    """The recorded runs, oldest first."""
    return [path.stem for path in sorted(FOLDER.glob("*.jsonl"))]


def lines(run: str) -> list[dict[str, Any]]:
    """The records of a run."""
    return [json.loads(line) for line in (FOLDER / f"{run}.jsonl").read_text().splitlines()]


def calls(run: str, tool: str | None = None) -> list[dict[str, Any]]:
    """Its calls, perhaps of one tool."""
    return [line for line in lines(run) if line["t"] == "call" and tool in (None, line["tool"])]


def images(double: ScriptedServer) -> list[str]:
    """The tools that look at an image, bound to the double."""
    return ["--bind", f"images=vllm:double@{double.url}"]


def read(path: str | Path) -> list[dict[str, Any]]:
    """A file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def wordy(shoes: str = "white sneakers") -> Any:
    """A double that describes, answers each question in words of its own, and confirms every match."""

    def answer(seen: Request) -> Reply:
        if seen.choices:
            return Reply("yes", top={"yes": 0.9, "no": 0.1})
        if "Describe" in seen.prompts[-1]:
            return Reply(f"A man in a {_color(seen.images)} shirt.")
        answers = {"trousers": "jeans", "doing": "walking", "shoes": shoes, "color": "blue"}
        return Reply(next((said for word, said in answers.items() if word in seen.prompts[-1]), "not visible"))

    return answer


def _color(shown: Sequence[str]) -> str:
    return ("red", "green", "grey", "black")[int(shown[0][:4], 16) % 4]
