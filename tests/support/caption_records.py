"""Records of captions files."""

import json
from pathlib import Path
from typing import Any

SHOES, BAG = "What shoes does the person wear?", "What does the person carry?"


def turn(question: str, answer: str, *, confidence: float | None = 0.9, reason: str | None = None) -> dict[str, Any]:
    return {
        "attribute": "shoes" if question == SHOES else "bag",
        "question": question,
        "answer": answer,
        "confidence": confidence,
        "statement": f"The person wears {answer}.",
        "kept": reason is None,
        "reason": reason,
    }


def record(name: str, **changes: Any) -> dict[str, Any]:
    turns = [turn(SHOES, "white sneakers"), turn(BAG, "a red bag", reason="redundant: 0.9 similar to what is known")]
    return {
        "path": name,
        "sha256": f"sha-{name}",
        "initial_caption": "A man.",
        "turns": turns,
        "caption": "A man. The person wears white sneakers.",
        **changes,
    }


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path
