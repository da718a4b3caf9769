"""What stands at the head of a trace, and the recorder that a command runs under."""

import hashlib
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from os.path import commonpath
from pathlib import Path
from typing import Any

import ctgi.version
from ctgi.config import Settings
from ctgi.reading import read_bytes
from ctgi.retrieval.images import ImageRef
from ctgi.tools.telemetry import reporting
from ctgi.tools.traces.format import Header
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.traces.recorder import Recorder
from ctgi.tools.traces.values import Values
from ctgi.tools.traces.writer import TraceWriter

_CODE = ("agents", "graphs", "retrieval", "runs", "tools")
_PACKAGES = ("langgraph", "langchain-core", "httpx2", "transformers", "open_clip_torch", "torch", "faiss-cpu")
_DIGITS = 12
_DECIDING = ("profile", "bindings", "endpoints", "retriever", "mtg", "mti")
"""Tables of the settings that have a part in what comes out; the others hold paths and addresses."""


@contextmanager
def tracing(
    settings: Settings,
    *,
    command: str,
    graph: str,
    tools: Sequence[str],
    given: Mapping[str, Any],
    root: str = "",
    replay: Mapping[str, Any] | None = None,
    inner: Interceptor = DIRECT,
    wanted: bool = True,
) -> Iterator[Interceptor]:
    """The interceptor for a command's tools: a recorder with its header written, or none if not `wanted`.

    Args:
        settings: as the command runs under them; `settings.traces` is the folder.
        command: caption, search or evaluate.
        graph: mtg, mti or plain.
        tools: those that may be called.
        given: the command's own input, for a replay.
        root: the folder under which the trace's paths are written; "" leaves them as they are.
        replay: what is replayed and how, in a replay.
        inner: what stands behind the recorder.
        wanted: whether to record at all.

    Raises:
        CtgiError: the trace cannot be written.
    """

    def header(run: str) -> Header:
        return Header(
            run=run,
            command=command,
            graph=graph,
            root=root,
            bindings={tool: str(settings.binding(tool)) for tool in tools},
            settings={name: table for name, table in settings.public().items() if name in _DECIDING},
            input=Values(root).store(dict(given)),
            replay=dict(replay) if replay else None,
            digests=digests(settings.mtg.question_pool),
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
            versions=_versions(),
            commit=_commit(),
        )

    with (
        _recording(settings, root, header, inner) if wanted else nullcontext(inner) as interceptor,
        nullcontext(interceptor) if replay else reporting(settings, graph, command, interceptor) as outer,
    ):
        yield outer


@contextmanager
def _recording(
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


def root_of(inputs: Sequence[str]) -> str:
    """The folder that all these inputs lie in, if they are absolute paths; "" otherwise."""
    paths = [text.removeprefix("@") for text in inputs]
    if not paths or not all(Path(path).is_absolute() for path in paths):
        return ""
    common = commonpath(paths)
    return common if Path(common).is_dir() else str(Path(common).parent)


def digest_of(images: Iterable[ImageRef]) -> str:
    """Which images a search was over, in which order."""
    return _digest("".join(image.sha256 for image in images).encode())


def digests(pool: Path | None) -> dict[str, str]:
    """Content of the prompts, the question pool and the code that decides what is asked, by name.

    Raises:
        CtgiError: the question pool cannot be read.
    """
    source = pool or files("ctgi.agents") / "question_pool.yaml"
    return {"question_pool": _digest(read_bytes(source, "question pool")), **_packaged_digests()}


@cache
def _packaged_digests() -> dict[str, str]:
    prompts = {f"prompts/{one.name}": one for one in (files("ctgi.agents") / "prompts").iterdir()}
    code = {
        f"{layer}/{path.relative_to(folder)}": path
        for layer in _CODE
        for folder in [Path(str(files(f"ctgi.{layer}")))]
        for path in folder.rglob("*.py")
    }
    return {name: _digest(path.read_bytes()) for name, path in sorted((prompts | code).items()) if path.is_file()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


@cache
def _versions() -> dict[str, str]:
    found = {"ctgi": ctgi.version.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def _commit() -> str | None:
    """The commit that this code is of, with -dirty where files were changed; None for a copy outside its repository."""
    top = Path(ctgi.version.__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
