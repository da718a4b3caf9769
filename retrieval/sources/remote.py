"""Object storage and web servers, through fsspec: how they are reached, and what went wrong in plain words."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from ctgi.errors import CtgiError
from ctgi.text import plain

T = TypeVar("T")
EXTRA = "pip install 'ctgi[remote]'"
BLOCK_BYTES = 8 << 20
"""Read at once of a file that is read from its beginning to its end."""
_ATTEMPTS = 3
_TIMEOUTS_S = {"total": None, "sock_connect": 20, "sock_read": 60}
_SIGNED = ("signature", "sig", "token", "key", "secret", "password", "credential", "auth")
_CREDENTIALS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket, FSSPEC_S3_ANON=true",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS; for a public bucket, FSSPEC_GS_TOKEN=anon",
    "hf": "set HF_TOKEN",
}

logger = logging.getLogger(__name__)


class RemoteError(Exception):
    """A request failed for good; the message says why, in a few words with the cure."""


class GoneError(RemoteError):
    """There is no such object."""


def file_system(uri: str) -> tuple[Any, str]:
    """The file system of an address, and its path there. The first use of a bucket or host is told.

    Raises:
        CtgiError: what reads it is not installed, or the address holds a credential.
    """
    scheme = scheme_of(uri)
    _refuse_credentials(uri)
    try:
        import fsspec

        options = {"use_listings_cache": False} | ({"client_kwargs": _client_options()} if _is_web(scheme) else {})
        found = fsspec.filesystem(scheme, **options)
    except ImportError:
        cure = "pip install gcsfs" if scheme == "gs" and _has_fsspec() else EXTRA
        raise CtgiError(f"{shown(uri)}: reading {scheme}:// needs more packages: {cure}") from None
    _announce(place_in(uri))
    return found, cast(str, found._strip_protocol(uri))


def scheme_of(uri: str) -> str:
    """The scheme of an address, in lower case."""
    return uri.partition("://")[0].lower()


def place_in(uri: str) -> str:
    """The bucket or host of an address, for messages."""
    scheme = scheme_of(uri)
    parts = uri.partition("://")[2].split("/")
    return plain(f"{scheme}://{'/'.join(parts[:3]) if scheme == 'hf' else parts[0].rpartition('@')[2]}")


def shown(uri: str) -> str:
    """An address for messages, without a user, password or query."""
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return plain(f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0] if _is_web(scheme) else path}")


def asked(uri: str, request: Callable[[], T]) -> T:
    """The result of a request, tried again where that helps.

    Raises:
        GoneError: there is no such object.
        RemoteError: it failed for another reason, for good.
    """
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.3, max=5),
        reraise=True,
    )
    with explained(uri):
        return retrying(request)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn the errors of file systems into a RemoteError."""
    try:
        yield
    except _errors(scheme_of(uri)) as error:
        kind, reason = _reason(error, scheme_of(uri))
        raise kind(reason) from None


def read_part(uri: str, start: int, end: int) -> bytes:
    """The bytes from `start` to before `end`, fewer where the object ends earlier.

    Raises:
        GoneError, RemoteError: as `asked`.
        CtgiError: as `file_system`.
    """
    system, path = file_system(uri)
    if not _is_web(scheme_of(uri)):
        return cast(bytes, asked(uri, lambda: system.cat_file(path, start=start, end=end)))
    return asked(uri, lambda: _web_part(system, path, start, end))


def _web_part(system: Any, path: str, start: int, end: int) -> bytes:
    """Read no further than `end`, whatever the server sends."""
    headers = {"Range": f"bytes={start}-{end - 1}"} if start else {}
    with system.open(path, "rb", block_size=0, size=1, headers=headers) as file:
        if start and file.r.status != 206:
            raise RemoteError("the server serves only whole files, so nothing in an archive can be read: download it")
        parts, wanted = [], end - start
        while wanted > 0 and (part := file.read(wanted)):
            parts.append(part)
            wanted -= len(part)
    return b"".join(parts)


@contextmanager
def opened(uri: str) -> Iterator[BinaryIO]:
    """The file at an address, to be read from its beginning on; places further on may be sought.

    Raises:
        GoneError, RemoteError: as `asked`; also where the server serves only whole files.
        CtgiError: as `file_system`.
    """
    system, path = file_system(uri)
    if _is_web(scheme_of(uri)):
        asked(uri, lambda: _web_part(system, path, 1, 2))
    with asked(uri, lambda: system.open(path, "rb", block_size=BLOCK_BYTES, cache_type="readahead")) as file:
        yield file


