import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from ctgi.captions import read_captions
from ctgi.corrections import Change, correct
from tests.support.commands import Run, start
from tests.support.people_dataset import save_people_dataset


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models this small are faster on one core, and wait for no other test's."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(work: Path) -> Path:
    return save_people_dataset(work / "data", train=6, val=4, test=4, views=2)


@pytest.fixture
def small(tiny_clip: Path, data: Path) -> list[str]:
    sets = (
        f"model.clip=open_clip:local-dir:{tiny_clip}", "model.image_size=[64,32]", "data.batch_size=8",
        "data.workers=0", "schedule.epochs=1", "run.device=cpu",
    )  # fmt: skip
    return ["--data", "rstp", "--root", str(data), *(part for entry in sets for part in ("--set", entry))]


def test_train_then_search_by_path_alone(ctgi: Run, small: list[str], data: Path) -> None:
    done = ctgi("train", "irra", *small, "--out", "run", "--json")
    assert done.code == 0, done.err
    assert done.json["epochs"] == done.json["best_epoch"] == 1
    assert done.json["select_on"] == "val"
    assert set(done.json["retrieval"]) == {"R@1", "R@5", "R@10", "mAP", "mINP"}
    assert Path(done.json["best"]).is_file()
    found = ctgi(
        "search", "red shirt", "-g", data / "imgs", "-b", "search_gallery=trained:run", "--no-mti", "--json", "-k", 99
    )
    assert found.code == 0, found.err
    assert len(found.json["results"]) == 28


def test_pseudo_captions_replace_those_of_train(ctgi: Run, small: list[str], data: Path) -> None:
    images = sorted((data / "imgs").iterdir())[:8]
    lines = [json.dumps({"path": str(path), "caption": "a person", "initial_caption": "who"}) for path in images]
    Path("captions.jsonl").write_text("\n".join(lines) + "\n")
    done = ctgi("train", "rde", *small, "--captions", "mtg:captions.jsonl", "--out", "run", "--json")
    assert done.code == 0, done.err
    facts = json.loads(Path("run/run.json").read_text())
    assert facts["splits"]["train"] == {"images": 8, "captions": 8, "persons": 4}


def test_corrected_captions_are_trained_on_and_counted(ctgi: Run, small: list[str], data: Path) -> None:
    images = sorted((data / "imgs").iterdir())[:8]
    lines = [json.dumps({"path": str(path), "caption": "a person", "initial_caption": "who"}) for path in images]
    Path("captions.jsonl").write_text("\n".join(lines) + "\n")
    line = next(read_captions(Path("captions.jsonl")))
    correct(Path("captions.jsonl"), line, [Change(None, line.caption, "a woman in red")], "")
    done = ctgi("train", "irra", *small, "--captions", "mtg:captions.jsonl", "--out", "run", "--json")
    assert done.code == 0, done.err
    assert done.json["corrected_captions"] == 1
    assert "1 caption as a person corrected it" in done.err


def test_a_run_is_not_overwritten_and_is_resumed(ctgi: Run, small: list[str]) -> None:
    assert ctgi("train", "irra", *small).code == 0
    again = ctgi("train", "irra", *small)
    assert again.code == 2
    assert "--resume" in again.err
    longer = ctgi("train", "irra", *small, "--resume", "--set", "schedule.epochs=2")
    assert longer.code == 2
    assert "schedule.epochs: checkpoint 1, now 2" in longer.err
    assert ctgi("train", "irra", *small, "--resume").code == 0


