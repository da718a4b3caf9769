"""`ctgi evaluate`: how well a retriever finds people on a data set, alone and with MTI."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import AsJson, Bind, Config, Data, Lam, NoTrace, Profile, Quiet, Root, Split, Top, Xi
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.runs.evaluate import DataSpec, Measuring
    from ctgi.runs.evaluation import User

_ROUNDS = 5
_USERS = ("anchor", "oracle", "witness")
Retriever = Annotated[
    str | None,
    typer.Option(
        "--retriever",
        metavar="MODEL",
        help="Run or checkpoint of ctgi train, IRRA, RDE or others, open_clip:MODEL,TAG or hf:ORG/NAME (default: the "
        "binding of search_gallery).",
    ),
]
Captions = Annotated[
    str,
    typer.Option(
        "--captions",
        metavar="SOURCE",
        help="Captions to use as queries: human, FILE or mtg:FILE of ctgi caption, or initial:FILE, the first "
        "captions in it.",
    ),
]
GalleryCaptions = Annotated[
    Path | None,
    typer.Option("--gallery-captions", metavar="FILE", help="Captions of the images (ctgi caption) to search as well."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="Queries at most, drawn over all people, with the whole gallery (default: all).",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="With --limit: which queries are drawn.")]
Mti = Annotated[bool, typer.Option("--mti", help="Also refine every query by a dialogue with a model.")]
Variant = Annotated[
    str,
    typer.Option(
        "--mti-variant",
        metavar="NAME",
        help="ctgi, agent (a model decides), or icl: THI of ICL, with K 5, xi 0.5 and one call for all answers.",
    ),
]
SweepLam = Annotated[
    str | None,
    typer.Option("--sweep-lam", metavar="X,Y,...", help="Further values of lambda to report; calls no model again."),
]
SweepXi = Annotated[
    str | None,
    typer.Option("--sweep-xi", metavar="X,Y,...", help="Further values of xi to report; calls no model again."),
]
Dialogue = Annotated[
    list[str] | None,
    typer.Option(
        "--dialogue",
        metavar="USER",
        help="Metrics after each turn: anchor, or oracle (sees the target: an upper bound), both with --mti; or "
        "witness (of interactive-pedes). Repeatable.",
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option("--rounds", metavar="N", min=1, help="With --dialogue witness: questions per query (default: 5)."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only estimate the calls and tokens of MTI; call no model.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results (default: runs/evaluate-DATA)."),
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Page of the 20 worst queries to write.")]


def evaluate(
    ctx: typer.Context,
    root: Root,
    data: Data = None,
    retriever: Retriever = None,
    split: Split = "test",
    captions: Captions = "human",
    gallery_captions: GalleryCaptions = None,
    limit: Limit = None,
    seed: Seed = 0,
    mti: Mti = False,
    variant: Variant = "ctgi",
    top: Top = None,
    lam: Lam = None,
    xi: Xi = None,
    sweep_lam: SweepLam = None,
    sweep_xi: SweepXi = None,
    dialogue: Dialogue = None,
    rounds: Rounds = None,
    dry_run: DryRun = False,
    out: Out = None,
    html: Html = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a retriever on a data set: R@1, R@5, R@10, mAP and mINP, text to image and image to text.

    Each metric has a 95 % interval over people. ctgi compare says whether two results differ by more than chance.

    With --mti, each query is also refined by a dialogue, and the metrics are given before and after.

    Features and model replies are kept in the folder of the results: run the same command again to resume or sweep.

    Example: ctgi evaluate --data rstp --root ./RSTPReid --retriever runs/irra --mti --sweep-lam 0.5,0.8,1
    """
    from ctgi.cli.arguments import expect_data, expect_file_place, refuse_idle, tell_unused_config

    data = expect_data(data, ctx.args)
    settings = _settings({"k": top, "lam": lam, "xi": xi}, variant, bind, profile, config, retriever)
    users, questions = _users(dialogue, mti), rounds or _ROUNDS
    witness = "witness" in (dialogue or [])
    lams, xis = _numbers("--sweep-lam", sweep_lam), _numbers("--sweep-xi", sweep_xi)
    if not mti:
        told = {"--top": top, "--lam": lam, "--xi": xi, "--sweep-lam": lams, "--sweep-xi": xis, "--dry-run": dry_run}
        refuse_idle({**told, "--mti-variant": variant != "ctgi"}, "without MTI: add --mti")
    else:
        idle = {"--top": top, "--lam": lam, "--xi": xi, "--sweep-lam": lams, "--sweep-xi": xis}
        _check(settings, variant, {**idle, "--dialogue": dialogue, "--dry-run": dry_run}, sweeping=bool(lams or xis))
    if not witness:
        refuse_idle({"--rounds": rounds}, "without a witness: add --dialogue witness")
    if limit is None:
        refuse_idle({"--seed": seed != 0}, "without a sample: add --limit")
    expect_file_place("--html", html)
    tell_unused_config([root], config, quiet=quiet)
    from ctgi.runs.evaluate import DataSpec, Measuring

    spec, events = DataSpec(data, root, split, captions, limit, seed, gallery_captions), Terminal(quiet)
    if dry_run:
        _estimate(spec, settings, variant, events, as_json)
        return
    measured = Measuring(mti, variant, users, lams, xis, trace=not no_trace, rounds=questions if witness else 0)
    _measure(spec, settings, out or Path("runs") / f"evaluate-{data}", measured, html, events, as_json)


