"""Masks, replaces and drops words at random. The result depends only on the seed and the caption's index.

Neither the width of a batch nor its division over processes changes it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Masked:
    """Captions with masked words to predict."""

    ids: Tensor
    """[B, L], with masks."""
    chosen: Tensor
    """[B, L]: whether the original word here is to be predicted."""


def mask_words(ids: Tensor, draws: Tensor, mask_id: int, *, share: float = 0.15) -> Masked:
    """Choose words for masked language modelling (BERT's rule, as in IRRA).

    80 % of the chosen words become the mask, 10 % a random word, and 10 % stay. If no word of a caption is chosen, its
    first word is masked. A caption without words does not change.

    Args:
        ids: [B, L]; words are the ids between 0 and `mask_id`, both excluded.
        draws: [3, B, L] of `uniform_draws`.
        mask_id: id of the mask token.
        share: probability that a word is chosen.
    """
    which, how, word = draws
    words = _words(ids, mask_id)
    chosen = words & (which < share)
    neglected = words.any(dim=1) & ~chosen.any(dim=1)
    first = neglected[:, None] & words & (words.cumsum(dim=1) == 1)
    masked = (chosen & (how < 0.8)) | first
    swapped = chosen & (how >= 0.8) & (how < 0.9)
    out = torch.where(swapped, _any_word(word, mask_id), ids).masked_fill(masked, mask_id)
    return Masked(out, chosen | first)


def augment_captions(ids: Tensor, draws: Tensor, mask_id: int, *, share: float = 0.2) -> Tensor:
    """RDE's augmentation: 60 % of the chosen words become the mask, 20 % a random word, 20 % are dropped.

    No word is dropped if all would be.

    Args:
        ids: [B, L].
        draws: [3, B, L] of `uniform_draws`.
        mask_id: id of the mask token.
        share: probability that a word is chosen.

    Returns:
        [B, L], closed up after dropped words.
    """
    which, how, word = draws
    words = _words(ids, mask_id)
    chosen = words & (which < share)
    dropped = chosen & (how >= 0.8)
    dropped &= ((words & ~dropped).any(dim=1))[:, None]
    out = torch.where(chosen & (how >= 0.6) & (how < 0.8), _any_word(word, mask_id), ids)
    out = out.masked_fill(chosen & (how < 0.6), mask_id).masked_fill(dropped, 0)
    order = dropped.to(torch.uint8).argsort(dim=1, stable=True)
    return out.gather(1, order)


def uniform_draws(batch_ids: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
    """Three uniform draws per token, [3, B, L] in [0, 1) on the device of the ids.

    They depend on one number from `generator` and on each caption's index. Equally seeded generators give a caption
    the same draws in any batch.

    Args:
        batch_ids: [B, L].
        index: [B], each caption's row in the split.
        generator: on any device; advances by one draw.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    shape = batch_ids.shape[1], 3  # row by row, so that a wider batch only adds draws
    rows = [np.random.default_rng((seed, row)).random(shape, dtype=np.float32) for row in index.tolist()]
    return torch.from_numpy(np.stack(rows)).permute(2, 0, 1).to(batch_ids.device)


def _words(ids: Tensor, mask_id: int) -> Tensor:
    return (ids > 0) & (ids < mask_id)


def _any_word(draw: Tensor, mask_id: int) -> Tensor:
    return (draw * (mask_id - 1)).long() + 1
