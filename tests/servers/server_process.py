"""A real model server as a child process: started, waited for, stopped or killed. Test support."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

# No server of the tests may reach out: no downloads, no usage statistics.
OFFLINE = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "NO_PROXY": "127.0.0.1"}


@dataclass
class ModelServer:
    """A running server. The process leads a group of its own, which holds its workers too."""

    process: subprocess.Popen[bytes]
    base_url: str
    model: str
    log: Path

    def kill(self) -> None:
        """End it with its workers at once, as a crash would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, patience_s: float = 15) -> None:
        """Ask it to end; what is left of it after that is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        self.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(
    command: Sequence[str], *, model: str, port: int, log: Path, env: dict[str, str], limit_s: float
) -> ModelServer:
    """Start a server and wait until its /health answers.

    Raises:
        RuntimeError: it ended or was not ready within `limit_s`; the message holds the end of its log.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | OFFLINE | env, start_new_session=True
        )
    server = ModelServer(process, f"http://127.0.0.1:{port}/v1", model, log)
    deadline = time.monotonic() + limit_s
    while not _healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            code = process.poll()
            server.kill()
            state = f"not ready after {limit_s:.0f} s" if code is None else f"ended with code {code}"
            raise RuntimeError(f"{command[0]}: {state}; the end of {log}:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)
    return server


def _healthy(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).is_success
    except httpx2.TransportError:
        return False
