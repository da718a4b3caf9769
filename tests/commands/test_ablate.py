import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.testing import Request, ScriptedServer, http_error
from tests.support.commands import Run
from tests.support.looking_model import look, name_shirts_alone
from tests.support.people_dataset import mtg_records, save_people_dataset, save_records

TINY = ("schedule.epochs=1", "schedule.warmup_epochs=0", "data.batch_size=8", "data.workers=0", "optim.lr=1e-3")


@pytest.fixture
def command(tmp_path: Path, double: ScriptedServer, tiny_clip: Path) -> list[Any]:
    double.replies = look
    root = name_shirts_alone(save_people_dataset(tmp_path / "rstp", train=4, val=2, test=4, views=2))
    captions = save_records(tmp_path / "captions.jsonl", mtg_records(root))
    sets = (*TINY, f"model.clip=open_clip:local-dir:{tiny_clip}", "model.image_size=[64,32]")
    return [
        "ablate", "--root", root, "--data", "rstp", "--captions", captions, "-o", "abl", "--stretched", 96, "--json",
        "-b", f"images=vllm:double@{double.url}", *(part for one in sets for part in ("--set", one)),
    ]  # fmt: skip


def test_one_command_fills_the_table_and_a_second_one_repeats_nothing(
    ctgi: Run, command: list[Any], double: ScriptedServer
) -> None:
    done = ctgi(*command)
    assert done.code == 0, done.err
    table = done.json["rows"]
    shape = [(row["model"], row["MTG"], row["MTI"], row["context"]) for row in table]
    one = [(False, False, 96), (True, False, 96), (False, True, 96), (True, True, 96), (True, True, 77)]
    assert shape == [(model, *row) for model in ("irra", "rde") for row in one]
    assert all((row["calls per query"] > 0) == row["MTI"] for row in table)
    assert {row["refined_rate"] for row in table if row["MTI"]} == {1}
    assert all(0 <= row["R@1"] <= row["R@5"] <= row["R@10"] <= 100 for row in table)
    _check_files(Path("abl"), table)
    alone = ctgi("evaluate", "--data", "rstp", "--root", command[2], "--retriever", "abl/train/irra-mtg-96", "--json")
    assert alone.json["t2i"] == {name: table[1][name] for name in alone.json["t2i"]}

    asked = len(double.seen)
    double.stop()
    metrics = {path: path.read_bytes() for path in Path("abl/train").glob("*/metrics.jsonl")}
    assert len(metrics) == 6  # three trainings of each model serve five rows
    Path("abl/rows/rde-mtg-77-mti.json").unlink()
    again = ctgi(*command)
    assert again.code == 0, again.err
    assert again.json["rows"] == table
    assert len(double.seen) == asked
    assert metrics == {path: path.read_bytes() for path in metrics}
    assert "rde-mtg-77: training" in again.err  # the row that was lost is made again out of what is kept
    assert "irra" not in again.err

    Path("ctgi.toml").write_text("[mti]\nk = 1\n")  # MTI's rows alone depend on it, and their verdicts are known
    again = ctgi(*command)
    assert again.code == 0, again.err
    assert "irra-mtg-96-mti: measuring" in again.err
    assert "irra-mtg-96: measuring" not in again.err
    assert max(row["calls_per_query"]["verify_match"] for row in again.json["rows"] if row["MTI"]) == 1


def test_a_row_in_which_verdicts_failed_is_counted_and_measured_again(
    ctgi: Run, command: list[Any], double: ScriptedServer
) -> None:
    def refuse_one(seen: Request) -> Any:
        return http_error(400, "this image is refused") if seen.images == double.seen[0].images else look(seen)

    double.replies = refuse_one
    done = ctgi(*command, "--model", "irra")
    assert done.code == 1, done.err
    assert done.json["failed"] == 0
    assert done.json["unverified"] == sum(row["unverified"] for row in done.json["rows"]) > 0
    assert "not verified: caption" in done.err
    assert all(row["unverified"] == 0 for row in done.json["rows"] if not row["MTI"])
    double.replies = look
    again = ctgi(*command, "--model", "irra")
    assert (again.code, again.json["unverified"]) == (0, 0)
    assert "measuring" in again.err


def _check_files(folder: Path, table: list[dict[str, Any]]) -> None:
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mAP"]) for row in rows] == [row["mAP"] for row in table]
    markdown = (folder / "table.md").read_text()
    assert markdown.count("\n| irra |") == markdown.count("\n| rde |") == 5
    assert "labels as identities, 1 epochs, seed 1" in markdown
    with Image.open(folder / "table.png") as picture:
        assert picture.width > 500


def test_a_model_that_is_none_is_refused(ctgi: Run, command: list[Any]) -> None:
    done = ctgi(*command, "--model", "clip")
    assert done.code == 2
    assert "unknown model 'clip'" in done.err
