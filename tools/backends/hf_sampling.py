"""Draws replies by seed and prompt, whatever else is in the batch."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count

import torch
from torch import Tensor

from ctgi.tools.backends.hf_prompt import Prompt

COLD = 0.1
"""Temperature below which sampling equals greedy decoding, except for near ties."""

Noise = Callable[[Tensor], Tensor]
"""Scores [B, V] -> noise to add before taking the maximum."""


def no_noise(scores: Tensor) -> Tensor:
    """None: the maximum itself."""
    return torch.zeros((), device=scores.device)


def gumbel(prompts: Sequence[Prompt], temperature: float, seed: int) -> Noise:
    """Noise that turns the maximum into a sample at this temperature (the Gumbel-max trick).

    Each row has its own randomness, so that a reply does not depend on its neighbors in the batch.
    """
    keys = [f"{seed}/{prompt.image_id}/{prompt.tokens['input_ids'].tolist()}" for prompt in prompts]
    digests = torch.tensor([int.from_bytes(sha256(key.encode()).digest()[:7]) for key in keys])
    drawn = count()

    def noise(scores: Tensor) -> Tensor:
        uniform = _uniform(digests.to(scores.device), next(drawn), scores.shape[1])
        return -temperature * (-uniform.clamp(1e-20, 1 - 1e-7).log()).log()

    return noise


def _uniform(keys: Tensor, step: int, size: int) -> Tensor:
    """[B, size] numbers in [0, 1), the step-th draw of each key: SplitMix64, all rows at once on the keys' device."""
    places = torch.arange(step * size + 1, (step + 1) * size + 1, device=keys.device)
    x = keys[:, None] + places * _signed(0x9E3779B97F4A7C15)  # products wrap around
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    uniform: Tensor = _shifted(x ^ _shifted(x, 31), 40).float() / 2**24
    return uniform


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _shifted(x: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in: torch's own shift keeps the sign."""
    moved: Tensor = (x >> places) & (2 ** (64 - places) - 1)
    return moved


def recording(log_probs: list[Tensor], noise: Noise) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that adds the noise and records log P of the chosen token, [B], at each step."""

    def record(input_ids: Tensor, scores: Tensor) -> Tensor:
        noisy = scores + noise(scores)
        chosen = scores.gather(1, noisy.argmax(dim=-1, keepdim=True)).squeeze(1)
        log_probs.append(chosen - scores.logsumexp(dim=-1))
        return noisy

    return record
