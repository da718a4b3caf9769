import numpy as np
import pytest
import torch
from torch import Generator

from ctgi.errors import CtgiError
from ctgi.training.consensus import (
    CAREFUL,
    QUICK,
    MixtureFit,
    clean_probability,
    consensus_labels,
    inject_noise,
    recast_labels,
    split_clean,
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def two_heaps(noisy: torch.Tensor) -> torch.Tensor:
    return torch.where(noisy, 3.0, 1.0) + 0.1 * torch.randn(len(noisy), generator=seeded())


def test_parity_ccd(golden) -> None:
    for file in golden("ccd"):
        for i in range(int(file["n_cases"])):
            case = {k.removeprefix(f"c{i}_"): v for k, v in file.items() if k.startswith(f"c{i}_")}
            careful = case["noisy_rate"] > 0.4 or str(case["dataset"]) == "RSTPReid"
            fit, clear = (CAREFUL if careful else QUICK), np.ones(len(case["loss_A"]), dtype=bool)
            for branch in "AB":
                clean = split_clean(clean_probability(torch.from_numpy(case[f"loss_{branch}"]), seeded(), fit=fit))
                agreed = clean.numpy() == case[f"pred_{branch}"].astype(bool)
                far = np.abs(case[f"clean_prob_{branch}"] - 0.5) > 0.01
                assert agreed[far].mean() >= (1 if i < 3 else 0.98), (i, branch)
                clear &= agreed
            losses = [torch.from_numpy(case[f"loss_{branch}"]) for branch in "AB"]
            labels = consensus_labels(*losses, seeded(), fit=fit).numpy()
            certain = clear & ~case["uncertain"]
            np.testing.assert_array_equal(labels[certain], case["label_hat"][certain])
            if case["uncertain"].sum() > 40:
                assert labels[case["uncertain"]].mean() == pytest.approx(0.5, abs=0.25)


def test_parity_ccd_when_everything_looks_clean(golden) -> None:
    for file in golden("ccd"):
        clean = split_clean(torch.from_numpy(file["allclean_prob"]))
        np.testing.assert_array_equal(clean.numpy().astype(int), file["allclean_split"])


def test_two_heaps_of_losses_are_told_apart() -> None:
    noisy = torch.rand(400, generator=seeded(1)) < 0.3
    probability = clean_probability(two_heaps(noisy), seeded())
    assert torch.equal(split_clean(probability), ~noisy)
    assert probability[~noisy].min() > 0.99 and probability[noisy].max() < 0.01


def test_the_fit_draws_from_its_generator_alone() -> None:
    losses, place = torch.rand(300, generator=seeded()), np.random.get_state()[2]
    assert torch.equal(clean_probability(losses, seeded(3)), clean_probability(losses, seeded(3)))
    np.testing.assert_array_equal(np.random.get_state()[2], place)  # numpy's global generator has not moved


def test_a_fit_that_is_cut_short_is_no_warning() -> None:
    losses = torch.rand(300, generator=seeded())
    assert clean_probability(losses, seeded(), fit=MixtureFit(max_iter=1, tol=1e-9)).isfinite().all()


def test_a_set_of_clean_pairs_gives_its_lowest_hundredth_away() -> None:
    probability = torch.linspace(0.6, 1, 250)
    assert split_clean(probability).sum() == 247
    assert split_clean(torch.tensor([0.4, 0.5, 0.6])).tolist() == [False, False, True]


def test_equal_losses_are_all_clean_and_broken_ones_are_told() -> None:
    assert torch.equal(clean_probability(torch.full((5,), 0.2), seeded()), torch.ones(5, dtype=torch.float64))
    with pytest.raises(CtgiError, match="1 of 3 are not finite"):
        clean_probability(torch.tensor([0.1, float("nan"), 0.3]), seeded())


def test_agreement_decides_and_a_fair_coin_where_there_is_none() -> None:
    bge, tse = torch.tensor([1, 0, 1, 0]).bool().repeat(1000), torch.tensor([1, 0, 0, 1]).bool().repeat(1000)
    generator = seeded()
    labels = recast_labels(bge, tse, generator).reshape(-1, 4)
    assert labels[:, 0].mean() == 1 and labels[:, 1].mean() == 0
    assert labels[:, 2:].mean().item() == pytest.approx(0.5, abs=0.03)
    again = recast_labels(bge, tse, generator).reshape(-1, 4)
    assert (again != labels)[:, 2:].float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert not (again != labels)[:, :2].any()


def test_consensus_of_two_branches_that_agree_needs_no_coin() -> None:
    noisy = torch.rand(400, generator=seeded(1)) < 0.3
    labels = consensus_labels(two_heaps(noisy), 5 * two_heaps(noisy), seeded())
    assert torch.equal(labels, (~noisy).float())


def test_noise_moves_captions_among_the_chosen_pairs() -> None:
    captions = [f"caption {i}" for i in range(1000)]
    noisy, mismatched = inject_noise(captions, 0.2, seeded())
    assert sorted(noisy) == sorted(captions)
    assert [caption != old for caption, old in zip(noisy, captions, strict=True)] == mismatched.tolist()
    assert 195 <= mismatched.sum() <= 200
    assert inject_noise(captions, 0.2, seeded())[0] == noisy
    assert inject_noise(captions, 0.0, seeded())[0] == captions