def fetch(uri: str, file: str) -> None:
    """Copy an object into a file. Raises as `read_part` does."""
    system, path = file_system(uri)
    asked(uri, lambda: system.get_file(path, file))


def send(file: str, uri: str) -> None:
    """Store a file as an object, which appears when all of it is there. Raises as `read_part` does."""
    system, path = file_system(uri)
    asked(uri, lambda: system.put_file(file, path))


def info(uri: str) -> dict[str, Any]:
    """What the storage tells of an object or prefix: type, size and more. Raises as `read_part` does."""
    system, path = file_system(uri)
    return cast(dict[str, Any], asked(uri, lambda: system.info(path)))


def _client_options() -> dict[str, Any]:
    import aiohttp

    return {"trust_env": True, "timeout": aiohttp.ClientTimeout(**_TIMEOUTS_S)}  # type: ignore[arg-type]


def _has_fsspec() -> bool:
    from importlib.util import find_spec

    return find_spec("fsspec") is not None


def _is_web(scheme: str) -> bool:
    return scheme in ("http", "https")


_told: set[str] = set()
_telling = threading.Lock()


def _announce(place: str) -> None:
    """Say once for each bucket or host that it is reached over the network."""
    with _telling:
        is_new = place not in _told
        _told.add(place)
    if is_new:
        logger.warning("reading from %s over the network", place)


def _refuse_credentials(uri: str) -> None:
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise CtgiError(
            f"{shown(uri)}: the address holds a user or password, which would stand in every record: leave it out and "
            "give credentials through the environment"
        )
    names = [name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)] if parts.query else []
    if any(mark in name for name in names for mark in _SIGNED):
        raise CtgiError(
            f"{shown(uri)}: the address is signed, and the signature would stand in every record: name the bucket "
            "(s3://, gs://) and give credentials through the environment, or download it"
        )


@cache
def _errors(scheme: str) -> tuple[type[BaseException], ...]:
    """What the libraries of a scheme raise."""
    found: list[type[BaseException]] = [OSError, TimeoutError]
    if _is_web(scheme):
        import aiohttp

        found.append(aiohttp.ClientError)
    if scheme == "s3":
        from botocore import exceptions

        found += [exceptions.BotoCoreError, exceptions.ClientError]
    if scheme == "hf":
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        found += [httpx2.HTTPError, HfHubHTTPError]
    if scheme == "gs":
        from gcsfs.retry import HttpError
        from google.auth.exceptions import GoogleAuthError

        found += [HttpError, GoogleAuthError]
    return tuple(found)


def _status(error: BaseException | None) -> int | None:
    """The status of the server's reply, also of the one that a library turned into "not found"."""
    while error is not None:
        told = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
        told = told or getattr(error, "code", None)
        if str(told).isdecimal():
            return int(cast(str, told))
        error = error.__cause__
    return None


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    status = _status(error)
    if status is not None:
        return status == 429 or status >= 500
    if isinstance(error, (FileNotFoundError, PermissionError, RemoteError)):
        return False
    return type(error).__name__ not in ("NoCredentialsError", "ProfileNotFound", "PartialCredentialsError")


def _reason(error: BaseException, scheme: str) -> tuple[type[RemoteError], str]:
    status, name = _status(error), type(error).__name__
    cure = _CREDENTIALS.get(scheme, "it may need a login")
    if name == "OfflineModeIsEnabled":
        return RemoteError, "HF_HUB_OFFLINE is set, so that nothing is read from the hub: unset it"
    if name in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return RemoteError, f"no credentials: {cure}"
    if status in (401, 403) or isinstance(error, PermissionError):
        return RemoteError, f"no permission: {cure}"
    if isinstance(error, FileNotFoundError) and not isinstance(error.__cause__, OSError):
        return GoneError, "there is no such object"
    if status in (404, 410):
        return GoneError, "there is no such object"
    if status is not None:
        return RemoteError, f"the server answered {status}"
    reached = "Timeout" in name or "Connect" in name or isinstance(error, (ConnectionError, TimeoutError))
    if reached or isinstance(error.__cause__, OSError):
        return RemoteError, "cannot be reached: check the address and the network"
    return RemoteError, f"cannot be read ({name})"