def test_interrupted_training_goes_on_where_it_was(ctgi: Run, small: list[str]) -> None:
    many = [*small, "--set", "schedule.epochs=12", "--set", "schedule.warmup_epochs=1", "--out", "run"]
    process = start("train", "irra", *many)
    deadline = time.monotonic() + 120
    while not Path("run/checkpoints/last.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    done = len(Path("run/metrics.jsonl").read_text().splitlines())
    assert 1 <= done < 12
    again = ctgi("train", "irra", *many, "--resume", "--set", "run.patience=1")
    assert again.code == 0, again.err
    epochs = [json.loads(line)["epoch"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("clip",), "unknown model 'clip': expected irra or rde"),
        (("irra", "--set", "optim.lr"), "expected section.key=value"),
        (("irra", "--set", "optim.rate=1"), "optim.rate"),
        (("irra", "--set", "optim.lr=-1"), "optim.lr: Input should be greater than 0 (got -1)"),
        (("irra", "--set", "rde.loss=tal"), "a run of irra has a section 'irra' and no other model's"),
        (("irra", "--set", "run.device=cuda:7"), "set run.device to auto or cpu"),
        (("irra", "--set", "irra.losses=[sdn]"), "unknown loss ['sdn']"),
        (("irra", "--captions", "mtg:nowhere.jsonl"), "nowhere.jsonl"),
        (("irra", "--config", "nowhere.yaml"), "training config nowhere.yaml: No such file"),
    ],
)
def test_what_is_wrong_is_said(ctgi: Run, small: list[str], arguments: tuple[str, ...], told: str) -> None:
    model, *options = arguments
    done = ctgi("train", model, *small, *options)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_without_identity_labels_there_is_no_id_loss(ctgi: Run, small: list[str]) -> None:
    done = ctgi("train", "irra", *small, "--identity", "image", "--out", "unlabelled")
    assert done.code == 0, done.err
    first_epoch = json.loads(Path("unlabelled/metrics.jsonl").read_text().splitlines()[0])
    assert set(first_epoch["loss"]) == {"sdm", "mlm", "total"}


def test_a_missing_data_set_is_said(ctgi: Run) -> None:
    done = ctgi("train", "irra")
    assert done.code == 2
    assert "data.dataset" in done.err


def test_a_corrupt_image_stops_or_is_left_out(ctgi: Run, small: list[str], data: Path) -> None:
    broken = data / "imgs" / "0001_c0.jpg"
    broken.write_bytes(b"\xff\xd8 no image")
    done = ctgi("train", "irra", *small, "--out", "stops")
    assert done.code == 2
    assert "0001_c0.jpg" in done.err
    done = ctgi("train", "irra", *small, "--out", "skips", "--set", "data.on_bad_image=skip", "--json")
    assert done.code == 1
    assert list(done.json["bad_images"]) == [str(broken)]


def test_the_help_shows_an_example(ctgi: Run) -> None:
    out = ctgi("train", "--help").out
    assert "ctgi train irra --data rstp" in " ".join(out.split())


def test_a_plain_folder_is_counted_before_work_starts(ctgi: Run, small: list[str], tiny_clip: Path) -> None:
    names = [
        f"{split}/{person}/{view}.png" for split in ("train", "test") for person in ("ann", "bob") for view in (1, 2)
    ]
    for name in names:
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 64), "red" if "ann" in name else "blue").save(Path("photos", name))
    lines = [
        json.dumps({"path": str(Path("photos", name).absolute()), "caption": f"This is {name}."}) for name in names
    ]
    Path("captions.jsonl").write_text("\n".join(lines) + "\n")
    data = ["--root", "photos", "--captions", "captions.jsonl"]
    settings = [*small[4:], "--set", "run.select_on=last", "--set", "data.batch_size=4"]
    done = ctgi("train", "irra", "--data", "folder", *data, *settings, "--out", "run")
    assert done.code == 0, done.err
    train, test = (f"{name}: 4 images of 2 people: {name}/ann (2), {name}/bob (2)" for name in ("train", "test"))
    assert [line for line in done.err.splitlines() if "people" in line] == [train, test]
    measured = ctgi("evaluate", "--data", "folder", *data, "--retriever", f"open_clip:local-dir:{tiny_clip}")
    assert test in measured.err.splitlines()
