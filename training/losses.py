"""Losses between images and captions: pure functions over one batch, in float32 whatever the model runs in.

image, text: [B, D], any norm; row i of both is a pair. pid: [B], the person of each pair. weights: [B], the weight of
each pair; None weights all equally. Functions named `*_per_pair`, `tal` and `trl` return [B], the others a scalar.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def sdm(
    image: Tensor,
    text: Tensor,
    pid: Tensor,
    *,
    scale: float | Tensor = 50.0,
    eps: float = 1e-8,
    targets: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Similarity distribution matching (IRRA, arXiv:2303.12501): KL(predicted || same person), both ways added.

    scale: 1 / temperature. targets: [B, B], the target distribution of each row; `person_targets(pid)` if None.
    """
    return weighted_mean(sdm_per_pair(image, text, pid, scale=scale, eps=eps, targets=targets), weights)


def sdm_per_pair(
    image: Tensor,
    text: Tensor,
    pid: Tensor,
    *,
    scale: float | Tensor = 50.0,
    eps: float = 1e-8,
    targets: Tensor | None = None,
) -> Tensor:
    """`sdm` of each pair, [B]."""
    wanted = person_targets(pid) if targets is None else targets
    scores = scale * cosine(image, text)
    return _kl(scores, wanted, eps) + _kl(scores.T, wanted, eps)


def itc(
    image: Tensor, text: Tensor, pid: Tensor, *, scale: float | Tensor = 50.0, weights: Tensor | None = None
) -> Tensor:
    """Image-text contrast as in CLIP: mean of `infonce_per_pair`; `pid` is not looked at."""
    return weighted_mean(infonce_per_pair(image, text, pid, scale=scale), weights)


def infonce_per_pair(image: Tensor, text: Tensor, pid: Tensor, *, scale: float | Tensor = 50.0) -> Tensor:
    """Cross-entropy of choosing the partner among the batch, mean of both ways, [B]; `pid` is not looked at."""
    scores = scale * cosine(image, text)
    return -(scores.log_softmax(dim=1).diagonal() + scores.log_softmax(dim=0).diagonal()) / 2


