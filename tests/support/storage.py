"""Places where images lie that are no files: archives, tables, buckets, and servers that behave badly."""

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

COLORS = ("red", "green", "blue", "orange", "purple", "black")


def picture(color: str, kind: str = "JPEG") -> bytes:
    """A small picture of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 32), color).save(buffer, kind)
    return buffer.getvalue()


def save_tar(path: Path, members: Mapping[str, bytes], kind: int = tarfile.GNU_FORMAT) -> Path:
    """An archive of these files."""
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def webdataset(count: int) -> dict[str, bytes]:
    """Pictures with a text and a table beside each, as WebDataset has them."""
    members = {}
    for number in range(count):
        members[f"{number // 2:03}/{number}.jpg"] = picture(COLORS[number % len(COLORS)])
        members[f"{number // 2:03}/{number}.txt"] = b"a person"
        members[f"{number // 2:03}/{number}.json"] = b"{}"
    return members


@contextmanager
def object_storage(bucket: str) -> Iterator[Any]:
    """A bucket in moto's server, to which the environment leads; yields boto3's client."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as environment:
            lead_to(f"http://{host}:{port}", environment)
            client = boto3.client("s3")
            client.create_bucket(Bucket=bucket)
            yield client
    finally:
        server.stop()


def lead_to(endpoint: str, environment: pytest.MonkeyPatch) -> None:
    """Let s3:// be what answers at this address, from now on."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # else a file system goes on with the server that it began with
    environment.setenv("AWS_ENDPOINT_URL", endpoint)
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIAXXXXXXXXEXAMPLE")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret-but-long")
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    environment.setenv("AWS_MAX_ATTEMPTS", "1")


class Asked:
    """A request, and the ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self.method = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.range = handler.headers.get("Range", "")

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Send all of it."""
        self._handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        if self.method != "HEAD":
            self._handler.wfile.write(content)

    def part_of(self, content: bytes) -> None:
        """Send what the request's range says, as good servers do."""
        if not self.range:
            self.answer(200, content, Accept_Ranges="bytes")
            return
        start, _, end = self.range.removeprefix("bytes=").partition("-")
        part = content[int(start) : int(end) + 1 if end else None]
        place = f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"
        self.answer(206, part, Accept_Ranges="bytes", Content_Range=place)

    def refuse(self, code: str, status: int) -> None:
        """An error as S3 tells it."""
        self.answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def stream(self, pieces: Iterator[bytes]) -> None:
        """Send pieces until nobody listens any more; no length is told."""
        self._handler.send_response(200)
        self._handler.end_headers()
        if self.method == "HEAD":
            return
        try:
            for piece in pieces:
                self._handler.wfile.write(piece)
        except OSError:
            return


@contextmanager
def web_server(answer: Callable[[Asked], None]) -> Iterator[str]:
    """A web server of this machine; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(Asked(self))

        do_HEAD = do_PUT = do_GET  # a body is not read: who sends one asks first (Expect: 100-continue)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # else many at once wait for a second

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
