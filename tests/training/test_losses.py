import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ctgi.training.losses import (
    LOSSES,
    PAIR_LOSSES,
    cmpm,
    cosine,
    id_loss,
    image_targets,
    infonce_per_pair,
    itc,
    mlm_loss,
    nitc,
    person_targets,
    ritc,
    sdm,
    sdm_per_pair,
    tal,
    trl,
    weighted_mean,
    weighted_sum,
)

EYE = torch.eye(2)
TWO = torch.tensor([0, 1])
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def cases(file: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The numbered cases of a reference file, without their prefix."""
    count = int(file["n_cases"])
    return [{k.removeprefix(f"c{i}_"): v for k, v in file.items() if k.startswith(f"c{i}_")} for i in range(count)]


def pair(case: dict[str, np.ndarray], kind: str = "feats") -> tuple[Tensor, Tensor]:
    return tuple(torch.from_numpy(case[f"{side}_{kind}"]).requires_grad_() for side in ("image", "text"))


def agree(mine: Tensor, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(mine.detach().numpy(), theirs, **CLOSE)


def random_pairs(pids: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image, text = torch.randn(2, 12, 16, generator=generator)
    return image, text, torch.arange(12) % pids


def test_parity_losses_irra(golden) -> None:
    for file in golden("losses_irra"):
        for case in cases(file):
            image, text = pair(case)
            pid, scale = torch.from_numpy(case["pids"]), float(case["logit_scale"])
            agree(cmpm(image, text, pid, as_released=True), case["cmpm"])
            soft = image_targets(pid, torch.from_numpy(case["image_ids"]), as_released=True)
            agree(sdm(image, text, pid, scale=scale, targets=soft), case["sdm_soft_factor03"])
            for name, loss in (("sdm", sdm), ("itc", itc)):
                value = loss(image, text, pid, scale=scale)
                agree(value, case[name])
                for side, grad in zip(("image", "text"), torch.autograd.grad(value, (image, text)), strict=True):
                    agree(grad, case[f"{name}_grad_{side}"])


def test_parity_losses_irra_of_the_heads(golden) -> None:
    for file in golden("losses_irra"):
        for case in cases(file):
            weight, bias = torch.from_numpy(case["id_weight"]), torch.from_numpy(case["id_bias"])
            logits = [side @ weight.T + bias for side in pair(case)]
            agree(id_loss(*logits, torch.from_numpy(case["id_labels"])), case["id"])
            scores, labels = torch.from_numpy(case["mlm_scores"]), torch.from_numpy(case["mlm_labels"])
            agree(mlm_loss(scores, labels), case["mlm"])
            agree(mlm_loss(scores[labels != 0], labels[labels != 0]), case["mlm"])


@pytest.mark.parametrize(("name", "theirs"), [("tal", "TAL"), ("trl", "TRL"), ("infonce", "InfoNCE"), ("sdm", "SDM")])
def test_parity_losses_rde(golden, name: str, theirs: str) -> None:
    per_pair, total = PAIR_LOSSES[name]
    for file in golden("losses_rde"):
        for case in cases(file):
            pid, keep = torch.from_numpy(case["pids"]), torch.from_numpy(case["label_hat"])
            if name in ("tal", "trl"):
                options = {"margin": float(case["margin"]), "tau": float(case["tau"])}
            else:
                options = {"scale": float(case["logit_scale"])}
            image, text = pair(case)
            values = per_pair(image, text, pid, **options)
            agree(values, case[f"{theirs}_per"])
            for side, grad in zip(("image", "text"), torch.autograd.grad(values.sum(), (image, text)), strict=True):
                agree(grad, np.nan_to_num(case[f"{theirs}_grad_{side}"], nan=0.0))  # NaN: a batch of one person
            for branch, kind in (("bge", "feats"), ("tse", "tse")):
                agree(total(per_pair(*pair(case, kind), pid, **options), keep), case[f"{theirs}_rbs_{branch}"])


def test_parity_losses_rde_pairs_are_on_the_diagonal(golden) -> None:
    for file in golden("losses_rde"):
        for case in cases(file):
            agree(cosine(*pair(case)).diagonal(), case["sim_diag"])


def test_tal_where_the_released_code_overflows_is_the_finite_limit(golden) -> None:
    for file in golden("losses_rde"):
        image, text = (torch.from_numpy(file[f"ovf_{side}_feats"]).requires_grad_() for side in ("image", "text"))
        pid, tau, margin = torch.from_numpy(file["ovf_pids"]), float(file["ovf_tau"]), float(file["ovf_margin"])
        values = tal(image, text, pid, margin=margin, tau=tau)
        exact = tal(image.double(), text.double(), pid, margin=margin, tau=tau)
        torch.testing.assert_close(values.double(), exact, rtol=1e-3, atol=1e-5)
        assert (exact > 0.1).all()
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(values.sum(), (image, text)))


def test_sdm_of_swapped_pairs_is_minus_log_eps_each_way() -> None:
    assert sdm(EYE, EYE.flip(0), TWO).item() == pytest.approx(2 * -math.log(1e-8), rel=1e-4)
    assert sdm(EYE, EYE, TWO).item() == pytest.approx(0, abs=1e-5)
    assert ritc(EYE, EYE.flip(0), TWO).item() == pytest.approx(-math.log(1e-2), rel=1e-4)


def test_sdm_at_scale_0_is_the_distance_of_the_uniform_distribution() -> None:
    # three pairs, two of one person: p = 1/3 everywhere; q = (1/2, 1/2, 0) twice and (0, 0, 1) once
    image, text, pid = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([7, 7, 9])
    eps = 1e-2
    both = (2 * math.log(1 / 3 / (0.5 + eps)) + math.log(1 / 3 / eps)) / 3
    alone = (math.log(1 / 3 / (1 + eps)) + 2 * math.log(1 / 3 / eps)) / 3
    per_pair = sdm_per_pair(image, text, pid, scale=0.0, eps=eps)
    torch.testing.assert_close(per_pair, 2 * torch.tensor([both, both, alone]))
    torch.testing.assert_close(sdm(image, text, pid, scale=0.0, eps=eps), per_pair.mean())


def test_itc_of_orthogonal_pairs_is_worked_by_hand() -> None:
    # logits 1 on the diagonal and 0 beside it: -log(e / (e + 1)); swapped: log(1 + e)
    assert itc(EYE, EYE, TWO, scale=1.0).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert itc(EYE, EYE.flip(0), TWO, scale=1.0).item() == pytest.approx(math.log(1 + math.e))
    # image 0 is as near to both captions; caption 0 has image 0 alone at cosine 1
    mixed = infonce_per_pair(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), EYE, TWO, scale=1.0)
    near = math.sqrt(0.5)
    assert mixed[0].item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-near))) / 2)


def test_cmpm_is_0_at_its_target_and_negative_there_as_released() -> None:
    image, text, pid = random_pairs(pids=2)
    # logits 0: half of the mass lies on 6 positives of 1/6, half where the target is eps
    uniform = -math.log(2) / 2 + math.log(1e8 / 12) / 2
    assert cmpm(image * 0, text * 0, pid).item() == pytest.approx(2 * uniform, rel=1e-4)
    pulled = torch.nn.functional.one_hot(pid).float() * 20
    assert cmpm(pulled, pulled, pid).item() == pytest.approx(0, abs=1e-4)
    assert cmpm(pulled, pulled, pid, as_released=True).item() == pytest.approx(-math.log(6), abs=1e-3)


def test_nitc_with_person_targets_alone_is_the_cross_entropy_of_people() -> None:
    # two pairs of one person, all logits equal: log 2 each way, whatever the model itself says
    assert nitc(EYE, EYE, torch.zeros(2, dtype=torch.long), scale=0.0).item() == pytest.approx(math.log(2))
    # logits (1, 0), target (1, 0): log(1 + 1/e); with the model's own (s, 1 - s) as target: the entropy of s
    alone = math.log(1 + math.exp(-1))
    assert nitc(EYE, EYE, TWO, scale=1.0, own=0.0).item() == pytest.approx(alone)
    s = 1 / (1 + math.exp(-1))
    assert nitc(EYE, EYE, TWO, scale=1.0, own=1.0).item() == pytest.approx(-s * math.log(s) - (1 - s) * math.log(1 - s))
    assert nitc(EYE, EYE, TWO, scale=1.0).item() == pytest.approx(alone + 0.5 * (1 - s))


def test_nitc_learns_nothing_from_its_own_prediction() -> None:
    image, text, pid = random_pairs()
    image.requires_grad_()
    gradients = [torch.autograd.grad(nitc(image, text, pid, own=own), image)[0] for own in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(gradients[1], gradients[0] / 2)
    torch.testing.assert_close(gradients[2], torch.zeros(12, 16), rtol=0, atol=1e-5)


def test_a_learned_scale_gets_a_gradient() -> None:
    image, text, pid = random_pairs()
    for loss in (sdm, itc, nitc, ritc):
        scale = torch.tensor(14.0, requires_grad=True)
        loss(image, text, pid, scale=scale).backward()
        assert scale.grad is not None and scale.grad.abs() > 1e-4


def test_tal_and_trl_of_a_batch_worked_by_hand() -> None:
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])  # cosine of the two: 0.6
    # each way: margin - 1 + tau * log exp(0.6 / tau) = margin - 0.4
    for loss in (tal, trl):
        torch.testing.assert_close(loss(image, image, TWO, margin=0.5), torch.full((2,), 0.2), rtol=0, atol=1e-5)
        torch.testing.assert_close(loss(image, image, TWO, margin=0.3), torch.zeros(2))


def test_tal_counts_every_negative_and_trl_the_hardest() -> None:
    image = torch.eye(3)
    pid, tau = torch.arange(3), 0.1  # two negatives at cosine 0: tau * log 2 above the hardest
    torch.testing.assert_close(tal(image, image, pid, margin=1.0, tau=tau), torch.full((3,), 2 * tau * math.log(2)))
    torch.testing.assert_close(trl(image, image, pid, margin=1.0, tau=tau), torch.zeros(3))


def test_trl_takes_no_negative_below_a_cosine_of_0() -> None:
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(trl(opposite, opposite, TWO, margin=1.5), torch.full((2,), 1.0))
    torch.testing.assert_close(tal(opposite, opposite, TWO, margin=1.5), torch.zeros(2))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_a_batch_of_one_person_gives_tal_0_with_gradients_0() -> None:
    image, text, pid = random_pairs(pids=1)
    image.requires_grad_()
    values = tal(image, text, pid, margin=5.0)
    assert torch.equal(values, torch.zeros(12))
    with torch.autograd.detect_anomaly():  # no step on the way back may be NaN either
        assert torch.equal(torch.autograd.grad(values.sum(), image)[0], torch.zeros(12, 16))
    assert sdm(image, text, pid).isfinite()


def test_a_batch_of_one_pair_gives_finite_losses() -> None:
    image, text, pid = torch.randn(1, 4), torch.randn(1, 4), torch.tensor([3])
    for loss in LOSSES.values():
        assert loss(image, text, pid).item() == pytest.approx(0, abs=0.01)  # its target is 1 + eps, up to 1.01
    for per_pair, _ in PAIR_LOSSES.values():
        assert per_pair(image, text, pid).isfinite().all()


def test_tal_stays_finite_at_a_tau_that_overflows_float32() -> None:
    image, text, pid = random_pairs()
    image.requires_grad_()
    values = tal(image, text, pid, tau=1e-3)  # exp(0.5 / tau) is beyond float32
    assert values.isfinite().all() and values.max() > 0.1
    assert torch.autograd.grad(values.sum(), image)[0].isfinite().all()
    torch.testing.assert_close(values, trl(image, text, pid, tau=1e-3), rtol=0, atol=0.01)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_a_batch_loss(name: str) -> None:
    image, text, pid = random_pairs()
    ones, loss = torch.ones(12), LOSSES[name]
    torch.testing.assert_close(loss(image, text, pid, weights=ones), loss(image, text, pid))
    torch.testing.assert_close(loss(image, text, pid, weights=0.3 * ones), loss(image, text, pid))
    each = torch.stack([loss(image, text, pid, weights=row) for row in torch.eye(12)])
    torch.testing.assert_close(each.mean(), loss(image, text, pid))
    assert each.std() > 1e-3
    weights = torch.linspace(0, 1, 12)
    torch.testing.assert_close(loss(image, text, pid, weights=weights), (weights * each).sum() / weights.sum())
    assert loss(image, text, pid, weights=0 * ones).item() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", [*LOSSES, "tal", "trl"])
def test_16_bit_features_are_computed_in_float32(name: str, dtype: torch.dtype, autocast: bool) -> None:
    loss = LOSSES.get(name) or PAIR_LOSSES[name][0]
    image, text, pid = random_pairs()
    image, text = image.to(dtype), text.to(dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        value = loss(image, text, pid)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(image.float(), text.float(), pid), rtol=1e-6, atol=1e-6)


def test_heads_take_16_bit_logits() -> None:
    logits, labels = torch.randn(6, 9).bfloat16(), torch.arange(6)
    assert mlm_loss(logits, labels).dtype == torch.float32
    torch.testing.assert_close(mlm_loss(logits, labels), mlm_loss(logits.float(), labels))
    torch.testing.assert_close(id_loss(logits, logits, labels), id_loss(logits.float(), logits.float(), labels))


def test_id_loss_weighs_captions_and_not_images() -> None:
    logits, pid = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]]), torch.zeros(2, dtype=torch.long)
    first, second = math.log(2), math.log(4 / 3)
    assert id_loss(logits, logits, pid).item() == pytest.approx((first + second) / 2)
    weighed = id_loss(logits, logits, pid, weights=torch.tensor([0.0, 1.0]))
    assert weighed.item() == pytest.approx(((first + second) / 2 + second) / 2)


def test_mlm_loss_without_a_masked_word_is_0_with_a_gradient_of_0() -> None:
    logits = torch.randn(4, 7, requires_grad=True)
    loss = mlm_loss(logits, torch.zeros(4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros(4, 7))
    assert mlm_loss(torch.zeros(0, 7), torch.zeros(0, dtype=torch.long)).item() == 0
    assert mlm_loss(torch.zeros(3, 7), torch.tensor([0, 2, 5])).item() == pytest.approx(math.log(7))


def test_mlm_loss_weighs_the_positions_that_are_masked() -> None:
    logits, labels = torch.tensor([[0.0, 0.0], [0.0, math.log(3)], [0.0, -9.0]]), torch.tensor([1, 1, 0])
    loss = mlm_loss(logits, labels, weights=torch.tensor([1.0, 3.0, 100.0]))
    assert loss.item() == pytest.approx((math.log(2) + 3 * math.log(4 / 3)) / 4)


def test_targets_sum_to_1_by_rows_and_as_released_by_columns() -> None:
    pid, image_id = torch.tensor([0, 0, 0, 1]), torch.tensor([10, 10, 11, 12])
    torch.testing.assert_close(person_targets(pid)[0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]))
    rows = image_targets(pid, image_id)
    torch.testing.assert_close(rows[0], torch.tensor([1, 1, 0.3, 0]) / 2.3)
    torch.testing.assert_close(rows[2], torch.tensor([0.3, 0.3, 1, 0]) / 1.6)
    torch.testing.assert_close(image_targets(pid, image_id, as_released=True), rows.T)


def test_kept_pairs_make_up_the_loss_of_the_batch() -> None:
    values, keep = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 0.0, 1.0])
    assert (weighted_sum(values, keep), weighted_mean(values, keep)) == (7.0, 3.5)
    assert (weighted_sum(values), weighted_mean(values)) == (9.0, 3.0)
    assert weighted_mean(values, 0 * keep) == 0
