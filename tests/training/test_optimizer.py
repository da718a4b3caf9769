import json

import numpy as np
import pytest
import torch
from torch import nn

from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens, build_clip
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.training.irra import Irra
from ctgi.training.optimizer import OptimizerSettings, build_optimizer, rate_and_decay
from ctgi.training.rde import Rde
from ctgi.training.schedule import ScheduleSettings, set_learning_rates


@pytest.mark.parametrize(
    ("name", "lr", "decay"),
    [
        ("encoder.model.visual.conv1.weight", 1e-5, 4e-5),
        ("encoder.model.ln_final.weight", 1e-5, 4e-5),
        ("encoder.model.ln_final.bias", 2e-5, 0),
        ("interaction.cross_attn.in_proj_weight", 5e-5, 4e-5),
        ("interaction.cross_attn.in_proj_bias", 2e-5, 0),
        ("classifier.bias", 5e-5, 0),
        ("interaction.mlm_head.fc.weight", 5e-5, 4e-5),
        ("encoder.image_selection.skip.weight", 1e-3, 4e-5),
        ("encoder.text_selection.dense.bias", 1e-3, 0),
    ],
)
def test_rules_of_the_papers(name: str, lr: float, decay: float) -> None:
    assert rate_and_decay(name, OptimizerSettings()) == pytest.approx((lr, decay))


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"clip": nn.Linear(3, 3), "classifier": nn.Linear(3, 2), "frozen": nn.Linear(3, 3)})


def test_groups_are_by_rate_and_leave_frozen_parameters_out() -> None:
    model = small_model()
    model["frozen"].requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerSettings())
    assert {
        tuple(group["param_names"]): (group["initial_lr"], group["weight_decay"]) for group in optimizer.param_groups
    } == {
        ("clip.weight",): (1e-5, 4e-5),
        ("clip.bias",): (2e-5, 0),
        ("classifier.weight",): (pytest.approx(5e-5), 4e-5),
        ("classifier.bias",): (pytest.approx(5e-5), 0),
    }


@pytest.mark.parametrize(("kind", "eps"), [("adam", 1e-3), ("adamw", 1e-8)])
def test_shared_groups_step_as_a_group_per_tensor_does(kind: str, eps: float) -> None:
    ours, theirs = small_model(), small_model()
    settings = OptimizerSettings(kind=kind, lr=0.1, weight_decay=0.1)
    one = build_optimizer(ours, settings)
    rates = [(p, *rate_and_decay(n, settings)) for n, p in theirs.named_parameters()]
    plain = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    many = plain([{"params": [p], "lr": lr, "weight_decay": wd} for p, lr, wd in rates], eps=eps)
    for model, optimizer in ((ours, one), (theirs, many)):
        for _ in range(3):
            optimizer.zero_grad()
            model["classifier"](model["frozen"](model["clip"](torch.ones(1, 3)))).square().sum().backward()
            optimizer.step()
    for mine, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted)
    assert not torch.equal(ours["clip"].weight, small_model()["clip"].weight)


def test_a_frozen_model_is_told() -> None:
    with pytest.raises(CtgiError, match="nothing to train"):
        build_optimizer(small_model().requires_grad_(False), OptimizerSettings())


IRRA_NAMES = {
    "base_model.": "encoder.model.",
    "classifier.": "classifier.",
    "cross_": "interaction.cross_",
    "ln_p": "interaction.ln_p",
    "mlm_head.": "interaction.mlm_head.",
}
RDE_NAMES = {
    "base_model.": "encoder.clip.model.",
    **{
        f"{theirs}.{layer}.": f"encoder.{ours}.{part}."
        for theirs, ours, skip in (
            ("visul_emb_layer", "image_selection", "fc"),
            ("texual_emb_layer", "text_selection", "linear"),
        )
        for layer, part in ((skip, "skip"), ("mlp.layers.0", "dense"), ("mlp.bns.0", "norm"), ("mlp.layers.1", "out"))
    },
}
NEVER_USED = ("visul_emb_layer.linear.", "visul_emb_layer.mlp.bns.1.", "texual_emb_layer.mlp.bns.1.")
"""Parameters that the released RDE makes and applies to nothing."""


@pytest.fixture(scope="module")
def vit_b_16() -> ClipTokens:
    """ViT-B/16 at 384x128 without memory for its weights."""
    from open_clip import get_model_config

    config = get_model_config("ViT-B-16-quickgelu")
    config["vision_cfg"]["image_size"] = [384, 128]
    settings = {"name": config, "image_size": [384, 128], "mean": [0.5] * 3, "std": [0.5] * 3}
    with torch.device("meta"):
        return build_clip(settings)


def renamed(name: str, names: dict[str, str]) -> str:
    """The released code's name of a parameter, in ours."""
    return next(ours + name.removeprefix(theirs) for theirs, ours in names.items() if name.startswith(theirs))


def parameter_table(model: nn.Module) -> dict[str, tuple[float, float, int]]:
    """Rate, decay and size by name, of what the optimizer holds."""
    return {
        name: (group["initial_lr"], group["weight_decay"], parameter.numel())
        for group in build_optimizer(model, OptimizerSettings()).param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
    }


def released_table(file: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, tuple[float, float, int]]:
    rows = zip(*(file[column].tolist() for column in ("names", "initial_lr", "weight_decay", "numel")), strict=True)
    return {renamed(name, names): values for name, *values in rows if not name.startswith(NEVER_USED)}


def assert_same(ours: dict[str, tuple[float, float, int]], theirs: dict[str, tuple[float, float, int]]) -> None:
    assert sorted(ours) == sorted(theirs)
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(tuple(values), rel=1e-6), name


def test_parity_param_groups_irra(golden, vit_b_16: ClipTokens) -> None:
    for file in golden("param_groups_irra"):
        with torch.device("meta"):
            model = Irra(vit_b_16, 11_003)
        assert_same(parameter_table(model), released_table(file, IRRA_NAMES))
        optimizer, adam = build_optimizer(model, OptimizerSettings()), json.loads(str(file["adam"]))
        assert (list(optimizer.defaults["betas"]), optimizer.defaults["eps"]) == (adam["betas"], adam["eps"])
        set_learning_rates(optimizer, 1, ScheduleSettings())
        rates = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
        first = {renamed(name, IRRA_NAMES): lr for name, lr in zip(file["names"], file["lr_epoch1"], strict=True)}
        assert rates == pytest.approx(first, rel=1e-6)


def test_parity_param_groups_rde(golden, vit_b_16: ClipTokens) -> None:
    for file in golden("param_groups_rde"):
        with torch.device("meta"):
            model = Rde(TwoBranches(vit_b_16))
        assert_same(parameter_table(model), released_table(file, RDE_NAMES))
