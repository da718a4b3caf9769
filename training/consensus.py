"""RDE's consensus: two branches decide by their losses which pairs to trust. Also injects noise to test it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor

from ctgi.errors import CtgiError


@dataclass(frozen=True)
class MixtureFit:
    """When to stop fitting the two Gaussians, and their minimum variance."""

    max_iter: int = 10
    tol: float = 1e-2
    least_variance: float = 5e-4


QUICK = MixtureFit()
"""RDE's fit in general."""
CAREFUL = MixtureFit(max_iter=100, tol=1e-4, least_variance=1e-6)
"""RDE's fit for RSTPReid, and for more than 40 % noisy captions."""


def consensus_labels(
    bge_losses: Tensor, tse_losses: Tensor, generator: Generator, *, fit: MixtureFit = QUICK
) -> Tensor:
    """1 for pairs to train on, 0 for the others, [N] float (RDE, arXiv:2308.09911, confident consensus division).

    bge_losses, tse_losses: [N], one loss per pair from each branch. If both branches call a pair clean, it gets 1; if
    both call it noisy, 0; if they disagree, a fair coin decides, anew in each epoch.
    """
    votes = [
        split_clean(clean_probability(losses, generator, fit=fit)) for losses in (bge_losses.cpu(), tse_losses.cpu())
    ]
    return recast_labels(votes[0], votes[1], generator)


def clean_probability(losses: Tensor, generator: Generator, *, fit: MixtureFit = QUICK) -> Tensor:
    """Probability that each loss comes from the lower of two Gaussians, [N] float64; 1 if all losses are equal.

    Raises:
        CtgiError: a loss is not a finite number, or there are fewer than two.
    """
    broken = int((~losses.isfinite()).sum())
    if broken or len(losses) < 2:
        raise CtgiError(
            f"dividing clean from noisy pairs needs two or more finite losses: {broken} of {len(losses)} are not "
            "finite; lower optim.lr, or use precision fp32 or bf16"
        )
    low, high = losses.min(), losses.max()
    if low == high:
        return torch.ones(len(losses), dtype=torch.float64)
    column = ((losses - low) / (high - low)).double().numpy()[:, None]
    mixture = GaussianMixture(
        n_components=2,
        max_iter=fit.max_iter,
        tol=fit.tol,
        reg_covar=fit.least_variance,
        random_state=int(torch.randint(2**31, (1,), generator=generator)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `max_iter` stops it early on purpose
        mixture.fit(column)
    return torch.from_numpy(mixture.predict_proba(column)[:, mixture.means_.argmin()])


def split_clean(probability: Tensor, threshold: float = 0.5) -> Tensor:
    """Whether each probability is above `threshold` (clean), [N] bool.

    If all are, the lowest hundredth counts as noisy anyway, together with every pair that ties with it (RDE, after
    NCR).
    """
    if probability.min() > threshold:
        threshold = float(probability.sort().values[len(probability) // 100])
    return probability > threshold


def recast_labels(clean_bge: Tensor, clean_tse: Tensor, generator: Generator) -> Tensor:
    """1 where both say clean, 0 where both say noisy, else 0 or 1 by a fair coin, [N] float."""
    coin = torch.randint(2, clean_bge.shape, generator=generator).bool()
    return torch.where(clean_bge == clean_tse, clean_bge, coin).float()


def inject_noise(captions: Sequence[str], rate: float, generator: Generator) -> tuple[list[str], Tensor]:
    """Captions with a random share `rate` of them permuted, and a mask of the pairs that now mismatch, [N].

    A pair may get its own caption back and then does not count as mismatched. Images and pids do not change.
    """
    chosen = torch.randperm(len(captions), generator=generator)[: int(rate * len(captions))]
    order = torch.arange(len(captions))
    order[chosen] = chosen[torch.randperm(len(chosen), generator=generator)]
    return [captions[i] for i in order.tolist()], order != torch.arange(len(captions))
