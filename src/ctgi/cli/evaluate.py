"""`ctgi evaluate`: how well a retriever finds people on a data set, alone and with MTI."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ctgi.cli.console import Terminal, notice, print_json
from ctgi.cli.options import AsJson, Bind, Config, NoTrace, Profile, Quiet
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.retrieval.evaluate import EncodedSplit
    from ctgi.runs.evaluate import DataSpec
    from ctgi.runs.evaluate_mti import MtiRun
    from ctgi.runs.evaluation import Evaluation, User

_USERS = ("anchor", "oracle")


def evaluate(
    data: Annotated[str, typer.Argument(help="The data set's layout: cuhk, icfg, rstp, or folder.")],
    root: Annotated[Path, typer.Option("--root", "-r", help="Its folder.")],
    retriever: Annotated[
        str | None,
        typer.Option(help="A checkpoint of ctgi train, or open_clip:MODEL,TAG (default: as search_gallery is bound)."),
    ] = None,
    split: Annotated[str, typer.Option(help="val or test.")] = "test",
    captions: Annotated[str, typer.Option(help="Queries: human, initial:FILE or mtg:FILE.")] = "human",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first captions, against the whole gallery.")
    ] = None,
    mti: Annotated[bool, typer.Option("--mti", help="Also refine every query by a dialogue with a model.")] = False,
    variant: Annotated[
        str, typer.Option("--mti-variant", help="ctgi, or icl: THI's decisions and one-call interview, K 5 and xi 0.5.")
    ] = "ctgi",
    top: Annotated[int | None, typer.Option(min=1, help="Candidates to verify (K).")] = None,
    lam: Annotated[float | None, typer.Option(min=0, max=1, help="Weight of the original query (lambda).")] = None,
    xi: Annotated[float | None, typer.Option(help="Early-stop similarity (xi).")] = None,
    sweep_lam: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Also with these lambdas; calls no model again.")
    ] = None,
    sweep_xi: Annotated[str | None, typer.Option(metavar="A,B,...", help="Also with these xis, likewise.")] = None,
    dialogue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="USER", help="Curves by turn: anchor, or oracle (sees the target; upper bound). Repeatable."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate MTI's calls and tokens; call nothing.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder (default: runs/evaluate-DATA).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page of the worst queries.")] = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure R@1/5/10, mAP and mINP, text to image and image to text; with --mti also after a dialogue for each query.

    Features and every reply of a model are kept in the run folder: run the same command again to go on or to sweep.

    Example: ctgi evaluate rstp --root ./RSTPReid --retriever runs/irra --mti --sweep-lam 0.5,0.8,1
    """
    import asyncio
    from dataclasses import replace

    from ctgi.cli.arguments import expect_file_place, refuse_idle, tell_unused_config

    given = {"k": top, "lam": lam, "xi": xi}
    settings = _settings(given, variant, bind, profile, config, retriever)
    users = _users(dialogue, mti)
    lams, xis = _numbers("--sweep-lam", sweep_lam), _numbers("--sweep-xi", sweep_xi)
    if not mti:
        told = {"--top": top, "--lam": lam, "--xi": xi, "--sweep-lam": lams, "--sweep-xi": xis, "--dry-run": dry_run}
        refuse_idle({**told, "--mti-variant": variant != "ctgi"}, "without MTI: add --mti")
    else:
        _check(settings, variant, sweeping=bool(lams or xis))
    expect_file_place("--html", html)
    tell_unused_config([root], config, quiet=quiet)
    folder = out or Path("runs") / f"evaluate-{data}"
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.runs.evaluate import DataSpec, encode, mti_result, plain_result
    from ctgi.runs.evaluate_mti import run_mti

    spec, events = DataSpec(data, root, split, captions, limit), Terminal(quiet)
    if dry_run:
        _estimate(spec, settings, variant, events, as_json)
        return
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    encoded = encode(spec, encoder, settings, folder, events)
    result, run = plain_result(data, encoder, encoded, settings), None
    if mti:
        run = asyncio.run(
            run_mti(encoded, encoder, settings, folder, events, variant=variant, users=users, trace=not no_trace)
        )
        result = replace(result, mti=mti_result(run, lams, xis))
    _write(folder, html, encoded, result, run, quiet)
    _print(result, as_json)
    if run and (run.failed or run.unverified):
        raise typer.Exit(1)


