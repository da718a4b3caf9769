"""`ctgi caption`: images to dense pseudo-captions by MTG."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import (
    SHARDS,
    Annotations,
    AsJson,
    Bind,
    CaptionsHtml,
    CaptionsTable,
    Column,
    Config,
    Crop,
    DryRun,
    Images,
    KeepHuman,
    Limit,
    NoCache,
    NoTrace,
    Profile,
    Quiet,
    Ray,
    Shards,
)
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.runs.caption import CaptionReport
    from ctgi.runs.export import ExportReport
    from ctgi.runs.shards import Shard
    from ctgi.runs.split_images import SplitImages

Out = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="File to which captions are appended, or an address such as s3://bucket/run.",
    ),
]
Turns = Annotated[
    int | None, typer.Option("--turns", metavar="N", min=0, help="Questions per image at most (default: 6).")
]
ShardOf = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Caption only part I of N, into a file of its own.")
]
Layouts = Annotated[
    list[str] | None,
    typer.Option("--export", metavar="LAYOUT", help="Also write a data set: cuhk, icfg or rstp. Repeatable."),
]
SplitOf = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="SPLIT",
        help="Caption only the images of this split: IMAGES is the folder of a data set, such as ./RSTPReid.",
    ),
]
ImagesRoot = Annotated[
    Path | None,
    typer.Option(
        "--images-root",
        metavar="FOLDER",
        help="With --export: the folder that exported paths are relative to (default: the first of IMAGES).",
    ),
]


def caption(
    images: Images,
    out: Out = "captions.jsonl",
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    turns: Turns = None,
    limit: Limit = None,
    column: Column = None,
    crop: Crop = False,
    split: SplitOf = None,
    shard: ShardOf = None,
    ray: Ray = None,
    shards: Shards = None,
    dry_run: DryRun = False,
    export: Layouts = None,
    annotations: Annotations = None,
    images_root: ImagesRoot = None,
    keep_human: KeepHuman = False,
    html: CaptionsHtml = None,
    table: CaptionsTable = None,
    no_cache: NoCache = False,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write one dense caption per person image, by a dialogue with a multimodal model (MTG).

    Run the same command again to resume: images that have a caption are skipped.

    Example: ctgi caption ./images --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct
    """
    import asyncio

    from ctgi.cli.arguments import in_column, refuse_idle, tell_unused_config
    from ctgi.cli.export import check_layouts, check_pages, write_pages
    from ctgi.config import load_settings
    from ctgi.retrieval.sources.references import is_remote
    from ctgi.runs.delivery import address_of, delivered
    from ctgi.runs.export import check_export, export_all

    images = in_column(images, column)
    listed = (annotations or Path(images[0]) if export else None) if split else annotations
    check_layouts("--export", export, images_root, listed, keep_human)
    check_pages(html, table)
    mtg, cache = {} if turns is None else {"turns": turns}, {"enabled": False} if no_cache else {}
    settings = load_settings(binds=bind, profile=profile, config=config, mtg=mtg, cache=cache)
    layouts = export or []
    if ray:
        given = {"--shard": shard, "--limit": limit, "--dry-run": dry_run}
        refuse_idle(given, "with --ray, which captions all shards")
        written = {"--export": export, "--html": html, "--csv": table}
        refuse_idle(written, "with --ray: run ctgi captions merge, then ctgi export")
        refuse_idle({"--out": is_remote(out)}, "as an address with --ray: give a folder that all nodes share")
    else:
        refuse_idle({"--shards": shards}, "without --ray ADDRESS: --shard I/N captions one part here")
    refuse_idle({"--export": export}, "with an --out that is an address: give a file") if is_remote(out) else None
    tell_unused_config(images, config, quiet=quiet)
    refuse_idle({"--crop": crop}, "with --dry-run, which changes nothing") if dry_run else None
    if crop:
        from ctgi.cli.crop import cropped

        images = [cropped(images, bind, profile, config, quiet=quiet)]
    split_of = (images[0], split) if split else None
    if split:
        chosen = _of_split(images, split, layouts, annotations, quiet=quiet)
        images, images_root = chosen.images, images_root or chosen.root
        annotations = annotations or (chosen.annotations if layouts else None)
    check_export(layouts, None if dry_run else annotations, None if keep_human else _most(out, limit))
    part, events = _parse_shard(shard) if shard else None, Terminal(quiet)
    if dry_run:
        refuse_idle({"--shard": shard}, "with --dry-run: it counts all images")
        refuse_idle({"--html": html, "--csv": table}, "with --dry-run: it captions nothing")
        with delivered(out, events) as file:
            _estimate(images, file, settings, limit, events, as_json)
        return
    from ctgi.runs.caption import caption_images
    from ctgi.runs.caption_shards import caption_on_ray, caption_shard

    kept: dict[str, Any] = {"trace": not no_trace, "split_of": split_of}
    with delivered(out, events, part) as file:
        if ray:
            report = caption_on_ray(images, file, settings, events, address=ray, shards=shards or SHARDS, **kept)
        elif part:
            report = asyncio.run(caption_shard(images, file, part, settings, events, limit=limit, **kept))
        else:
            report = asyncio.run(caption_images(images, file, settings, events, limit=limit, **kept))
    file, root = Path(report.out), images_root or Path(images[0])
    exported = export_all(file, layouts, events, images_root=root, annotations=annotations, keep_human=keep_human)
    write_pages(file, html, table, None, events)
    report.out = address_of(out, report.out) if file.exists() else report.out
    _print_report(report, exported, as_json)
    if report.failed:
        raise typer.Exit(1)


