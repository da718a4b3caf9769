"""IRRA (arXiv:2303.12501): similarity distribution matching, identity loss, and image-guided masked words."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens, Tokens
from ctgi.training.losses import LOSSES, cmpm, id_loss, mlm_loss
from ctgi.training.masking import Masked, mask_words, uniform_draws

if TYPE_CHECKING:
    from ctgi.training.loader import Batch

Gather = Callable[[Tensor], Tensor]


def alone(rows: Tensor) -> Tensor:
    """The gather function for an undivided batch: returns the rows."""
    return rows


BATCH_LOSSES = LOSSES | {"cmpm_as_released": partial(cmpm, as_released=True)}
LOSS_NAMES = (*BATCH_LOSSES, "id", "mlm")


class Irra(nn.Module):
    """A CLIP with IRRA's losses. Retrieval needs only `encoder`."""

    def __init__(
        self,
        clip: ClipTokens,
        classes: int,
        *,
        losses: Sequence[str] = ("sdm", "id", "mlm"),
        loss_weights: Mapping[str, float] | None = None,
        depth: int = 4,
        clean_global: bool = True,
        attend_padding: bool = False,
    ) -> None:
        """Random heads on a CLIP.

        Args:
            clip: the model to train.
            classes: persons in the training split; needed for the loss `id`.
            losses: names from LOSS_NAMES; their terms are added.
            loss_weights: factors by loss name; the default is 1.
            depth: blocks of the interaction encoder.
            clean_global: SDM and ID see the original caption. False, as released: the masked one, if words are masked.
            attend_padding: masked words also attend to padding, up to the context length, as released. Captions are
                then read at full width for that loss.

        Raises:
            CtgiError: no such loss, or `id` without classes.
        """
        super().__init__()
        unknown = sorted({*losses, *(loss_weights or {})} - set(LOSS_NAMES))
        if unknown or not losses:
            raise CtgiError(f"losses: unknown loss {unknown}: expected some of {', '.join(LOSS_NAMES)}")
        if "id" in losses and classes < 1:
            raise CtgiError("the loss id needs identity labels: remove it from the losses, or use identity=labels")
        self.encoder = clip
        self.losses = tuple(losses)
        self.loss_weights = dict(loss_weights or {})
        self.clean_global, self.attend_padding = clean_global, attend_padding
        if "id" in losses:
            self.classifier = nn.Linear(clip.dim, classes)
            nn.init.normal_(self.classifier.weight, std=0.001)
            nn.init.zeros_(self.classifier.bias)
        if "mlm" in losses:
            self.interaction = Interaction(clip.dim, clip.mask_id + 3, depth)

    def forward(self, batch: "Batch", generator: torch.Generator, gather: Gather = alone) -> dict[str, Tensor]:
        """The loss terms of a batch, weighted; their sum is the loss.

        Args:
            batch: pixels [B, 3, H, W], ids [B, L], pids [B], weights [B] and index [B].
            generator: chooses the masked words; advances by one draw. Equally seeded in all processes.
            gather: rows of this process or part to those of the whole effective batch; every term is that batch's.
        """
        masked = None
        if "mlm" in self.losses:
            draws = uniform_draws(batch.ids, batch.index, generator)
            masked = mask_words(batch.ids, draws, self.encoder.mask_id)
        return self.terms(batch, masked, gather)

    def terms(self, batch: "Batch", masked: Masked | None, gather: Gather = alone) -> dict[str, Tensor]:
        """As `forward`, for captions that are masked already; None if no word is to be predicted."""
        seen = self.encoder.image_tokens(batch.pixels)
        ids = batch.ids if masked is None or self.clean_global else masked.ids
        read = self.encoder.text_tokens(ids)
        image, text, pid, weights = map(gather, (seen.global_, read.global_, batch.pids, batch.weights))
        terms = {
            name: BATCH_LOSSES[name](image, text, pid, weights=weights) for name in self.losses if name in BATCH_LOSSES
        }
        if "id" in self.losses:
            terms["id"] = id_loss(self.classifier(image), self.classifier(text), pid, weights=weights)
        if masked is not None:
            terms["mlm"] = self._mlm(batch, masked, seen, gather)
        return {name: self.loss_weights.get(name, 1.0) * term for name, term in terms.items()}

    def _mlm(self, batch: "Batch", masked: Masked, seen: Tokens, gather: Gather) -> Tensor:
        """Mean over the masked words of the whole batch, each weighted as its caption."""
        ids, chosen = masked.ids, masked.chosen
        padding: Tensor | None = None
        if self.attend_padding:
            missing = self.encoder.context_length - ids.shape[1]
            ids, chosen = F.pad(ids, (0, missing)), F.pad(chosen, (0, missing))
        else:
            padding = torch.arange(ids.shape[1], device=ids.device) > ids.argmax(dim=1, keepdim=True)
        logits = self.interaction(self.encoder.text_tokens(ids).tokens, seen.tokens, chosen, padding)
        weights = batch.weights[chosen.nonzero()[:, 0]]
        own = mlm_loss(logits, batch.ids[masked.chosen], weights=weights)
        weight = weights.sum()[None]
        everyone = gather(weight)
        return (gather(own * weight)).sum() / everyone.sum().clamp(min=torch.finfo(everyone.dtype).tiny)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> [B, D], not normalized."""
        return self.encoder.encode_image(pixels)

    def encode_texts(self, ids: Tensor) -> Tensor:
        """Ids [B, L] -> [B, D], not normalized."""
        return self.encoder.encode_text(ids)

    def settings(self) -> dict[str, Any]:
        """What a checkpoint stores besides the weights, to encode again."""
        return self.encoder.settings()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks' activations in the backward pass instead of keeping them."""
        self.encoder.set_grad_checkpointing(enable)
        if "mlm" in self.losses:
            self.interaction.cross_modal_transformer.grad_checkpointing = enable


