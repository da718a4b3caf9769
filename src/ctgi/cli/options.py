"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Bind = Annotated[
    list[str] | None,
    typer.Option(
        "--bind",
        "-b",
        metavar="TOOL=BACKEND",
        help="Serve a tool by another backend, as in verify_match=openai:gpt-4o or "
        "images=vllm:MODEL@http://host:8000/v1 (images: all tools that look at an image). Repeatable.",
    ),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Bind all tools at once: embedded, paper or openai.", show_default=False)
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="A ctgi.toml to use instead of the nearest one above here.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notices on stderr.")]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Ask the models even what they answered in an earlier run (see ctgi cache -h)."),
]
NoTrace = Annotated[
    bool, typer.Option("--no-trace", help="Leave no trace of the calls (traces: see ctgi trace --help).")
]
