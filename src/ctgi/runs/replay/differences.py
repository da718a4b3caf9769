"""Whether an item came out as it was recorded."""

import json
from typing import Any

from ctgi.reading import Json

OWN = frozenset({"seconds", "trace", "bindings", "tokens"})
"""Fields that tell how an outcome was made, not what it is."""


def differences(then: Json, now: Json) -> list[str]:
    """The fields of two outcomes that differ, but for those that tell how they were made.

    What an older ctgi did not write down, of an outcome or of a turn, a verdict or a result in it, cannot differ.
    """
    plain_now = json.loads(json.dumps(now))
    told = (then or plain_now).keys() - OWN
    return [name for name in plain_now if name in told and not _same(then.get(name), plain_now[name])]


def _same(then: Any, now: Any) -> bool:
    if not (isinstance(then, list) and isinstance(now, list)):
        return bool(then == now)
    return len(then) == len(now) and all(_same_entry(*pair) for pair in zip(then, now, strict=True))


def _same_entry(then: Any, now: Any) -> bool:
    if isinstance(then, dict) and isinstance(now, dict):
        return all(name in now and now[name] == value for name, value in then.items())
    return bool(then == now)
