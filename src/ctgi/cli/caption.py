"""`ctgi caption`: images to dense pseudo-captions by MTG."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, notice, print_json
from ctgi.cli.options import AsJson, Bind, Config, NoCache, NoTrace, Profile, Quiet
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.runs.caption import CaptionReport, Shard
    from ctgi.runs.export import ExportReport

_LAYOUTS = ("cuhk", "icfg", "rstp")


def caption(
    images: Annotated[list[str], typer.Argument(help="Folders, image files, quoted globs, or @list.txt.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Captions are appended here.")] = Path("captions.jsonl"),
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    turns: Annotated[int | None, typer.Option(min=0, help="Questions per image (N; default 6).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Caption at most this many images now.")] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only part I of N; each part writes its own file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate calls and tokens; call no model.")] = False,
    export: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYOUT", help="Also write the annotations of cuhk, icfg or rstp. Repeatable."),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="With --export: the data set's own annotations, whose train captions are replaced."),
    ] = None,
    images_root: Annotated[
        Path | None,
        typer.Option(help="With --export: the folder that its paths are relative to (default: the one given)."),
    ] = None,
    keep_human: Annotated[
        bool,
        typer.Option(
            "--keep-human", help="With --annotations: export although train images without a caption keep people's."
        ),
    ] = False,
    no_cache: NoCache = False,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Describe every person image in one dense caption: a dialogue with a multimodal model (MTG).

    Run the same command again to go on where it stopped; images that have a caption are skipped.

    Example: ctgi caption ./images --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct
    """
    import asyncio

    from ctgi.cli.arguments import refuse_idle, tell_unused_config
    from ctgi.config import load_settings
    from ctgi.runs.caption import caption_images

    if not export:
        given = {"--annotations": annotations, "--images-root": images_root, "--keep-human": keep_human}
        refuse_idle(given, "without --export LAYOUT")
    elif annotations is None:
        refuse_idle({"--keep-human": keep_human}, "without --annotations: nothing that people wrote is exported")
    mtg, cache = {} if turns is None else {"turns": turns}, {"enabled": False} if no_cache else {}
    settings = load_settings(binds=bind, profile=profile, config=config, mtg=mtg, cache=cache)
    for layout in export or []:
        if layout not in _LAYOUTS:
            raise CtgiError(f"--export {layout!r}: expected one of {', '.join(_LAYOUTS)}")
    part = _parse_shard(shard) if shard else None
    if part:
        out = out.with_name(f"{out.stem}.{part.index}-of-{part.count}{out.suffix}")
    tell_unused_config(images, config, quiet=quiet)
    if dry_run:
        refuse_idle({"--shard": shard}, "with --dry-run: it counts all images")
        _estimate(images, out, settings, limit, as_json, quiet)
        return
    if annotations:
        _check_annotations(export or [], annotations)
    work = caption_images(images, out, settings, Terminal(quiet), limit=limit, shard=part, trace=not no_trace)
    report = asyncio.run(work)
    exported = _export(export or [], out, images, images_root, annotations, keep_human)
    _print_report(report, exported, as_json)
    if report.failed:
        raise typer.Exit(1)


def _parse_shard(text: str) -> "Shard":
    from ctgi.runs.caption import Shard

    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise CtgiError(f"--shard {text!r}: expected I/N with 1 <= I <= N, like 2/4")
    return Shard(int(index), int(count))


def _estimate(
    images: list[str], out: Path, settings: "Settings", limit: int | None, as_json: bool, quiet: bool
) -> None:
    from ctgi.retrieval.finding import PassedOver
    from ctgi.runs.estimate import estimate

    passed = PassedOver()
    expected = estimate(images, out, settings, limit=limit, passed=passed)
    for line in passed.lines():
        notice(line, quiet=quiet)
    for failure in expected["failed"]:
        notice(f"cannot be captioned: {failure['path']}: {failure['reason']}")
    if as_json:
        print_json(expected | {"passed_over": passed.endings})
        return
    sys.stdout.write(
        f"{expected['images']} images to caption ({expected['already']} have one in {out})\n"
        f"at most {expected['calls']} calls, {expected['input_tokens']:,} input tokens "
        f"({expected['image_tokens']:,} of them image tokens) and about {expected['output_tokens']:,} output tokens\n"
        "nothing was sent; a server that caches prefixes computes about "
        f"{expected['uncached_input_tokens']:,} of the input tokens\n"
    )


def _check_annotations(layouts: list[str], annotations: Path) -> None:
    """Refuse annotations that no export could use, before images are captioned for it."""
    from ctgi.retrieval.benchmarks.layouts import LAYOUTS, read_annotations

    for layout in layouts:
        read_annotations(annotations, LAYOUTS[layout])


def _export(
    layouts: list[str],
    out: Path,
    images: list[str],
    images_root: Path | None,
    annotations: Path | None,
    keep_human: bool,
) -> dict[str, "ExportReport"]:
    """What was written, by file."""
    from ctgi.captions import read_captions

    if not layouts:
        return {}
    if not out.exists():
        notice(f"nothing to export: no image has a caption in {out}")
        return {}
    from ctgi.runs.export import FILE_NAMES, export_captions, some_of

    root = images_root or Path(images[0])
    written = {}
    for layout in layouts:
        target = out.with_name(f"{out.stem}-{layout}") / FILE_NAMES[layout]
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise CtgiError(
                f"cannot make the folder {target.parent} ({error.strerror}): choose another --out"
            ) from None
        report = export_captions(
            read_captions(out), layout, target, images_root=root, annotations=annotations, keep_human=keep_human
        )
        if report.kept:
            total = report.kept + report.replaced
            notice(f"{target}: {some_of(report.kept_paths, total, 'train')} keep the captions that people wrote")
        written[str(target)] = report
    return written


def _print_report(
    report: "CaptionReport",
    exported: dict[str, "ExportReport"],
    as_json: bool,
) -> None:
    rate = report.captioned / report.seconds if report.seconds else 0.0
    if as_json:
        print_json(
            {
                "out": report.out,
                "captioned": report.captioned,
                "copied": report.copied,
                "already": report.already,
                "failed": [{"path": path, "reason": reason} for path, reason in report.failed],
                "passed_over": report.passed.endings,
                "kept": report.kept,
                "dropped": dict(report.dropped),
                "calls": report.calls,
                "cached": report.cached,
                "thoughts": report.thoughts,
                "not_english": report.not_english,
                "tokens": dict(report.tokens),
                "seconds": round(report.seconds, 3),
                "images_per_s": round(rate, 3),
                "exported": list(exported),
                "kept_human": {path: list(one.kept_paths) for path, one in exported.items()},
                "trace": report.trace,
            }
        )
        return
    dropped = ", ".join(f"{count} {reason}" for reason, count in report.dropped.most_common()) or "none"
    sys.stdout.write(
        f"{report.captioned} captioned, {report.copied} copied (same content), {report.already} had a caption, "
        f"{len(report.failed)} failed\n"
        f"answers: {report.kept} kept, {report.dropped.total()} dropped ({dropped})\n"
        f"{report.seconds:.1f} s, {rate:.2f} images/s, {report.calls:,} calls with "
        f"{report.tokens['input']:,} input and {report.tokens['output']:,} output tokens"
        f"{f', {report.cached:,} more answered from the cache' if report.cached else ''}\n"
        + "".join(f"{plain(path)}\n" for path in [report.out, *exported] if Path(path).exists())
    )
