import json

import numpy as np
import pytest
import torch

from ctgi.training.schedule import ScheduleSettings, learning_rate, set_learning_rates


def test_parity_lr_schedule(golden) -> None:
    for file in golden("lr_schedule"):
        for name in (key.removesuffix("__args") for key in file if key.endswith("__args")):
            args = json.loads(str(file[f"{name}__args"]))
            settings = ScheduleSettings(
                epochs=args["num_epoch"],
                warmup_epochs=args["warmup_epochs"],
                warmup_factor=args["warmup_factor"],
                warmup=args["warmup_method"],
                decay="poly_as_released" if args["lrscheduler"] == "poly" else args["lrscheduler"],
                milestones=args["milestones"],
                gamma=args["gamma"],
                power=args["power"],
                target_lr=args["target_lr"],
            )
            mine = [
                [learning_rate(factor * args["lr"], epoch, settings) for factor in (1, 2, 5)]
                for epoch in range(1, settings.epochs + 1)
            ]
            np.testing.assert_allclose(mine, file[name], rtol=1e-6, err_msg=name)


def test_default_climbs_for_five_epochs_and_then_follows_a_cosine() -> None:
    rates = [learning_rate(1e-5, epoch, ScheduleSettings()) for epoch in (1, 2, 3, 4, 5, 6, 33.5, 60)]
    assert rates == pytest.approx([1e-6, 2.8e-6, 4.6e-6, 6.4e-6, 8.2e-6, 1e-5, 5e-6, 8.15e-9], rel=1e-3)


@pytest.mark.parametrize(
    ("decay", "halfway", "end"),
    [("linear", 0.5, 0), ("exp", 0.5**0.5, 0.5), ("poly", 0.3 + 0.7 * 0.5**0.5, 0.3), ("step", 0.1, 0.01)],
)
def test_other_decays(decay: str, halfway: float, end: float) -> None:
    settings = ScheduleSettings(
        epochs=10, warmup_epochs=0, decay=decay, power=0.5, milestones=(9, 4), gamma=0.1, target_lr=0.3
    )
    assert [learning_rate(1.0, epoch, settings) for epoch in (1, 6, 11)] == pytest.approx([1, halfway, end])


def test_rates_stay_at_the_end_beyond_the_last_epoch_and_a_short_run_is_all_warmup() -> None:
    assert learning_rate(1.0, 200, ScheduleSettings(decay="poly")) == 0
    short = ScheduleSettings(epochs=5, warmup_epochs=5, warmup="constant", warmup_factor=0.25)
    assert [learning_rate(1.0, epoch, short) for epoch in (1, 5, 6)] == [0.25, 0.25, 1.0]


def test_every_group_gets_its_own_rate_again_and_again() -> None:
    groups = [{"params": [torch.zeros(1)], "lr": lr, "initial_lr": lr} for lr in (1.0, 5.0)]
    optimizer = torch.optim.Adam(groups)
    for _ in range(2):
        set_learning_rates(optimizer, 1, ScheduleSettings())
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.5])
