"""What a model in this process is asked, as its processor prepared it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Ids = tuple[int, ...]
"""Tokens of a text."""


@dataclass(frozen=True)
class Prompt:
    """One request, as prepared by the processor."""

    tokens: dict[str, Tensor]
    """[1, L] each: input_ids, attention_mask and further per-token inputs of the processor."""
    image: dict[str, Tensor]
    """pixel_values and their shapes; empty without an image."""
    image_id: str
    """sha256 of the image; "" without one."""
    max_tokens: int
    """Limit of a free text; 0 for choices."""
    thinking: bool
    """Whether it ends inside a thought, with which the reply begins."""
    choices: tuple[tuple[str, tuple[Ids, ...]], ...]
    """Each choice with the token sequences that spell it; empty for free text."""

    @property
    def length(self) -> int:
        """Number of tokens, including the image's."""
        return self.tokens["input_ids"].shape[1]

    @property
    def ids(self) -> Tensor:
        """The tokens, [L]."""
        return self.tokens["input_ids"][0]

    @property
    def before_image(self) -> int:
        """Number of tokens before those of the image; all of them without one."""
        of_image = self.tokens["mm_token_type_ids"][0].nonzero()
        return int(of_image[0]) if len(of_image) else self.length


def lengthened(name: str, tokens: Tensor, added: Sequence[int]) -> Tensor:
    """The per-token inputs, [1, L + len(added)], with text tokens appended."""
    told = {"input_ids": list(added), "attention_mask": [1] * len(added)}.get(name, [0] * len(added))
    return torch.cat([tokens, torch.tensor([told], dtype=torch.long)], dim=1)