def _of_split(
    images: list[str], split: str, layouts: list[str], annotations: Path | None, *, quiet: bool
) -> "SplitImages":
    """The images of a split, from the data set's own list."""
    from ctgi.cli.console import notice
    from ctgi.runs.split_images import split_images

    shown = plain(split)
    if len(images) != 1:
        raise CtgiError(f"--split {shown}: expected one data set, and not {len(images)} places to look for images")
    if layouts and split != "train":
        raise CtgiError(f"--split {shown}: an export replaces the captions of train: leave out --export")
    chosen = split_images(annotations or Path(images[0]), split, Path(images[0]))
    notice(f"{split} of {chosen.name}: {len(chosen.images):,} images", quiet=quiet)
    return chosen


def _parse_shard(text: str) -> "Shard":
    from ctgi.runs.shards import Shard

    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise CtgiError(f"--shard {text!r}: expected I/N with 1 <= I <= N, like 2/4")
    return Shard(int(index), int(count))


def _most(out: str, limit: int | None) -> int | None:
    """How many images can have a caption in the end; None without a limit."""
    from ctgi.captions import read_captions

    file = Path(out)
    captioned = sum(line.has_caption for line in read_captions(file)) if limit is not None and file.is_file() else 0
    return None if limit is None else captioned + limit


def _estimate(
    images: list[str], out: Path, settings: "Settings", limit: int | None, events: Terminal, as_json: bool
) -> None:
    from ctgi.runs.estimate import estimate

    expected = estimate(images, out, settings, events, limit=limit)
    if as_json:
        print_json(expected)
        return
    sys.stdout.write(
        f"{expected['images']} images to caption ({expected['already']} have one in {out})\n"
        f"at most {expected['calls']} calls, {expected['input_tokens']:,} input tokens "
        f"({expected['image_tokens']:,} of them image tokens) and about {expected['output_tokens']:,} output tokens\n"
        "nothing was sent; a server that caches prefixes computes about "
        f"{expected['uncached_input_tokens']:,} of the input tokens\n"
    )


def _print_report(report: "CaptionReport", exported: dict[str, "ExportReport"], as_json: bool) -> None:
    from ctgi.cli.export import exports_as_json, told_exports

    if as_json:
        corrected = {path: one.corrected for path, one in exported.items()}
        files = {"exported": list(exported), **exports_as_json(exported), "corrected": corrected}
        print_json({**report.to_json(), **files, "trace": report.trace})
        return
    dropped = ", ".join(f"{count} {reason}" for reason, count in report.dropped.most_common()) or "none"
    sys.stdout.write(
        f"{report.captioned} captioned, {report.copied} copied (same content), {report.already} had a caption, "
        f"{len(report.failed)} failed\n"
        f"answers: {report.kept} kept, {report.dropped.total()} dropped ({dropped})\n"
        f"{report.seconds:.1f} s, {report.images_per_s:.2f} images/s, {report.calls:,} calls with "
        f"{report.tokens['input']:,} input and {report.tokens['output']:,} output tokens"
        f"{f', {report.cached:,} more answered from the cache' if report.cached else ''}\n"
        + _where(report)
        + told_exports(exported)
    )


def _where(report: "CaptionReport") -> str:
    """The file of captions, if there is one, or how to make one of the parts."""
    from ctgi.retrieval.sources.references import is_remote

    out = plain(report.out)
    if report.shards:
        return f"in {report.shards} parts beside {out}: ctgi captions merge {out} makes one file of them\n"
    return f"{out}\n" if Path(report.out).exists() or is_remote(report.out) else ""
