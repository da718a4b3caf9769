import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.evaluate import encode_split, text_to_image
from ctgi.training.assemble import build_data, build_loader, build_model, clip_of
from ctgi.training.checkpoints import load_checkpoint
from ctgi.training.config import TrainConfig
from ctgi.training.distributed import World
from ctgi.training.faults import memory_explained
from ctgi.training.loop import Progress, train
from ctgi.training.optimizer import build_optimizer
from ctgi.training.step import Stepper
from tests.support.people_dataset import save_people_dataset

Config = Callable[..., TrainConfig]
CPU = World(torch.device("cpu"))


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def results(run: Path) -> list[dict]:
    """The records without what a clock measured."""
    return [{k: v for k, v in record.items() if k not in ("seconds", "images_per_s")} for record in records(run)]


@pytest.mark.parametrize("kind", ["irra", "rde"])
def test_two_epochs_are_one_and_a_resumed_one(kind: str, tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config(kind, "schedule.epochs=2")
    train(config, tmp_path / "straight")

    class Killed(Exception):
        pass

    def kill_in_the_second_epoch(state: Progress) -> None:
        if state.epoch == 2 and state.doing == "training" and state.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(config, tmp_path / "resumed", on_progress=kill_in_the_second_epoch)
    assert [record["epoch"] for record in records(tmp_path / "resumed")] == [1]
    report = train(config, tmp_path / "resumed", resume=True)
    assert report.epochs == 2
    assert results(tmp_path / "resumed") == results(tmp_path / "straight")  # to the last bit
    states = [load_checkpoint(tmp_path / run / "checkpoints" / "last.pt") for run in ("straight", "resumed")]
    assert states[0]["state"].keys() == states[1]["state"].keys()
    assert all(torch.equal(value, states[1]["state"][name]) for name, value in states[0]["state"].items())


def test_a_finished_run_is_resumed_to_nothing(tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config("irra", "schedule.epochs=1")
    train(config, tmp_path / "run")
    before = records(tmp_path / "run")
    assert train(config, tmp_path / "run", resume=True).epochs == 1
    assert records(tmp_path / "run") == before
    with pytest.raises(CtgiError, match="holds a run already: continue it with --resume"):
        train(config, tmp_path / "run")


def test_a_record_without_its_checkpoint_is_written_anew(tiny_config: Config, tmp_path: Path) -> None:
    """A kill between the record of an epoch and its checkpoint."""
    train(tiny_config("irra", "schedule.epochs=2"), tmp_path / "run")
    one_epoch = results(tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "loss": {}}\n{"epoch": 4, "lo')
    train(tiny_config("irra", "schedule.epochs=2"), tmp_path / "run", resume=True)
    assert results(tmp_path / "run") == one_epoch


def test_resuming_with_other_settings_names_them(tiny_config: Config, tmp_path: Path) -> None:
    train(tiny_config("irra", "schedule.epochs=1"), tmp_path / "run")
    with pytest.raises(CtgiError) as error:
        train(
            tiny_config("irra", "schedule.epochs=1", "optim.lr=5e-4", "data.batch_size=4"),
            tmp_path / "run",
            resume=True,
        )
    assert "data.batch_size: checkpoint 8, now 4" in str(error.value)
    assert "optim.lr: checkpoint 0.001, now 0.0005" in str(error.value)
    train(tiny_config("irra", "schedule.epochs=1", "run.accumulate=2"), tmp_path / "run", resume=True)


def test_the_run_folder_tells_the_run(tiny_config: Config, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny_config("irra")
    report = train(config, tmp_path / "run")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()) == config.resolved()
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(facts["git"]["commit"]) == 40
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["select_on"] == "val"
    assert facts["splits"]["train"] == {"images": 12, "captions": 24, "persons": 6}
    assert [record["epoch"] for record in records(tmp_path / "run")] == [1, 2]
    assert set(records(tmp_path / "run")[0]["loss"]) == {"sdm", "id", "mlm", "total"}
    assert report.retrieval == records(tmp_path / "run")[report.best_epoch - 1]["retrieval"]
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss/sdm")] == [1, 2]


def test_the_best_checkpoint_is_used_by_path_and_measures_the_same(tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config("irra")
    report = train(config, tmp_path / "run")
    encoder = load_encoder(f"trained:{tmp_path / 'run'}", RetrieverSettings(device="cpu"))
    encoded = encode_split(build_data(config).split("val"), encoder, RetrieverSettings(), tmp_path / "features")
    assert text_to_image(encoded).mean_ap == pytest.approx(report.retrieval["mAP"], abs=1e-3)


def test_selection_never_reads_test_unless_told(tiny_config: Config, tmp_path: Path) -> None:
    train(tiny_config("irra", "schedule.epochs=1", "run.select_on=test"), tmp_path / "run")
    assert records(tmp_path / "run")[0]["select_on"] == "test"
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")["select_on"] == "test"
    report = train(tiny_config("irra", "run.select_on=last"), tmp_path / "last")
    assert report.best_epoch == 2
    assert "retrieval" not in records(tmp_path / "last")[0]


def test_a_data_set_without_val_wants_a_choice(tiny_config: Config, tiny_clip: Path, tmp_path: Path) -> None:
    save_people_dataset(tmp_path / "data", train=6, val=0, test=2, views=2)
    config = tiny_config("irra", root=str(tmp_path / "data"))
    with pytest.raises(CtgiError, match=r"no such split.*data.val_share=0.1.*run.select_on=last"):
        build_data(config)
    held = build_data(tiny_config("irra", "data.val_share=0.34", root=str(tmp_path / "data")))
    assert (held.split("train").classes, held.split("val").classes) == (4, 2)


def test_patience_ends_a_run_that_gets_no_better(tiny_config: Config, tmp_path: Path) -> None:
    report = train(tiny_config("irra", "schedule.epochs=9", "run.patience=2", "optim.lr=1e-12"), tmp_path / "run")
    assert report.ended == "no better for run.patience epochs"
    assert report.epochs == 3


def test_a_loss_that_is_not_finite_stops_with_its_batch(tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"epoch 1, step \d: .* is nan.*bad_batch.pt.*lower optim.lr"):
        train(tiny_config("irra", "optim.lr=1e38", "optim.eps=1e-30"), tmp_path / "run")
    batch = torch.load(tmp_path / "run" / "bad_batch.pt", weights_only=True)
    assert batch["pixels"].shape == (8, 3, 64, 32)
    assert len(batch["captions"]) == len(batch["paths"]) == 8
    assert all(Path(path).is_file() for path in batch["paths"])


def test_nothing_is_learned_from_a_batch_that_is_not_finite(tiny_config: Config) -> None:
    from ctgi.training.faults import NotFiniteError

    stepper, batch = stepper_and_batch(tiny_config("irra"))
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    with pytest.raises(NotFiniteError, match="sdm is nan"):
        stepper.step(replace(batch, pixels=torch.full_like(batch.pixels, torch.nan)), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in stepper.model.state_dict().items())


def test_out_of_memory_names_the_settings_to_lower(tiny_config: Config) -> None:
    with pytest.raises(CtgiError) as error, memory_explained(tiny_config("irra")):
        torch.empty(2**60)
    for setting in ("run.accumulate=2", "run.gradient_checkpointing=true", "run.precision=bf16", "data.batch_size"):
        assert setting in str(error.value)
    with pytest.raises(RuntimeError, match=r"size mismatch|shapes"), memory_explained(tiny_config("irra")):
        torch.ones(2, 3) @ torch.ones(2, 3)


def stepper_and_batch(config: TrainConfig):
    torch.manual_seed(0)
    split = build_data(config).split("train")
    model = build_model(config, split)
    loader = build_loader(config, split, clip_of(model), CPU)
    stepper = Stepper(model, build_optimizer(model, config.optim), CPU, config.run)
    return stepper, next(iter(loader))


def gradients(config: TrainConfig) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Loss terms and gradients of one step."""
    stepper, batch = stepper_and_batch(config)
    stepper.model.train()
    terms = stepper.step(batch, seed=0)
    return terms, {name: p.grad.clone() for name, p in stepper.model.named_parameters() if p.grad is not None}


def assert_same_step(one: TrainConfig, other: TrainConfig) -> None:
    (terms, grads), (other_terms, other_grads) = gradients(one), gradients(other)
    assert other_terms == pytest.approx(terms, rel=1e-4)
    assert grads.keys() == other_grads.keys()
    scale = max(grad.abs().max() for grad in grads.values())
    for name, grad in grads.items():
        torch.testing.assert_close(other_grads[name], grad, rtol=1e-3, atol=float(scale) * 1e-5, msg=name)


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_parts_have_the_loss_and_gradients_of_the_whole(parts: int, tiny_config: Config) -> None:
    losses = "irra.losses=[sdm,itc,id,mlm]"
    assert_same_step(tiny_config("irra", losses), tiny_config("irra", losses, f"run.accumulate={parts}"))


def test_gradient_checkpointing_changes_no_gradient(tiny_config: Config) -> None:
    assert_same_step(tiny_config("irra"), tiny_config("irra", "run.gradient_checkpointing=true"))


def test_gradients_are_clipped_to_a_norm(tiny_config: Config) -> None:
    stepper, batch = stepper_and_batch(tiny_config("irra", "run.clip_norm=0.5"))
    assert stepper.step(batch, seed=0)["grad_norm"] > 0.5
    squares = [p.grad.square().sum() for p in stepper.model.parameters() if p.grad is not None]
    assert torch.stack(squares).sum().sqrt().item() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_keeps_float32_weights(precision: str, tiny_config: Config) -> None:
    stepper, batch = stepper_and_batch(tiny_config("irra", f"run.precision={precision}"))
    exact, _ = stepper_and_batch(tiny_config("irra"))
    seen = set()
    block = clip_of(stepper.model).visual.transformer.resblocks[0].mlp.c_fc
    block.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    terms = stepper.step(batch, seed=0)
    assert seen == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert {value.dtype for value in stepper.model.parameters()} == {torch.float32}
    assert terms["total"] == pytest.approx(exact.step(batch, seed=0)["total"], rel=0.05)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # from within torch.compile
@pytest.mark.slow
def test_compiled_blocks_compute_the_same(tiny_config: Config) -> None:
    assert_same_step(tiny_config("irra"), tiny_config("irra", "run.compile=true"))
