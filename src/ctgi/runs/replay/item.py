"""One recorded item run again, and what it came to."""

from dataclasses import dataclass

from ctgi.errors import ToolError
from ctgi.reading import Json
from ctgi.runs.replay.kind import Work
from ctgi.tools.traces.player import MissError, Replay
from ctgi.tools.traces.reader import Trace


@dataclass(frozen=True)
class Replayed:
    """What an item came to this time."""

    output: Json | None
    """None where it failed, and for an image whose caption is a copy: that is made when its original is there."""
    error: str | None
    served: int
    live: int
    unused: int
    """Recorded calls that were not asked for."""
    cached: int
    """Recorded calls that a cache had answered when they were recorded."""


async def replay_one(trace: Trace, replay: Replay, work: Work, number: int) -> Replayed:
    """Run one recorded item again."""
    recorded = trace.done(number)
    output, error = None, None
    with replay.at(number) as pending:
        if recorded and recorded.error and not pending.calls:  # such as an image that could not even be read
            error = recorded.error.message
        elif not (recorded and recorded.output and "same_as" in recorded.output):
            try:
                output = (await work(trace.items[number].item)).to_json()
            except (ToolError, MissError) as failure:
                error = str(failure)
    cached = sum(call.src == "cache" for call in pending.calls)
    return Replayed(output, error, pending.served, pending.live, len(pending.unused), cached)
