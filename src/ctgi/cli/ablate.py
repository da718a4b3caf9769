"""`ctgi ablate`: the paper's Table 4 on a data set, in one command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, notice, print_json
from ctgi.cli.options import AsJson, Bind, Config, Data, Profile, Quiet, Root, Split, TrainSets
from ctgi.cli.terminal import plain

if TYPE_CHECKING:
    from ctgi.reading import Json


Captions = Annotated[
    str,
    typer.Option(
        "--captions",
        metavar="FILE",
        help="Captions of the training images, made by ctgi caption; mtg:FILE is the same.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="Model to train: irra or rde (default: both). Repeatable."),
]
Stretched = Annotated[
    int, typer.Option("--stretched", metavar="N", min=8, help="Context length in tokens, with stretching.")
]
Unstretched = Annotated[
    int, typer.Option("--unstretched", metavar="N", min=8, help="Context length in tokens, without stretching.")
]
Recipes = Annotated[
    Path | None,
    typer.Option(
        "--train-config", metavar="FILE", help="YAML file that overrides the models' recipes.", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results (default: runs/ablate-DATA)."),
]


def ablate(
    ctx: typer.Context,
    root: Root,
    captions: Captions,
    data: Data = None,
    model: Models = None,
    stretched: Stretched = 248,
    unstretched: Unstretched = 77,
    split: Split = "test",
    train_config: Recipes = None,
    sets: TrainSets = None,
    out: Out = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the ablation table: IRRA and RDE, each with and without MTG and MTI.

    The rows are neither, MTG, MTI, both, and both without stretching. Writes table.md, table.csv and table.png. Run
    the same command again to resume.

    Example: ctgi ablate --data rstp --root ./RSTPReid --captions captions.jsonl --bind
    images=vllm:Qwen/Qwen2-VL-7B-Instruct
    """
    from ctgi.cli.arguments import expect_data
    from ctgi.config import load_settings
    from ctgi.reports.ablation_table import identical_rows, write_table
    from ctgi.runs.ablate import Plan, run_ablation

    settings = load_settings(binds=bind, profile=profile, config=config)
    data, chosen = expect_data(data, ctx.args), tuple(model or ("irra", "rde"))
    made = Path(captions.removeprefix("mtg:"))
    plan = Plan(data, root, made, chosen, stretched, unstretched, split, train_config, tuple(sets or ()))
    folder = out or Path("runs") / f"ablate-{data}"
    table = run_ablation(plan, settings, folder, Terminal(quiet))
    write_table(table, plan, settings, folder)
    for first, second, names in identical_rows(table):
        notice(f"rows {first} and {second} have the same numbers: {' and '.join(names)} changed no ranking")
    _print(table, folder, as_json)
    if any(row["failed"] or row.get("unverified") for row in table):
        raise typer.Exit(1)


def _print(table: "list[Json]", folder: Path, as_json: bool) -> None:
    if as_json:
        from ctgi.reports.ablation_table import identical_rows

        same = [[first, second] for first, second, _ in identical_rows(table)]
        counts = {name: sum(row.get(name, 0) for row in table) for name in ("failed", "unverified")}
        print_json({"out": str(folder), "rows": table, "identical": same, **counts})
        return
    sys.stdout.write((folder / "table.md").read_text() + f"\n{plain(str(folder))}: table.md, table.csv, table.png\n")
