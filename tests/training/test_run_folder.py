import json
from pathlib import Path

import pytest

from ctgi.errors import CtgiError
from ctgi.training.config import load_config
from ctgi.training.run_folder import RunFolder, plot_curves

EPOCHS = [{"epoch": 1, "loss": {"sdm": 2.0}}, {"epoch": 2, "loss": {"sdm": 1.0}}]


def folder(tmp_path: Path, content: str) -> RunFolder:
    run = RunFolder(tmp_path)
    run.metrics.write_text(content)
    return run


@pytest.mark.parametrize("ending", ["", "\n", "\r\n\r\n", '\n{"epoch": 3, "lo'])
def test_epochs_are_read_whatever_ends_the_file(tmp_path: Path, ending: str) -> None:
    run = folder(tmp_path, "\n".join(map(json.dumps, EPOCHS)) + ending)
    assert run.records() == EPOCHS
    run.keep_records(1)
    assert run.records() == EPOCHS[:1]


@pytest.mark.parametrize(
    "line", ["[1]", '{"loss": 1}', '{"epoch": "2"}', '{"epoch": 2, "loss": 1}', "{", "[" * 100_000]
)
def test_another_line_is_named(tmp_path: Path, line: str) -> None:
    run = folder(tmp_path, f"{json.dumps(EPOCHS[0])}\n{line}\n")
    with pytest.raises(CtgiError, match=r"metrics .*metrics\.jsonl, line 2: "):
        run.records()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    RunFolder(tmp_path).metrics.symlink_to("/dev/full")
    with pytest.raises(CtgiError, match=r"cannot write \(No space left on device\): free some space"):
        RunFolder(tmp_path).add(EPOCHS[0])


def test_curves_are_replaced_and_keep_their_mode(tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    picture.touch(0o600)
    plot_curves(picture, EPOCHS)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"optim: {lr: 1}\nrun: [", "line 2: not YAML"),
        (b"run: " + b"[" * 100_000, "nested too deeply"),
        ("# 名\n".encode("gbk"), "line 1: not UTF-8.*: save it as UTF-8"),
        (b"run: !!bool x", "correct it there"),
        (b"a\0b", "NUL bytes"),
    ],
)
def test_a_recipe_that_is_no_yaml_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(CtgiError, match=rf"(?s)training config .*a\.yaml.*{said}"):
        load_config("irra", file=tmp_path / "a.yaml", data={"dataset": "folder", "root": "."})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_recipe_from_another_system_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes("run:\r\n  seed: 7\r\n".encode(encoding))
    assert load_config("irra", file=tmp_path / "a.yaml", data={"dataset": "folder", "root": "."}).run.seed == 7


@pytest.mark.parametrize("value", ["[", "[" * 100_000, "!!bool x"])
def test_an_option_that_is_no_yaml_is_named(value: str) -> None:
    with pytest.raises(CtgiError, match=r"--set .*is not a YAML value"):
        load_config("irra", sets=[f"run.seed={value}"], data={"dataset": "folder", "root": "."})


@pytest.mark.parametrize(("kind", "own"), [("irra", 5e-5), ("rde", 5e-5)])
def test_the_papers_recipes_are_taken_by_name(
    kind: str, own: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"dataset": "rstp", "root": "."}
    for name in (f"{kind}_248_fp16", f"{kind}_248_fp16.yaml"):
        config = load_config(kind, file=Path(name), data=data)
        assert (config.model.context_length, config.run.precision, config.model.image_size) == (248, "fp16", (384, 128))
        new = config.optim.selection_lr if kind == "rde" else config.optim.lr * config.optim.new_lr_factor
        assert new == pytest.approx(5e-5)
        assert (config.schedule.epochs, config.schedule.warmup_epochs, config.optim.lr) == (60, 5, 1e-5)
    other = "rde" if kind == "irra" else "irra"
    with pytest.raises(CtgiError, match=f"{other}_248_fp16 is a recipe for {other}, and {kind} is to be trained"):
        load_config(kind, file=Path(f"{other}_248_fp16"), data=data)
    Path(f"{kind}_248_fp16").write_text("run: {seed: 9}")
    assert load_config(kind, file=Path(f"{kind}_248_fp16"), data=data).run.precision == "fp32"
