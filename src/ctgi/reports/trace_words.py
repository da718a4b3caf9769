"""Calls, items and comparisons of runs in a few words."""

import json
from collections import Counter
from pathlib import PurePath
from typing import Any

from ctgi.tools.traces.diff import CallChange, TraceDiff
from ctgi.tools.traces.format import Call, Failure

_LONG = 160
_KS = (1, 5, 10)


def asked(call: Call) -> str:
    """What a call asks; of the images only candidates are named, others are those of their item."""
    named = call.args
    image = named.get("image")
    if call.tool == "verify_match" and isinstance(image, dict):
        return cut(f"{PurePath(str(image.get('path'))).name}: {named.get('description')}")
    for name in ("question", "description", "query", "text"):
        if isinstance(named.get(name), str):
            return cut(named[name])
    messages = named.get("messages")
    return f"{len(messages)} messages" if isinstance(messages, list) else ""


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
    if isinstance(out.get("calls"), list) and out["calls"]:
        return "; ".join(_wanted(call) for call in out["calls"])
    if isinstance(out.get("text"), str):
        return str(out["text"])
    if isinstance(out.get("items"), list):
        return "; ".join(str(pair[1] if isinstance(pair, list) and len(pair) > 1 else pair) for pair in out["items"])
    if isinstance(out.get("candidates"), list):
        found = out["candidates"]
        best = found[0].get("image", {}).get("path", "?") if found and isinstance(found[0], dict) else "nothing"
        return f"{len(found)} candidates, first {best}"
    return json.dumps(out, ensure_ascii=False)


def _wanted(call: Any) -> str:
    """A tool that an agent's model asks for."""
    return f"{call.get('name')} {call.get('arguments')}" if isinstance(call, dict) else str(call)


def failed(error: Failure | None) -> str:
    """Why an item failed."""
    return f"{error.type}: {error.message}" if error else ""


def cut(text: str) -> str:
    """A text of one line's length."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def duration(ms: float) -> str:
    """A time for a person."""
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def totals(found: TraceDiff) -> list[str]:
    """The comparison in a few lines."""
    fields = Counter(name for item in found.items for name in item.outputs)
    alone = [sum(item.b is None for item in found.items), sum(item.a is None for item in found.items)]
    changed = sum(not (item.a is None or item.b is None) for item in found.items)
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in fields.most_common()) or "no outcome"
    lines = [f"{found.compared} items compared, {changed} differ; changed: {told}"]
    if any(alone):
        lines.append(f"only in A: {alone[0]} items; only in B: {alone[1]}")
    if found.ranks:
        lines.append(rank_line(found))
    return lines


def rank_line(found: TraceDiff) -> str:
    """Where the right person stands, before and after."""
    parts = []
    for k in _KS:
        shares = [100 * sum(rank is not None and rank <= k for rank in side) / len(found.ranks)
                  for side in zip(*found.ranks, strict=True)]  # fmt: skip
        parts.append(f"R@{k} {shares[0]:.1f} -> {shares[1]:.1f}")
    better = sum(_depth(b) < _depth(a) for a, b in found.ranks)
    worse = sum(_depth(b) > _depth(a) for a, b in found.ranks)
    return f"right person, {len(found.ranks)} queries: {', '.join(parts)}; better {better}, worse {worse}"


def _depth(rank: int | None) -> float:
    return float("inf") if rank is None else rank


def rank_words(rank: int | None) -> str:
    """A rank for a person."""
    return "below the list" if rank is None else str(rank)


def in_words(change: CallChange) -> str:
    """One changed call."""
    call = change.call
    where = f"{call.node}/{call.tool}" if call.node else call.tool
    if change.a and change.b:
        after = " (after another dialogue)" if change.kind == "context" and "turns" in call.args else ""
        return f"{where} {asked(call)}{after}: {answered(change.a)} -> {answered(change.b)}"
    return f"{where} {change.kind}: {asked(call)} -> {answered(call)}"
