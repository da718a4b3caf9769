"""Calls and items in a few words."""

import json
from pathlib import PurePath
from typing import Any

from ctgi.tools.traces.format import Call, Failure

_LONG = 160


def asked(call: Call) -> str:
    """What a call asks; of the images only candidates are named, others are those of their item."""
    named = call.args
    image = named.get("image")
    if call.tool == "verify_match" and isinstance(image, dict):
        return cut(f"{PurePath(str(image.get('path'))).name}: {named.get('description')}")
    for name in ("question", "description", "query", "text"):
        if isinstance(named.get(name), str):
            return cut(named[name])
    return ""


def answered(call: Call) -> str:
    """What a call gave."""
    return f"failed: {cut(call.error.message)}" if call.error else cut(gave(call.tool, call.out))


def gave(tool: str, out: Any) -> str:
    """A result as text, however damaged it may be."""
    if not isinstance(out, dict):
        return json.dumps(out, ensure_ascii=False)
    if tool == "verify_match":
        sure = out.get("probability")
        said = "yes" if out.get("match") is True else "no"
        return f"{said} ({sure:.2f})" if isinstance(sure, float) else f"{said}: {out.get('text')}"
    if isinstance(out.get("text"), str):
        return str(out["text"])
    if isinstance(out.get("items"), list):
        return "; ".join(str(pair[1] if isinstance(pair, list) and len(pair) > 1 else pair) for pair in out["items"])
    if isinstance(out.get("candidates"), list):
        found = out["candidates"]
        best = found[0].get("image", {}).get("path", "?") if found and isinstance(found[0], dict) else "nothing"
        return f"{len(found)} candidates, first {best}"
    return json.dumps(out, ensure_ascii=False)


def failed(error: Failure | None) -> str:
    """Why an item failed."""
    return f"{error.type}: {error.message}" if error else ""


def cut(text: str) -> str:
    """A text of one line's length."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def duration(ms: float) -> str:
    """A time for a person."""
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