def _settings(
    given: dict[str, float | None],
    variant: str,
    bind: list[str] | None,
    profile: str | None,
    config: Path | None,
    retriever: str | None,
) -> "Settings":
    from ctgi.config import load_settings
    from ctgi.runs.interactions import ICL_K, ICL_XI

    paper: dict[str, float] = {"k": ICL_K, "xi": ICL_XI} if variant == "icl" else {}
    chosen = paper | {name: value for name, value in given.items() if value is not None}
    binds = [*(bind or []), *([f"search_gallery={_named(retriever)}"] if retriever else [])]
    return load_settings(binds=binds, profile=profile, config=config, mti=chosen)


def _check(settings: "Settings", variant: str, *, sweeping: bool) -> None:
    """What MTI is asked for, before anything is encoded."""
    from ctgi.runs.evaluate_mti import check_sweep
    from ctgi.runs.interactions import check_variant

    check_variant(variant)
    if sweeping:
        check_sweep(settings, variant)


def _named(retriever: str) -> str:
    """A path is a checkpoint of `ctgi train`; anything else a binding already."""
    return f"trained:{retriever}" if Path(retriever).exists() else retriever


def _users(dialogue: list[str] | None, mti: bool) -> "list[User]":
    for user in dialogue or []:
        if user not in _USERS:
            raise CtgiError(f"--dialogue {user!r}: expected anchor or oracle")
    if dialogue and not mti:
        raise CtgiError("--dialogue is about MTI: add --mti")
    return cast("list[User]", list(dict.fromkeys(dialogue or [])))


def _numbers(option: str, text: str | None) -> list[float]:
    try:
        return [float(number) for number in text.split(",")] if text else []
    except ValueError:
        raise CtgiError(f"{option} {text!r}: expected numbers with commas between them, like 0.5,0.8,1") from None


def _write(
    folder: Path, html: Path | None, encoded: "EncodedSplit", result: "Evaluation", run: "MtiRun | None", quiet: bool
) -> None:
    import json

    from ctgi.files import write_whole

    write_whole(folder / "result.json", json.dumps(result.to_json(), indent=1).encode())
    if run:
        from ctgi.runs.evaluate_mti import write_scores

        write_scores(folder / "scores.npz", run)
    if html:
        from ctgi.reports.worst_queries import MadeBy, write_worst
        from ctgi.runs.evaluate_mti import plain_ranks, ranks

        found = ranks(run, run.settings.mti.lam, run.settings.mti.xi) if run else plain_ranks(encoded)
        bindings = dict(result.mti.bindings) if result.mti else {}
        made_by = MadeBy(f"{result.data} {result.split}", result.retriever, bindings)
        write_worst(html, encoded, found, made_by, run)
        notice(f"wrote {html}", quiet=quiet)


def _estimate(spec: "DataSpec", settings: "Settings", variant: str, events: "Terminal", as_json: bool) -> None:
    from ctgi.runs.estimate import estimate_mti

    chosen = spec.load(events)
    expected = estimate_mti(chosen.captions, chosen.images, settings, variant)
    if as_json:
        print_json(expected)
        return
    sys.stdout.write(
        f"{expected['queries']:,} queries: at most {expected['calls']:,} calls, {expected['input_tokens']:,} input "
        f"tokens ({expected['image_tokens']:,} of them image tokens), {expected['output_tokens']:,} output tokens\n"
        "an upper bound, in which no candidate but the last is confirmed; nothing was sent\n"
    )


def _print(result: "Evaluation", as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
        return
    from ctgi.cli.evaluation_table import print_result

    print_result(result)
