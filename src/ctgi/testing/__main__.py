"""A scripted server in a process of its own: `python -m ctgi.testing` prints its URL and serves until it is killed."""

import argparse
import sys
import threading

from ctgi.testing.replies import Reply
from ctgi.testing.requests import Request
from ctgi.testing.server import ScriptedServer, default_reply


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m ctgi.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="by default any that is free")
    parser.add_argument("--latency-ms", type=float, default=0, help="how long each reply takes")
    parser.add_argument("--model", default="scripted", help="the model's name")
    options = parser.parse_args()

    def forgetful(request: Request) -> Reply:
        server.seen.clear()  # a long run would fill the memory
        return default_reply(request)

    server = ScriptedServer(forgetful, models=(options.model,), latency_s=options.latency_ms / 1000, port=options.port)
    with server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
