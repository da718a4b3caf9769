"""RDE (arXiv:2308.09911): global and token selection branches, with a loss that can leave out noisy pairs."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ctgi.errors import CtgiError
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.training.irra import Gather, alone
from ctgi.training.losses import PAIR_LOSSES
from ctgi.training.masking import augment_captions, uniform_draws

if TYPE_CHECKING:
    from ctgi.training.loader import Batch


class Rde(nn.Module):
    """A CLIP with token selection and RDE's losses. Retrieval needs only `encoder`."""

    def __init__(
        self, encoder: TwoBranches, *, loss: str = "tal", margin: float = 0.1, tau: float = 0.015, augment: bool = True
    ) -> None:
        """Losses on an encoder.

        Args:
            encoder: the model to train.
            loss: a name from PAIR_LOSSES.
            margin: of tal and trl.
            tau: temperature of tal and trl.
            augment: mask, replace and drop words of training captions.

        Raises:
            CtgiError: no such loss.
        """
        super().__init__()
        if loss not in PAIR_LOSSES:
            raise CtgiError(f"unknown loss {loss!r}: expected one of {', '.join(PAIR_LOSSES)}")
        self.encoder = encoder
        self.loss, self.augment = loss, augment
        self._options = {"margin": margin, "tau": tau} if loss in ("tal", "trl") else {}

    def forward(self, batch: "Batch", generator: torch.Generator, gather: Gather = alone) -> dict[str, Tensor]:
        """The losses of both branches; their sum is the loss.

        Args:
            batch: as for `Irra`; pairs that consensus division calls noisy have weight 0.
            generator: chooses the words to change; advances by one draw. Equally seeded in all processes.
            gather: rows of this process or part to those of the whole effective batch; every term is that batch's.
        """
        ids = self._augmented(batch, generator) if self.augment else batch.ids
        per_pair = self._per_pair(batch, ids, gather)
        weights, reduce = gather(batch.weights), PAIR_LOSSES[self.loss][1]
        return {name: reduce(losses, weights) for name, losses in zip(("bge", "tse"), per_pair, strict=True)}

    @torch.no_grad()
    def per_sample_losses(
        self, batch: "Batch", generator: torch.Generator | None = None, gather: Gather = alone
    ) -> tuple[Tensor, Tensor]:
        """Loss of each pair in either branch, [B] and [B], for consensus division; call it in eval mode.

        Captions are read unchanged. With a generator and `augment`, they are changed as in training, as the released
        code does.
        """
        ids = self._augmented(batch, generator) if generator and self.augment else batch.ids
        return self._per_pair(batch, ids, gather)

    def _augmented(self, batch: "Batch", generator: torch.Generator) -> Tensor:
        draws = uniform_draws(batch.ids, batch.index, generator)
        return augment_captions(batch.ids, draws, self.encoder.clip.mask_id)

    def _per_pair(self, batch: "Batch", ids: Tensor, gather: Gather) -> tuple[Tensor, Tensor]:
        images, texts = self.encoder.image_branches(batch.pixels), self.encoder.text_branches(ids)
        pid, of_pair = gather(batch.pids), PAIR_LOSSES[self.loss][0]
        bge, tse = (
            of_pair(gather(image), gather(text), pid, **self._options)
            for image, text in zip(images, texts, strict=True)
        )
        return bge, tse

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> [B, D + E]; inner products with texts are the mean of both cosines."""
        return self.encoder.encode_image(pixels)

    def encode_texts(self, ids: Tensor) -> Tensor:
        """Ids [B, L] -> [B, D + E]."""
        return self.encoder.encode_text(ids)

    def settings(self) -> dict[str, Any]:
        """What a checkpoint stores besides the weights, to encode again."""
        return self.encoder.settings()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks' activations in the backward pass instead of keeping them."""
        self.encoder.set_grad_checkpointing(enable)
