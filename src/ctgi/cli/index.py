"""`ctgi index`: embeds a gallery, or brings one up to date."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.options import AsJson, Bind, Config, Profile, Quiet

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.retrieval.gallery import GalleryReport


def index(
    images: Annotated[list[str], typer.Argument(help="Folders, image files, quoted globs, or @list.txt.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Gallery folder (default: .ctgi in the image folder).")
    ] = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    index_type: Annotated[
        str | None,
        typer.Option("--index", metavar="FACTORY", help="A faiss factory string, as HNSW32 (default: Flat, exact)."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Forget what was indexed, as after a change of encoder.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Embed a folder of person images, so that it can be searched; a second run encodes only what changed.

    Example: ctgi index ./images --bind search_gallery=open_clip:ViT-B-16,openai
    """
    from ctgi.config import load_settings

    settings = load_settings(
        binds=bind, profile=profile, config=config, retriever={"index": index_type} if index_type else {}
    )
    report = build(images, out, settings, rebuild=rebuild, quiet=quiet)
    _print_report(report, as_json)
    if report.failed:
        raise typer.Exit(1)


def build(
    images: list[str], out: Path | None, settings: "Settings", *, rebuild: bool = False, quiet: bool = False
) -> "GalleryReport":
    """Build or update the gallery of these images, with progress, and remember it as the one last used."""
    from ctgi.cli.console import notice, progress
    from ctgi.cli.last_gallery import remember
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.retrieval.finding import PassedOver
    from ctgi.retrieval.gallery import build_gallery, gallery_folder

    def tell(passed: PassedOver) -> None:
        for line in passed.lines():
            notice(line, quiet=quiet)

    folder = out or gallery_folder(images)
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    with progress("index", None, quiet=quiet) as update:
        report = build_gallery(
            images,
            folder,
            encoder,
            settings.retriever,
            rebuild=rebuild,
            progress=lambda done, total: update(done, total=total),
            on_found=tell,
        )
    for path, reason in report.failed:
        notice(f"failed: {path}: {reason}")
    remember(folder)
    return report


def _print_report(report: "GalleryReport", as_json: bool) -> None:
    from ctgi.cli.terminal import plain

    if as_json:
        import json
        from dataclasses import asdict

        sys.stdout.write(json.dumps(asdict(report), default=str) + "\n")
        return
    sys.stdout.write(
        f"{report.total} images in {plain(str(report.folder))}: {report.added} added, {report.reused} unchanged, "
        f"{report.removed} removed, {len(report.failed)} failed, {report.seconds:.1f} s\n"
    )