def _measure(
    spec: "DataSpec", settings: "Settings", folder: Path, measured: "Measuring", html: Path | None,
    events: Terminal, as_json: bool,
) -> None:  # fmt: skip
    import asyncio

    from ctgi.retrieval.encoder import load_encoder
    from ctgi.runs.evaluate import evaluate

    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    found = asyncio.run(evaluate(spec, encoder, settings, folder, events, measured))
    if html:
        from ctgi.reports.worst_queries import write_worst

        write_worst(html, found.encoded, found.result, found.run)
        events.tell(f"wrote {html}")
    if as_json:
        print_json(found.result.to_json())
    else:
        from ctgi.cli.evaluation_table import print_result

        print_result(found.result)
    witness = found.result.witness
    if (found.run and (found.run.failed or found.run.unverified)) or (witness and witness.failed):
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
    binds = [*(bind or []), *([f"search_gallery={named_retriever(retriever)}"] if retriever else [])]
    return load_settings(binds=binds, profile=profile, config=config, mti=chosen)


def _check(settings: "Settings", variant: str, idle: dict[str, object], *, sweeping: bool) -> None:
    """What MTI is asked for, before anything is encoded; `idle` are the options that an agent would not heed."""
    from ctgi.cli.arguments import refuse_idle
    from ctgi.runs.evaluate_mti import check_sweep
    from ctgi.runs.interactions import check_variant

    check_variant(variant)
    if variant == "agent":
        refuse_idle(idle, "with --mti-variant agent, which decides for itself")
        settings.binding("agent")
    if sweeping:
        check_sweep(settings, variant)


def named_retriever(retriever: str) -> str:
    """A path is a checkpoint; anything else a binding already."""
    return f"trained:{retriever}" if Path(retriever).exists() else retriever


def _users(dialogue: list[str] | None, mti: bool) -> "list[User]":
    for user in dialogue or []:
        if user not in _USERS:
            raise CtgiError(f"--dialogue {user!r}: expected anchor, oracle or witness")
    of_mti = [user for user in dict.fromkeys(dialogue or []) if user != "witness"]
    if of_mti and not mti:
        raise CtgiError(f"--dialogue {of_mti[0]} is about MTI: add --mti")
    return cast("list[User]", of_mti)


def _numbers(option: str, text: str | None) -> list[float]:
    try:
        return [float(number) for number in text.split(",")] if text else []
    except ValueError:
        raise CtgiError(f"{option} {text!r}: expected numbers with commas between them, like 0.5,0.8,1") from None


def _estimate(spec: "DataSpec", settings: "Settings", variant: str, events: "Terminal", as_json: bool) -> None:
    from ctgi.runs.estimate import estimate_mti

    chosen, _ = spec.load(events)
    expected = estimate_mti(chosen.captions, chosen.images, settings, variant)
    if as_json:
        print_json(expected)
        return
    sys.stdout.write(
        f"{expected['queries']:,} queries: at most {expected['calls']:,} calls, {expected['input_tokens']:,} input "
        f"tokens ({expected['image_tokens']:,} of them image tokens), {expected['output_tokens']:,} output tokens\n"
        "an upper bound, in which no candidate but the last is confirmed; nothing was sent\n"
    )
