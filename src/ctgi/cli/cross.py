"""`ctgi cross`: models trained on one data set, tested on others."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import AsJson, Config, Quiet, Split, TrainSets
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.runs.cross import Model, Place

DataSets = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="LAYOUT=FOLDER",
        help="A data set: its layout (cuhk, icfg, rstp, ufine, interactive-pedes, chatpedes or folder; ctgi data check "
        "tells) and its folder. Repeatable.",
    ),
]
Retrievers = Annotated[
    list[str] | None,
    typer.Option(
        "--retriever",
        metavar="[NAME=]MODEL",
        help="A model to test, as for ctgi evaluate, and its name in the table. Repeatable.",
    ),
]
Train = Annotated[
    list[str] | None,
    typer.Option("--train", metavar="MODEL", help="Also train irra or rde on each of the data sets. Repeatable."),
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        "--train-config", metavar="FILE", help="With --train: YAML file that overrides the recipe.", show_default=False
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results.")]


def cross(
    data: DataSets,
    retriever: Retrievers = None,
    train: Train = None,
    train_config: Recipe = None,
    sets: TrainSets = None,
    split: Split = "test",
    out: Out = Path("runs/cross"),
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Test models on data sets that they were not trained on: a row for each model, a column for each data set.

    Writes table.md and table.csv. Run the same command again to resume.

    Example: ctgi cross --data cuhk=./CUHK-PEDES --data rstp=./RSTPReid --train irra
    """
    from ctgi.cli.arguments import refuse_idle
    from ctgi.config import load_settings

    if not train:
        refuse_idle({"--set": sets, "--train-config": train_config}, "without training: add --train irra")
    if not (retriever or train):
        raise CtgiError("no model to test: give --retriever runs/irra, or --train irra")
    settings = load_settings(config=config)
    places = _places(data)
    models = [*_given(retriever or []), *_to_train(train or [], places, train_config, sets or [])]
    from ctgi.reports.cross_table import write_cross
    from ctgi.runs.cross import run_cross

    twice = [name for name, count in Counter(model.name for model in models).items() if count > 1]
    if twice:
        raise CtgiError(f"--retriever: two models are called {twice[0]}: name them, like irra-cuhk={twice[0]}")
    cells = run_cross(models, places, split, settings, out, Terminal(quiet))
    write_cross(cells, out)
    if as_json:
        print_json({"out": str(out), "cells": [cell.to_json() for cell in cells]})
        return
    sys.stdout.write((out / "table.md").read_text(encoding="utf-8") + f"\n{plain(str(out))}: table.md, table.csv\n")


def _places(data: Sequence[str]) -> "list[Place]":
    from ctgi.runs.cross import Place

    given = [text.partition("=") for text in data]
    for text, (layout, equals, root) in zip(data, given, strict=True):
        if not (layout and equals and root):
            raise CtgiError(f"--data {text}: expected a layout and its folder, like cuhk=./CUHK-PEDES")
    count = Counter(layout for layout, _, _ in given)
    places = [
        Place(layout if count[layout] == 1 else f"{layout}-{Path(root).name}", layout, Path(root))
        for layout, _, root in given
    ]
    if len({place.name for place in places}) < len(places):
        raise CtgiError("--data: two folders of one layout have the same name: rename one")
    return places


def _given(retrievers: Sequence[str]) -> "list[Model]":
    from ctgi.cli.evaluate import named_retriever
    from ctgi.runs.cross import Model

    models = []
    for text in retrievers:
        name, equals, spec = text.partition("=")
        if not equals or "/" in name or ":" in name:
            name, spec = Path(text).name, text
        models.append(Model(name, named_retriever(spec)))
    return models


def _to_train(
    kinds: Sequence[str], places: "Sequence[Place]", config: Path | None, sets: Sequence[str]
) -> "list[Model]":
    from ctgi.runs.cross import Model
    from ctgi.training.config import load_config

    return [
        Model(
            f"{kind}-{place.name}",
            "",
            load_config(kind, file=config, sets=[*sets], data={"dataset": place.layout, "root": str(place.root)}),
        )
        for kind in kinds
        for place in places
    ]
