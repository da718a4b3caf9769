"""`ctgi gallery`: galleries as a whole."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import AsJson, Bind, Config, Profile, Quiet
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.retrieval.parts import Space

gallery = typer.Typer(
    help="Copy galleries: from a folder to LanceDB and back, and embeddings as clip-retrieval keeps them in and out. "
    "See how far one is that several nodes fill.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Source = Annotated[
    str, typer.Argument(metavar="FROM", help="A gallery, or npy:FOLDER for embeddings of clip-retrieval.")
]
Target = Annotated[
    str, typer.Argument(metavar="TO", help="A new folder, lance:FOLDER or lance:s3://BUCKET/NAME, or npy:FOLDER.")
]

Filling = Annotated[str, typer.Argument(metavar="GALLERY", help="lance:FOLDER or lance:s3://BUCKET/NAME.")]


@gallery.callback()
def _galleries() -> None: ...


@gallery.command("copy")
def copy(
    source: Source,
    target: Target,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy a gallery with all that is known of its images. Nothing is encoded again.

    npy:FOLDER has img_emb/img_emb_0.npy and metadata/metadata_0.parquet, as clip-retrieval writes and reads them. Those
    that clip-retrieval wrote do not say which encoder made them: name it with --bind search_gallery=ENCODER.

    Example: ctgi gallery copy ./people lance:people
    """
    from ctgi.config import load_settings
    from ctgi.runs.copy_gallery import copy_gallery

    settings = load_settings(binds=bind, profile=profile, config=config)

    def bound() -> "Space":
        from ctgi.retrieval.encoder import load_encoder
        from ctgi.retrieval.parts import Space

        if not bind:
            raise CtgiError(f"{source}: nothing says which encoder made these: name it with --bind search_gallery=NAME")
        encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
        return Space(encoder.spec, encoder.fingerprint, encoder.dim, settings.retriever.storage, str(Path.cwd()))

    report = copy_gallery(source, target, bound, Terminal(quiet))
    if as_json:
        print_json({"from": source, "to": target, **asdict(report)})
    else:
        known = f", with {', '.join(map(plain, report.columns))}" if report.columns else ""
        sys.stdout.write(f"{report.images:,} images from {plain(source)} to {plain(target)}{known}\n")
    if report.failed:
        raise typer.Exit(1)


@gallery.command("status")
def status(name: Filling, as_json: AsJson = False) -> None:
    """Show how many images are in a gallery that ctgi index --ray fills. Run it in that command's folder, on any node.

    Images that cannot be read are on the list and never in the gallery; ctgi index names them at the end.

    Example: ctgi gallery status lance:people
    """
    from ctgi.runs.index_progress import filled

    found = filled(name)
    if as_json:
        print_json(found.to_json())
        return
    share = f" ({100 * found.indexed / found.images:.1f} %)" if found.images else ""
    last = "not begun" if found.idle_s is None else f"last commit {found.idle_s:,.0f} s ago"
    sys.stdout.write(f"{found.indexed:,} of {found.images:,} images are in {plain(found.gallery)}{share}; {last}\n")
