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
        help="Backend of a tool, such as verify_match=openai:gpt-4o or images=vllm:MODEL@http://host:8000/v1 "
        "(images: the three tools that look at an image). Repeatable.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        help="Backends of all tools: embedded, laptop, paper or openai (default: embedded).",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings (default: ctgi.toml here or in a folder above, else in ~/.config/ctgi).",
        show_default=False,
    ),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Use and keep no cached replies of models (see ctgi cache --help)."),
]
NoTrace = Annotated[bool, typer.Option("--no-trace", help="Do not record the calls (see ctgi trace --help).")]
TrainSets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="A training setting, such as schedule.epochs=5. Repeatable."
    ),
]

# --- what is worked on
Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES",
        help="Folders, image files, tar or Parquet files, quoted globs, lists of paths (@list.txt), or addresses "
        "(s3://, gs://, hf://, https://).",
    ),
]
Column = Annotated[
    str | None,
    typer.Option("--column", metavar="NAME", help="Column of the pictures in Parquet files (default: the only one)."),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Layout of the data set: cuhk, icfg, rstp, ufine, interactive-pedes, chatpedes, market1501, msmt17, prw "
        "or folder (ctgi data check tells).  [required]",
        show_default=False,
    ),
]
Root = Annotated[Path, typer.Option("--root", "-r", metavar="FOLDER", help="Folder of the data set.")]
Gallery = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        "-g",
        metavar="FOLDER",
        help="Image folder (indexed on first use), or a gallery of ctgi index, also lance:... (default: gallery of "
        "ctgi.toml, else "
        "the last one used here).",
    ),
]
Crop = Annotated[
    bool,
    typer.Option("--crop", help="First cut the people out of photographs and videos, into ./people (see ctgi crop)."),
]
Split = Annotated[str, typer.Option("--split", metavar="SPLIT", help="Split to measure: val or test.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Images to caption at most (default: all).")
]

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work in shards on the nodes of this Ray cluster: HOST:PORT, or auto on one of its nodes.",
        show_default=False,
    ),
]
Shards = Annotated[
    int | None, typer.Option("--shards", metavar="N", min=1, help="With --ray: how many shards (default: 64).")
]
SHARDS = 64

# --- numbers of MTI
Top = Annotated[int | None, typer.Option("--top", metavar="N", min=1, help="K: candidates to verify (default: 20).")]
Lam = Annotated[
    float | None,
    typer.Option("--lam", metavar="X", min=0, max=1, help="Lambda: weight of the original query (default: 0.8)."),
]
Xi = Annotated[
    float | None,
    typer.Option(
        "--xi", metavar="X", help="Xi: cosine above which a confirmed top result ends verification (default: 0.85)."
    ),
]

# --- what comes out
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only estimate calls and tokens; call no model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no notices on stderr.")]
MovedImages = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="FOLDER",
        help="With --html: where the images are now (default: where they were).",
        show_default=False,
    ),
]
Annotations = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="With a layout: the data set's own annotations; their train captions are replaced. With --split: the list "
        "of images.",
    ),
]
KeepHuman = Annotated[
    bool,
    typer.Option(
        "--keep-human",
        help="With --annotations: export even if train images without a caption keep their human ones.",
    ),
]
CaptionsHtml = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Page to write, with images and dialogues inside.")
]
CaptionsTable = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Table to write for a spreadsheet, one row per image.")
]
