"""`ctgi crop`: people out of photographs and videos."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import AsJson, Bind, Config, NoCache, NoTrace, Profile, Quiet
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.footage.report import CropReport

Footage = Annotated[
    list[str], typer.Argument(metavar="PHOTOS|VIDEOS", help="Folders, files, quoted globs or @list.txt.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the crops; created if missing.")]
Every = Annotated[
    float,
    typer.Option("--every", metavar="SECONDS", min=0, help="Time between the frames of a video that are looked at."),
]
MinScore = Annotated[
    float, typer.Option("--min-score", metavar="X", min=0, max=1, help="Least score of the detector, 0 to 1.")
]
MinHeight = Annotated[
    int, typer.Option("--min-height", metavar="PX", min=8, help="People less tall get no crop; they are counted.")
]
Keep = Annotated[
    int, typer.Option("--keep", metavar="N", min=1, help="Crops of each person in a video at most: the best.")
]
Camera = Annotated[
    str | None,
    typer.Option("--camera", metavar="NAME", help="Camera, for sources.jsonl (default: the folder inside PHOTOS)."),
]
Site = Annotated[str | None, typer.Option("--site", metavar="NAME", help="Site, for sources.jsonl.")]
LimitSources = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Stop after N photographs and videos.")
]


def crop(
    footage: Footage,
    out: Out = Path("people"),
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    every: Every = 0.25,
    min_score: MinScore = 0.4,
    min_height: MinHeight = 64,
    keep: Keep = 3,
    camera: Camera = None,
    site: Site = None,
    limit: LimitSources = None,
    no_cache: NoCache = False,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cut the people out of photographs and videos: the best crops of each person, and where each is from.

    The folder is what caption, index and search take. Run the same command again to go on where it stopped.
    Videos need ctgi[detect].

    Example: ctgi crop lobby.mp4 --out people
    """
    import asyncio

    from ctgi.cli.arguments import tell_unused_config
    from ctgi.config import load_settings
    from ctgi.footage.keeping import CropOptions
    from ctgi.runs.crop import crop_people

    cache = {"enabled": False} if no_cache else {}
    settings = load_settings(binds=bind, profile=profile, config=config, cache=cache)
    tell_unused_config(footage, config, quiet=quiet)
    options = CropOptions(every, min_score, min_height, keep, camera, site)
    work = crop_people(footage, out, settings, Terminal(quiet), options, limit=limit, trace=not no_trace)
    report = asyncio.run(work)
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.failed:
        raise typer.Exit(1)


def cropped(
    footage: list[str], bind: list[str] | None, profile: str | None, config: Path | None, *, quiet: bool
) -> str:
    """The folder `people`, with the people of this footage in it, for a command that goes on with them.

    Raises:
        CtgiError: nobody was found.
    """
    import asyncio

    from ctgi.config import load_settings
    from ctgi.runs.crop import crop_people

    events, out = Terminal(quiet), Path("people")
    settings = load_settings(binds=bind, profile=profile, config=config)
    report = asyncio.run(crop_people(footage, out, settings, events))
    if not any(out.glob("*/*.jpg")):
        raise CtgiError(f"--crop: nobody was found in {', '.join(map(plain, footage))}: give footage with people in it")
    events.tell(f"{report.people} people in {report.crops} crops, in {out}; {report.already} sources had been done")
    return str(out)


def _print(report: "CropReport") -> None:
    from ctgi.footage.report import LEFT_OUT

    done = [f"{report.photos} photographs", f"{report.videos} videos ({report.video_s:.1f} s)"]
    left = ", ".join(f"{count} {LEFT_OUT[reason]}" for reason, count in report.left_out.most_common()) or "nobody"
    looked = f"{report.frames} frames looked at, {report.unchanged} unchanged"
    sys.stdout.write(
        f"{', '.join(done)}, {report.already} had been done, {len(report.failed)} failed\n"
        f"{report.people} people in {report.crops} crops; left out: {left}\n"
        + "".join(f"nobody found: {plain(path)}\n" for path in report.nobody)
        + f"{report.seconds:.1f} s; {looked}\n{plain(report.out)}\n"
    )
