"""Options that several commands share: the same thing has the same name everywhere."""

from pathlib import Path
from typing import Annotated

import typer

# --- which models and settings
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
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Ask the models even what they answered in an earlier run (see ctgi cache -h)."),
]
NoTrace = Annotated[
    bool, typer.Option("--no-trace", help="Leave no trace of the calls (traces: see ctgi trace --help).")
]
TrainSets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="One training setting, as in schedule.epochs=5. Repeatable."
    ),
]

# --- what is worked on
Images = Annotated[list[str], typer.Argument(help="Folders, image files, quoted globs, or @list.txt.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="The data set's layout: cuhk, icfg, rstp, or folder.")]
Root = Annotated[Path, typer.Option("--root", "-r", help="The folder of the data set.")]
Gallery = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="An image folder (indexed on first use) or what ctgi index wrote."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Caption at most this many images now.")]

# --- numbers of MTI
Top = Annotated[int | None, typer.Option("--top", min=1, help="Candidates to verify (K; default 20).")]
Lam = Annotated[
    float | None, typer.Option("--lam", min=0, max=1, help="Weight of the original query (lambda; default 0.8).")
]
Xi = Annotated[float | None, typer.Option("--xi", help="Early-stop similarity (xi; default 0.85).")]

# --- what comes out
DryRun = Annotated[bool, typer.Option("--dry-run", help="Estimate calls and tokens; call no model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notices on stderr.")]
MovedImages = Annotated[
    Path | None,
    typer.Option("--images", help="With --html: the folder where the images lie now.", show_default=False),
]
