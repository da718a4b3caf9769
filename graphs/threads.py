"""Threads of interactive searches: lists them, shows their checkpoints, and forks from one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ctgi.errors import CtgiError
from ctgi.graphs.mti import STOP, build_mti
from ctgi.graphs.mti_state import MtiState, dialogue
from ctgi.graphs.thread_file import threads_to_read, threads_to_write
from ctgi.text import plain

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

FILE = "threads.sqlite"
"""In the gallery's folder."""
_COPY = "__copy__"  # LangGraph's name for an update that changes nothing: a second checkpoint like the first


@dataclass(frozen=True)
class Thread:
    """One interactive search."""

    name: str
    query: str
    answers: tuple[str, ...]
    """What the person has said, on the branch that was gone on with last."""
    asks: str | None
    """The question it waits at; None where it is finished, or was stopped between questions."""
    finished: bool
    checkpoints: int
    began: str
    """ISO 8601, UTC, as is `last`."""
    last: str


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a thread."""

    number: int
    """By which it is forked: 1 is the oldest, and later forks add higher ones."""
    after: int | None
    """The checkpoint it followed; two with the same one are branches."""
    source: str
    """loop (a node ran) or fork."""
    step: int
    """LangGraph's count of steps on this branch."""
    node: str | None
    """The node that runs next; None at the end."""
    at: str
    answers: tuple[str, ...]
    """What the person had said by then."""
    asks: str | None
    """The question put here."""
    answered: str | None
    """What was answered to it; None for one that waits."""
    refined_query: str | None


async def list_threads(file: Path) -> list[Thread]:
    """The threads of a gallery, the latest first; empty where nobody searched interactively.

    Raises:
        CtgiError: the file is damaged.
    """
    if not file.is_file():
        return []
    async with threads_to_read(file) as saver:
        graph = build_mti(saver)
        threads = [_thread(name, await _known(graph, file, name)) for name in await saver.names()]
    return sorted(threads, key=lambda thread: thread.last, reverse=True)


async def history(file: Path, name: str) -> list[Checkpoint]:
    """The checkpoints of a thread, the oldest first.

    Raises:
        CtgiError: no such thread, or the file is damaged.
    """
    _expect(file)
    async with threads_to_read(file) as saver:
        snapshots = await _known(build_mti(saver), file, name)
    numbers = {_id(snapshot.config): number for number, snapshot in enumerate(snapshots, 1)}
    return [_checkpoint(snapshot, numbers) for snapshot in snapshots]


async def fork(file: Path, name: str, number: int) -> Checkpoint:
    """Make a checkpoint's copy the thread's latest, so that `converse` goes on from there; nothing is lost.

    A copy, and not a resumption of the checkpoint itself: LangGraph would answer its question as before, with
    what was recorded under it.

    Raises:
        CtgiError: no such thread or checkpoint, or one at which nothing is left to do.
    """
    _expect(file)
    async with threads_to_write(file) as saver:
        graph = build_mti(saver)
        snapshots = await _known(graph, file, name)
        if not 1 <= number <= len(snapshots):
            raise CtgiError(
                f"thread {name!r} has no checkpoint {number}: expected 1 to {len(snapshots)}, "
                f"as ctgi threads show {name} lists them"
            )
        chosen = snapshots[number - 1]
        if not chosen.next:
            raise CtgiError(f"checkpoint {number} of thread {name!r} is the end of a search: fork an earlier one")
        await graph.aupdate_state(chosen.config, None, _COPY)
    return (await history(file, name))[-1]


def _expect(file: Path) -> None:
    if not file.is_file():
        raise CtgiError(f"{plain(str(file))}: no interactive searches here: start one with ctgi search --interactive")


async def _known(graph: Any, file: Path, name: str) -> "list[StateSnapshot]":
    found = await _snapshots(graph, name)
    if not found:
        raise CtgiError(f"no thread {name!r} in {plain(str(file))}: see ctgi threads list")
    return found


async def _snapshots(graph: Any, name: str) -> "list[StateSnapshot]":
    """The oldest first; the input, which LangGraph keeps as a checkpoint without a state, is left out."""
    history = [snapshot async for snapshot in graph.aget_state_history(_config(name))]
    return [snapshot for snapshot in reversed(history) if "query" in snapshot.values]


def _config(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def _id(config: Any) -> str:
    return str(config["configurable"]["checkpoint_id"])


def _thread(name: str, snapshots: "list[StateSnapshot]") -> Thread:
    first, latest = snapshots[0], snapshots[-1]
    return Thread(
        name=name,
        query=str(latest.values["query"]),
        answers=_answers(latest),
        asks=_asked(latest),
        finished=not latest.next,
        checkpoints=len(snapshots),
        began=str(first.created_at),
        last=str(latest.created_at),
    )


def _checkpoint(snapshot: "StateSnapshot", numbers: dict[str, int]) -> Checkpoint:
    metadata: Any = snapshot.metadata
    return Checkpoint(
        number=numbers[_id(snapshot.config)],
        after=numbers.get(_id(snapshot.parent_config)) if snapshot.parent_config else None,
        source=metadata["source"],
        step=metadata["step"],
        node=snapshot.next[0] if snapshot.next else None,
        at=str(snapshot.created_at),
        answers=_answers(snapshot),
        asks=_asked(snapshot),
        answered=_answered(snapshot),
        refined_query=snapshot.values.get("refined_query"),
    )


def _answers(snapshot: "StateSnapshot") -> tuple[str, ...]:
    return tuple(turn.answer for turn in dialogue(cast(MtiState, snapshot.values)))


def _asked(snapshot: "StateSnapshot") -> str | None:
    return str(snapshot.interrupts[0].value["question"]) if snapshot.interrupts else None


def _answered(snapshot: "StateSnapshot") -> str | None:
    """What the node that asked has written; it leaves no turn where the person wanted no more questions."""
    if not snapshot.interrupts or snapshot.tasks[0].result is None:
        return None
    turns = dialogue(cast(MtiState, snapshot.tasks[0].result))
    return turns[0].answer if turns else STOP
