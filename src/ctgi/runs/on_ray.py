"""Shards as tasks of a Ray cluster: what dies with its node is run again on another."""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Generic, TypeVar

from ctgi.errors import CtgiError, EndpointDownError
from ctgi.runs.events import Events
from ctgi.runs.shards import Shard
from ctgi.text import plain

T = TypeVar("T")
RESTARTS = 20
"""How often a shard is run again because its node or process died."""
_ANSWER_S = 5
_CURE = "ray start --head starts one, and ray status shows whether it runs"
_LOOK_S = 1.0
"""Between two looks at how far everything is."""


@dataclass(frozen=True)
class _Ended(Generic[T]):
    """What came of a shard: its result, or what the user has to mend."""

    shard: Shard
    result: T | None
    error: str = ""
    is_down: bool = False
    """Whether a model server is gone, so that other shards would fail alike."""
    node: str = ""
    told: list[str] = field(default_factory=list)
    """Warnings."""


class _Noted:
    """Listens to a shard on another machine; its warnings come back with the result."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def tell(self, text: str) -> None:
        pass

    def announce(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Any]:
        yield lambda done, total=None, note="": None


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """A connection to the Ray cluster at an address: auto, HOST:PORT, ray://HOST:PORT, or local for a new one here.

    Raises:
        CtgiError: Ray is not installed, or no cluster answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that Ray starts for us
    try:
        import ray
    except ImportError:
        raise CtgiError('--ray needs Ray: pip install "ctgi[ray]"') from None
    _expect_answer(address)
    with redirect_stdout(StringIO()):  # where Ray prints its own words when a node dies
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = plain(str(error).strip().partition("\n")[0])
            raise CtgiError(f"--ray {plain(address)}: no connection to a Ray cluster ({reason}): {_CURE}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _expect_answer(address: str) -> None:
    """Find within seconds that nothing listens there: Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CtgiError(f"--ray {plain(address)}: nothing answers there ({plain(reason)}): {_CURE}") from None


def run_shards(
    work: Callable[[Shard, Events], T],
    count: int,
    events: Events,
    look: Callable[[], None],
    *,
    gpus: bool = False,
) -> Iterator[T]:
    """Run `work` for each of `count` shards on some node, and give the results as they come. Use inside `cluster`.

    A shard that a node cannot do, as where its disk is full, is tried on the others.

    Args:
        work: a function that pickles; every node has the working directory and ctgi.
        count: of shards.
        events: hears what shards warn of.
        look: called every second.
        gpus: whether a shard takes a GPU where the cluster has some.

    Raises:
        CtgiError: shards did not finish; those that could did, unless a model server is gone.
    """
    unfinished: list[_Ended[T]] = []
    for ended in _each(work, [Shard(index, count) for index in range(1, count + 1)], events, look, gpus):
        if ended.result is not None:
            yield ended.result
            continue
        unfinished.append(ended)
        if ended.is_down:
            break
    if unfinished:
        more = f" ({len(unfinished) - 1} more shards did not finish)" if len(unfinished) > 1 else ""
        raise CtgiError(f"shard {unfinished[0].shard}: {unfinished[0].error}{more}")


def _each(
    work: Callable[[Shard, Events], T], shards: Sequence[Shard], events: Events, look: Callable[[], None], gpus: bool
) -> "Iterator[_Ended[T]]":
    import ray

    resources: Any = ray.cluster_resources
    gpu = int(gpus and "GPU" in resources())
    task: Any = ray.remote(max_retries=RESTARTS, num_cpus=1, num_gpus=gpu, scheduling_strategy="SPREAD")(_run)
    running = {task.remote(work, shard, str(Path.cwd())): shard for shard in shards}
    tried: dict[Shard, set[str]] = {shard: set() for shard in shards}
    watch, told = _Watch(events), _Once(events)
    while running:
        ready, _ = ray.wait([*running], timeout=_LOOK_S)
        look()
        watch.look()
        for one in ready:
            shard = running.pop(one)
            ended = _result(one, shard)
            told.warn(ended.told)
            node = _untried(ended, tried[shard]) if ended.error else None
            if node:
                events.warn(f"shard {shard} is tried on another node: {ended.error}")
                again = task.options(scheduling_strategy=_on(node))
                running[again.remote(work, shard, str(Path.cwd()))] = shard
            else:
                yield ended


def _run(work: Callable[[Shard, Events], T], shard: Shard, folder: str) -> _Ended[T]:
    """On a node: do a shard, in the working directory of the command."""
    import ray

    noted, node = _Noted(), ray.get_runtime_context().get_node_id()
    try:
        os.chdir(folder)
    except OSError as error:
        where = f"{plain(folder)}: cannot be opened on {socket.gethostname()} ({error.strerror})"
        return _Ended(shard, None, f"{where}: all nodes need this folder", node=node)
    try:
        return _Ended(shard, work(shard, noted), node=node, told=noted.warnings)
    except CtgiError as error:
        down = isinstance(error, EndpointDownError)
        return _Ended(shard, None, str(error), down, node, noted.warnings)


def _result(one: Any, shard: Shard) -> _Ended[Any]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        ended: _Ended[Any] = ray.get(one)
    except RayTaskError:  # a bug keeps its traceback
        raise
    except RayError as error:
        reason = plain(str(error).strip().partition("\n")[0])
        return _Ended(shard, None, f"its process or node died again and again ({reason})")
    return ended


def _untried(ended: _Ended[Any], tried: set[str]) -> str | None:
    """A node on which a shard was not tried yet."""
    tried.add(ended.node)
    return min(_nodes() - tried, default=None) if ended.node else None


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=True)


def _nodes() -> set[str]:
    """The nodes that are there and can work."""
    import ray

    nodes: Any = ray.nodes
    return {node["NodeID"] for node in nodes() if node["Alive"] and node["Resources"].get("CPU")}


class _Once:
    """Passes on what shards warn of; of what several say, one."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._said: set[str] = set()

    def warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            if text not in self._said:
                self._said.add(text)
                self._events.warn(text)


class _Watch:
    """Says when nodes are gone, and once when there is none."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._nodes: set[str] | None = None

    def look(self) -> None:
        before, now = self._nodes, _nodes()
        gone = len((before or set()) - now)
        if gone and now:
            self._events.warn(f"{gone} of the nodes {'is' if gone == 1 else 'are'} gone: their shards go on elsewhere")
        elif not now and before != now:
            self._events.warn("no node of the cluster can work: waiting for one (ray start --address ...)")
        self._nodes = now