class Interaction(nn.Module):
    """Implicit relation reasoning: tokens of a masked caption attend to the image, then to each other."""

    def __init__(self, dim: int, vocabulary: int, depth: int = 4) -> None:
        """Random weights, initialized as in IRRA.

        Args:
            dim: D, width of the tokens; heads are D / 64.
            vocabulary: token ids.
            depth: self-attention blocks.
        """
        super().__init__()
        heads = max(1, dim // 64)
        self.cross_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_pre_t, self.ln_pre_i = LayerNorm(dim), LayerNorm(dim)
        self.cross_modal_transformer = Transformer(dim, depth, heads, act_layer=QuickGELU)
        self.ln_post = LayerNorm(dim)
        self.mlm_head = nn.Sequential(
            OrderedDict(dense=nn.Linear(dim, dim), gelu=QuickGELU(), ln=LayerNorm(dim), fc=nn.Linear(dim, vocabulary))
        )
        self._draw_weights(dim, depth)

    def forward(self, text: Tensor, image: Tensor, chosen: Tensor, padding: Tensor | None) -> Tensor:
        """The words at the chosen positions.

        Args:
            text: [B, L, D], tokens of masked captions.
            image: [B, N, D].
            chosen: [B, L], M places.
            padding: [B, L], tokens that are not attended to; None attends to all.

        Returns:
            [M, vocabulary], logits. Only these rows of the step's largest tensor are computed.
        """
        return self.head(self.fused(text, image, padding)[chosen])

    def fused(self, text: Tensor, image: Tensor, padding: Tensor | None) -> Tensor:
        """[B, L, D]: the caption tokens after attending to the image and each other."""
        image = self.ln_pre_i(image)
        x = self.cross_attn(self.ln_pre_t(text), image, image, need_weights=False)[0]  # no residual, as published
        transformer = self.cross_modal_transformer
        for block in transformer.resblocks:
            if transformer.grad_checkpointing:
                x = checkpoint(_block, block, x, padding, use_reentrant=False)
            else:
                x = _block(block, x, padding)
        fused: Tensor = self.ln_post(x)
        return fused

    def head(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., vocabulary]."""
        logits: Tensor = self.mlm_head(x)
        return logits

    def _draw_weights(self, dim: int, depth: int) -> None:
        scale, deep, wide = dim**-0.5, (dim * 2 * depth) ** -0.5, (2 * dim) ** -0.5
        for attention in (self.cross_attn, *(block.attn for block in self.cross_modal_transformer.resblocks)):
            nn.init.normal_(attention.in_proj_weight, std=scale)
            nn.init.normal_(attention.out_proj.weight, std=deep)
        for block in self.cross_modal_transformer.resblocks:
            nn.init.normal_(block.mlp.c_fc.weight, std=wide)
            nn.init.normal_(block.mlp.c_proj.weight, std=deep)
        nn.init.normal_(self.mlm_head.get_parameter("dense.weight"), std=wide)
        nn.init.normal_(self.mlm_head.get_parameter("fc.weight"), std=deep)


def _block(block: Any, x: Tensor, padding: Tensor | None) -> Tensor:
    """A residual block with a padding mask, which open_clip's own forward does not accept."""
    y = block.ln_1(x)
    x = x + block.attn(y, y, y, key_padding_mask=padding, need_weights=False)[0]
    out: Tensor = x + block.mlp(block.ln_2(x))
    return out