def cmpm(
    image: Tensor,
    text: Tensor,
    pid: Tensor,
    *,
    eps: float = 1e-8,
    as_released: bool = False,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-modal projection matching (Zhang and Lu, ECCV 2018): KL of projections on the other side's directions.

    Targets sum to 1 per row, as in the paper. `as_released` divides them by their L2 norm, as in the code that IRRA
    took over: with several images of a person in a batch the loss can then be negative.
    """
    wanted = F.normalize(_same(pid).float(), dim=1) if as_released else person_targets(pid)
    with _full_precision(image):
        onto_text = _float(image) @ F.normalize(_float(text), dim=1).T
        onto_image = _float(text) @ F.normalize(_float(image), dim=1).T
    return weighted_mean(_kl(onto_text, wanted, eps) + _kl(onto_image, wanted, eps), weights)


def nitc(
    image: Tensor,
    text: Tensor,
    pid: Tensor,
    *,
    scale: float | Tensor = 50.0,
    own: float = 0.5,
    weights: Tensor | None = None,
) -> Tensor:
    """Normalized contrast with soft labels (TBPS-CLIP, arXiv:2308.10045): mean cross-entropy of both ways.

    own: share of the model's present prediction in the target, 0 to 1; the rest is `person_targets`. TBPS-CLIP
    ramps it up to 0.5 over the first epoch, with a learned scale that starts at 1 / 0.07.
    """
    scores = scale * cosine(image, text)

    def one_way(logits: Tensor) -> Tensor:
        target = own * logits.detach().softmax(dim=1) + (1 - own) * person_targets(pid)
        return -(target * logits.log_softmax(dim=1)).sum(dim=1)

    return weighted_mean((one_way(scores) + one_way(scores.T)) / 2, weights)


def ritc(
    image: Tensor,
    text: Tensor,
    pid: Tensor,
    *,
    scale: float | Tensor = 50.0,
    eps: float = 1e-2,
    weights: Tensor | None = None,
) -> Tensor:
    """Reversed contrast (TBPS-CLIP, arXiv:2308.10045): `sdm` with a milder eps, mean of both ways."""
    return sdm(image, text, pid, scale=scale, eps=eps, weights=weights) / 2


def tal(image: Tensor, text: Tensor, pid: Tensor, *, margin: float = 0.1, tau: float = 0.015) -> Tensor:
    """Triplet alignment (RDE, arXiv:2308.09911): margin over all negatives at once, both ways added, [B].

    The negatives go through a masked logsumexp: no overflow at any tau. A batch of one person has no negatives:
    its loss and gradients are 0.
    """
    same = _same(pid)

    def one_way(scores: Tensor) -> Tensor:
        alone = same.all(dim=1)  # their logsumexp would be -inf, with NaN gradients
        logits = (scores / tau).masked_fill(same & ~alone[:, None], -torch.inf)
        hinge = (margin - _positive(scores, same, tau) + tau * logits.logsumexp(dim=1)).clamp(min=0)
        return hinge.masked_fill(alone, 0)

    scores = cosine(image, text)
    return one_way(scores) + one_way(scores.T)


def trl(image: Tensor, text: Tensor, pid: Tensor, *, margin: float = 0.1, tau: float = 0.015) -> Tensor:
    """Triplet ranking with the hardest negative, never below a cosine of 0, both ways added, [B] (RDE)."""
    same = _same(pid)

    def one_way(scores: Tensor) -> Tensor:
        hardest = scores.masked_fill(same, 0).max(dim=1).values
        return (margin - _positive(scores, same, tau) + hardest).clamp(min=0)

    scores = cosine(image, text)
    return one_way(scores) + one_way(scores.T)


def id_loss(image_logits: Tensor, text_logits: Tensor, pid: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of the person, [B, C] logits against pid in 0..C-1, mean of both sides (arXiv:1711.05535).

    weights count for captions only: a doubtful caption leaves the image's label as it is.
    """
    of_text = F.cross_entropy(_float(text_logits), pid, reduction="none")
    return (F.cross_entropy(_float(image_logits), pid) + weighted_mean(of_text, weights)) / 2


def mlm_loss(logits: Tensor, labels: Tensor, *, ignore: int = 0, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the masked words; 0 if there are none.

    logits: [M, V]. labels: [M] token ids; positions of label `ignore` do not count. weights: [M].
    """
    per_position = F.cross_entropy(_float(logits), labels, ignore_index=ignore, reduction="none")
    masked = (labels != ignore).to(per_position.dtype)
    return weighted_mean(per_position, masked if weights is None else masked * weights)


def person_targets(pid: Tensor) -> Tensor:
    """[B, B]: 1 / n at the n members of the batch that are of the row's person."""
    same = _same(pid).float()
    return same / same.sum(dim=1, keepdim=True)


def image_targets(pid: Tensor, image_id: Tensor, *, other_image: float = 0.3, as_released: bool = False) -> Tensor:
    """[B, B] rows that sum to 1: `other_image` at other images of the person for each 1 at the image itself.

    image_id: [B]. `as_released` divides each column by its sum instead, as IRRA's code does.
    """
    same_image = _same(image_id).float()
    wanted = same_image + other_image * (_same(pid).float() - same_image)
    return wanted / wanted.sum(dim=0 if as_released else 1, keepdim=True)


def weighted_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of [B] values, each by its weight; 0 if all weights are 0."""
    if weights is None:
        return values.mean()
    return (weights * values).sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)


def weighted_sum(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum of [B] values, each by its weight."""
    return values.sum() if weights is None else (weights * values).sum()


def cosine(image: Tensor, text: Tensor) -> Tensor:
    """[B, B] cosines, image by text, in float32 also inside autocast."""
    with _full_precision(image):
        return F.normalize(_float(image), dim=1) @ F.normalize(_float(text), dim=1).T


LOSSES: dict[str, Callable[..., Tensor]] = {"sdm": sdm, "itc": itc, "cmpm": cmpm, "nitc": nitc, "ritc": ritc}
"""Batch losses by name: (image, text, pid, *, weights=None) -> scalar."""

PAIR_LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "tal": (tal, weighted_sum),
    "trl": (trl, weighted_sum),
    "infonce": (infonce_per_pair, weighted_mean),
    "sdm": (sdm_per_pair, weighted_mean),
}
"""Losses of RDE by name: (image, text, pid) -> [B], and how its kept pairs make up the batch loss."""


def _kl(logits: Tensor, wanted: Tensor, eps: float) -> Tensor:
    log_p = logits.log_softmax(dim=1)
    return (log_p.exp() * (log_p - (wanted + eps).log())).sum(dim=1)


def _positive(scores: Tensor, same: Tensor, tau: float) -> Tensor:
    """[B]: the row's positives, the nearest weighing most; no gradient through the weights."""
    attention = (scores.detach() / tau).masked_fill(~same, -torch.inf).softmax(dim=1)
    return (attention * scores).sum(dim=1)


def _same(label: Tensor) -> Tensor:
    return label[:, None] == label[None, :]


def _float(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _full_precision(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)
