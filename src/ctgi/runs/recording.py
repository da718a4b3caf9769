"""Runs with trace and cache: every run starts here."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ctgi.agents.prompts import worded
from ctgi.config import Settings
from ctgi.runs.beforehand import beforehand
from ctgi.runs.digests import digests
from ctgi.runs.events import Events
from ctgi.runs.origin import code_commit, versions
from ctgi.tools.chat_cache import ChatCache, open_user_cache
from ctgi.tools.telemetry import reporting
from ctgi.tools.traces.format import Header
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.traces.recorder import Recorder
from ctgi.tools.traces.values import Values
from ctgi.tools.traces.writer import TraceWriter

_DECIDING = ("profile", "bindings", "endpoints", "retriever", "mtg", "mti", "agent", "prompts")
"""Tables of the settings that affect results; the others hold paths and addresses."""


@dataclass(frozen=True)
class Act:
    """The description of a run, for the header of its trace."""

    command: str
    """caption, search, evaluate, or a name of your own."""
    graph: str
    """mtg, mti, plain, or a name of your own."""
    tools: Collection[str]
    """The tools that may be called."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The run's own input, for a replay."""
    root: str = ""
    """The folder under which the trace's paths are written; "" leaves them as they are."""
    told: Collection[str] | None = None
    """The tools to announce beforehand; None: all."""
    given_images: Collection[str] | None = None
    """The tools that get images; None: all that may."""


@dataclass(frozen=True)
class Recording:
    """What a run's tools are opened with."""

    interceptor: Interceptor
    cache: ChatCache


@contextmanager
def recording(
    act: Act,
    settings: Settings,
    events: Events,
    *,
    trace: bool = True,
    cache: AbstractContextManager[ChatCache] | None = None,
) -> Iterator[Recording]:
    """Around a run: says what answers and what leaves the machine, begins the trace, opens the cache.

    Args:
        act: what the run does.
        settings: as it runs under them.
        events: hears it before the first call.
        trace: record every call.
        cache: where replies are kept; None is the user's own.

    Raises:
        CtgiError: the trace or the cache cannot be written.
    """
    for line in beforehand(settings, act.tools if act.told is None else act.told, images=act.given_images):
        events.announce(line)
    with tracing(act, settings, wanted=trace) as interceptor, cache or open_user_cache(settings) as kept:
        yield Recording(interceptor, kept)


@contextmanager
def tracing(
    act: Act,
    settings: Settings,
    *,
    replay: Mapping[str, Any] | None = None,
    inner: Interceptor = DIRECT,
    wanted: bool = True,
) -> Iterator[Interceptor]:
    """The interceptor for a run's tools: a recorder with its header written, or none if not `wanted`.

    Args:
        act: what the run does.
        settings: as it runs under them; `settings.traces` is the folder.
        replay: what is replayed and how, in a replay.
        inner: what stands behind the recorder.
        wanted: whether to record at all.

    Raises:
        CtgiError: the trace cannot be written.
    """

    def header(run: str) -> Header:
        return Header(
            run=run,
            command=act.command,
            graph=act.graph,
            root=act.root,
            bindings={tool: str(settings.binding(tool)) for tool in act.tools},
            settings={name: table for name, table in settings.public().items() if name in _DECIDING},
            input=Values(act.root).store(dict(act.given)),
            replay=dict(replay) if replay else None,
            digests=digests(settings.mtg.question_pool, worded(settings.prompts)),
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
            versions=versions(),
            commit=code_commit(),
        )

    with (
        _recorder(settings, act.root, header, inner) if wanted else nullcontext(inner) as interceptor,
        nullcontext(interceptor) if replay else reporting(settings, act.graph, act.command, interceptor) as outer,
    ):
        yield outer


@contextmanager
def _recorder(
    settings: Settings, root: str, header: Callable[[str], Header], inner: Interceptor
) -> Iterator[Interceptor]:
    writer = TraceWriter(settings.traces, Values(root), settings.secrets())
    recorder = Recorder(writer, inner)
    failure: BaseException | None = None
    try:
        recorder.header(header(writer.run))
        yield recorder
    except BaseException as error:
        failure = error
        raise
    finally:
        recorder.end(failure)
