import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Run
from tests.support.people_dataset import save_people_dataset

TINY = ("schedule.epochs=1", "schedule.warmup_epochs=0", "data.batch_size=8", "data.workers=0", "optim.lr=1e-3")


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """Two data sets of other people, in two layouts."""
    first = save_people_dataset(tmp_path / "rstp", train=3, val=1, test=3, views=2)
    other = save_people_dataset(tmp_path / "icfg", train=3, val=0, test=4, views=2, seed=5)
    entries = json.loads((other / "data_captions.json").read_text())
    for entry in entries:
        entry["file_path"] = entry.pop("img_path")
    (other / "ICFG-PEDES.json").write_text(json.dumps(entries))
    return {"rstp": first, "icfg": other}


@pytest.mark.slow
def test_models_are_trained_on_one_and_tested_on_all(ctgi: Run, roots: dict[str, Path], tiny_clip: Path) -> None:
    sets = (*TINY, f"model.clip=open_clip:local-dir:{tiny_clip}", "model.image_size=[64,32]")
    data = [part for name, root in roots.items() for part in ("--data", f"{name}={root}")]
    command: list[Any] = [
        "cross", *data, "--train", "irra", "--retriever", f"plain=open_clip:local-dir:{tiny_clip}", "-o", "crossed",
        *(part for one in sets for part in ("--set", one)),
    ]  # fmt: skip
    done = ctgi(*command, "--json")
    assert done.code == 0, done.err
    assert "icfg has no val split" in done.err
    cells = {(cell["model"], cell["data"]): cell for cell in done.json["cells"]}
    assert [*cells] == [(model, one) for model in ("plain", "irra-rstp", "irra-icfg") for one in roots]
    assert {cell["images"] for key, cell in cells.items() if key[1] == "icfg"} == {8}
    for (model, name), cell in cells.items():
        kept = json.loads(Path(cell["folder"], "result.json").read_text())
        assert kept["t2i"]["mAP"] == cell["mAP"], (model, name)
        assert cell["intervals"]["R@1"][0] <= cell["R@1"] <= cell["intervals"]["R@1"][1]
    table = Path("crossed/table.md").read_text()
    assert "| model | rstp | icfg |" in table
    assert f"| irra-rstp | {cells['irra-rstp', 'rstp']['R@1']:.2f} (" in table
    rows = list(csv.DictReader(Path("crossed/table.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(row["model"], row["data"]) for row in rows] == [*cells]

    made = {path: path.stat().st_mtime_ns for path in Path("crossed/train").rglob("*.pt")}
    again = ctgi(*command, "--json")
    assert again.json["cells"] == done.json["cells"]
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert ctgi("compare", cells["plain", "rstp"]["folder"], cells["irra-icfg", "rstp"]["folder"]).code == 0
    other = ctgi("compare", cells["plain", "rstp"]["folder"], cells["plain", "icfg"]["folder"])
    assert (other.code, "measured on other images" in other.err) == (2, True)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([], "no model to test"),
        (["--retriever", "embedded", "--set", "schedule.epochs=1"], "add --train irra"),
        (["--retriever", "embedded", "--retriever", "embedded"], "two models are called embedded"),
        (["--retriever", "embedded", "--data", "rstp"], "expected a layout and its folder"),
        (["--retriever", "embedded", "--data", "rstp=nowhere/rstp"], "two folders of one layout"),
        (["--train", "irra", "--data", "icfg=nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_said_before_any_training(
    ctgi: Run, roots: dict[str, Path], more: list[str], complaint: str
) -> None:
    done = ctgi("cross", "--data", f"rstp={roots['rstp']}", *more)
    assert done.code == 2
    assert complaint in done.err
    assert not Path("runs").exists()
