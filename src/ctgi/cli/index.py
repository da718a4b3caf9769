"""`ctgi index`: embeds a gallery, or brings one up to date."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import SHARDS, AsJson, Bind, Column, Config, Crop, Images, Profile, Quiet, Ray, Shards
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import GalleryReport


Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Folder of the gallery; lance:FOLDER or lance:s3://BUCKET/NAME puts it on LanceDB (default: .ctgi in the "
        "image folder).",
    ),
]
IndexType = Annotated[
    str | None,
    typer.Option("--index", metavar="FACTORY", help="Faiss factory string, such as HNSW32 (default: Flat, exact)."),
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Discard the gallery and index everything again.")]
Check = Annotated[
    bool, typer.Option("--check", help="Only check the gallery of this folder for damage; read every byte.")
]
Optimize = Annotated[
    bool,
    typer.Option("--optimize", help="Only make searches of this LanceDB gallery fast: index it, and join its files."),
]


Metadata = Annotated[
    list[Path] | None,
    typer.Option(
        "--metadata",
        metavar="FILE",
        help="Table (.csv, .tsv, .jsonl) with a row for each image, for ctgi search --where. Repeatable.",
    ),
]


def index(
    images: Images,
    out: Out = None,
    metadata: Metadata = None,
    column: Column = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    index_type: IndexType = None,
    rebuild: Rebuild = False,
    crop: Crop = False,
    ray: Ray = None,
    shards: Shards = None,
    check: Check = False,
    optimize: Optimize = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Index person images for searching. Run the same command again to update: only changes are encoded.

    A table with a column path can say more of each image: camera, site, time, or what you like. The sources.jsonl of
    ctgi crop is read by itself. Later runs add to what is known.

    With --out lance:people the gallery is on LanceDB: also in a bucket, with many writers and searchers at once.

    Example: ctgi index ./images --bind search_gallery=open_clip:ViT-B-16,openai
    """
    from ctgi.cli.arguments import in_column, refuse_idle, tell_unused_config
    from ctgi.config import load_settings
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.retrieval.gallery import gallery_folder
    from ctgi.runs.index import build
    from ctgi.runs.last_gallery import remember

    if check or optimize:
        told = {
            "--out": out,
            "--metadata": metadata,
            "--column": column,
            "--index": index_type,
            "--rebuild": rebuild,
            "--crop": crop,
            "--ray": ray,
            "--shards": shards,
            "--bind": bind,
            "--profile": profile,
        }
        refuse_idle(told, "with --check, which only reads" if check else "with --optimize, which reads no images")
        if check and optimize:
            raise CtgiError("--check and --optimize: one of them at a time")
        _check(images, as_json) if check else _optimize(images, as_json)
        return
    if not ray:
        refuse_idle({"--shards": shards}, "without --ray ADDRESS")
    images = in_column(images, column)
    tell_unused_config(images, config, quiet=quiet)
    settings = load_settings(
        binds=bind, profile=profile, config=config, retriever={"index": index_type} if index_type else {}
    )
    if crop:
        from ctgi.cli.crop import cropped

        images = [cropped(images, bind, profile, config, quiet=quiet)]
    given: dict[str, Any] = {"rebuild": rebuild, "metadata": metadata or ()}
    if ray:
        from ctgi.runs.index_shards import index_on_ray

        given |= {"address": ray, "shards": shards or SHARDS}
        report = index_on_ray(images, out or Path(), settings, Terminal(quiet), **given)
    else:
        encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
        report = build(images, out or gallery_folder(images), encoder, settings, Terminal(quiet), **given)
    if not report.total:
        raise CtgiError(
            f"{images[0]}: none of its images could be read, so there is no gallery: repair one of those listed"
        )
    remember(report.folder)
    _print_report(report, as_json)
    if report.failed:
        raise typer.Exit(1)


def _check(images: list[str], as_json: bool) -> None:
    """Report the damage of galleries; exit code 1 if there is any."""
    from ctgi.retrieval.gallery import kind_of

    damage = [found for path in images for found in kind_of(path).damage_of(Path(path))]
    if as_json:
        print_json({"galleries": images, "damage": damage})
    else:
        told = "".join(f"damaged: {plain(found)}\n" for found in damage)
        sys.stdout.write(told or f"{', '.join(map(plain, images))}: whole\n")
    if damage:
        raise typer.Exit(1)


def _optimize(places: list[str], as_json: bool) -> None:
    from ctgi.retrieval.gallery import kind_of

    done = [(place, kind_of(place).optimize(Path(place))) for place in places]
    if as_json:
        print_json([{"gallery": place, "done": told} for place, told in done])
    else:
        sys.stdout.write("".join(f"{plain(place)}: {plain(told)}\n" for place, told in done))


def _print_report(report: "GalleryReport", as_json: bool) -> None:
    from ctgi.retrieval.gallery_names import encoder_name

    if as_json:
        from dataclasses import asdict

        print_json(asdict(report) | {"folder": str(report.folder)})
        return
    sys.stdout.write(
        f"{report.total} images in {plain(str(report.folder))}: {report.added} added, {report.reused} unchanged, "
        f"{report.removed} removed, {len(report.failed)} failed, {report.seconds:.1f} s; "
        f"encoder {plain(encoder_name(report.encoder))}, {report.bytes / 1e6:.1f} MB on disk\n"
    )
