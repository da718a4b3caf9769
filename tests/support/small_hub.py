"""A hub on this machine that holds small models under the names of large ones. Test support."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    """`HEAD` and `GET /owner/name/resolve/REVISION/FILE`, as the hub answers them, and what it says of each."""

    repositories: Mapping[str, Path]
    served: list[str]

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self._answer(whole=False)

    def do_GET(self) -> None:
        self._answer(whole=True)

    def _answer(self, *, whole: bool) -> None:
        name, _, place = self.path.lstrip("/").removeprefix("api/models/").partition("/resolve/")
        place = place.partition("/")[2]  # after the revision
        folder = self.repositories.get("/".join(name.split("/")[:2]))
        if folder is None:
            self._refuse("RepoNotFound")
        elif place and (folder / place).is_file():
            self._send(folder / place, whole)
        elif re.search(r"/tree/[^/?]+(\?|$)", self.path):  # of the whole repository
            files = [{"type": "file", "path": file.name, **_facts(file)} for file in folder.iterdir()]
            self._reply(json.dumps(files).encode())
        elif re.fullmatch(r"/api/models/[^/]+/[^/]+(/revision/[^/]+)?", self.path):
            files = [{"rfilename": file.name} for file in folder.iterdir()]
            self._reply(json.dumps({"id": name, "sha": _COMMIT, "siblings": files}).encode())
        else:
            self._refuse("EntryNotFound")

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", _COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: Path, whole: bool) -> None:
        if whole:
            self.served.append(file.name)
        self._reply(file.read_bytes(), whole)

    def _reply(self, content: bytes, whole: bool = True) -> None:
        self.send_response(200)
        self.send_header("X-Repo-Commit", _COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if whole:
            self.wfile.write(content)


def _facts(file: Path) -> dict[str, object]:
    return {"size": file.stat().st_size, "oid": hashlib.sha256(file.read_bytes()).hexdigest()}


@contextmanager
def small_hub(repositories: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the files that were downloaded from it."""
    handler = type("Hub", (_Hub,), {"repositories": repositories, "served": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", handler.served
        finally:
            server.shutdown()
            thread.join()
