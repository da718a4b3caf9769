"""First lesson, for the vision tower alone: which part of the person each patch shows, and every attribute at once.

A picture has thirty attributes and hundreds of patches to name, where a dialogue has a few words: the tower learns to
see much faster. The heads are thrown away afterwards.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.embedded import emphasis
from recipes.embedded.batches import Batch
from recipes.embedded.fields import CLASSES, FIELDS
from recipes.embedded.pictures import PARTS
from recipes.embedded.sight import in_patch_order

_WIDEST = max(map(len, CLASSES))
_RARE = 3.0
"""The most that a rare class counts beside a common one."""


class Heads(nn.Module):
    """One query per field looks over the image tokens; one linear layer names the patches."""

    def __init__(self, width: int, patch_width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(FIELDS), width) * 0.5)
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, width)
        self.classify = nn.Parameter(torch.randn(len(FIELDS), width, _WIDEST) * width**-0.5)
        self.parts = nn.Linear(patch_width, PARTS)
        sizes = torch.tensor([len(classes) for classes in CLASSES])
        self.register_buffer("absent", torch.arange(_WIDEST, device=sizes.device) >= sizes[:, None])  # [fields, widest]
        self.register_buffer("weights", torch.ones(len(FIELDS), _WIDEST))
        shares = torch.tensor([emphasis.FIELDS.get(field, 1.0) for field in FIELDS])
        self.register_buffer("emphasis", shares / shares.mean())

    def weigh(self, fields: Tensor) -> None:
        """Let rare classes count more: by the square root of how rare they are among `fields` [N, fields]."""
        counts = torch.stack([torch.bincount(column, minlength=_WIDEST) for column in fields.long().unbind(1)]).float()
        present = (counts > 0).sum(1, keepdim=True)
        fair = counts.sum(1, keepdim=True) / present
        self.get_buffer("weights").copy_((fair / counts.clamp_min(1)).sqrt().clamp(1 / _RARE, _RARE))

    def attributes(self, tokens: Tensor) -> Tensor:
        """Image tokens [B, T, D] -> logits [B, fields, widest]."""
        x = self.norm(tokens)
        weights = (self.queries @ self.key(x).transpose(1, 2)).float() * x.shape[-1] ** -0.5  # [B, fields, T]
        seen = weights.softmax(-1).to(x.dtype) @ x  # [B, fields, D]
        logits = torch.einsum("bfd,fdc->bfc", seen.float(), self.classify.float())
        return logits.masked_fill(self.get_buffer("absent"), -1e4)

    def loss(self, patches: Tensor, tokens: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and whether each field was told right.

        Args:
            patches: features of the patches [B, P, E].
            tokens: of the image tokens [B, P / 4, D].
            batch: the pictures' truth.

        Returns:
            The loss, and right answers [B, fields].
        """
        shares = in_patch_order(batch.parts).float()
        of_parts = F.cross_entropy(
            self.parts(patches).float().flatten(0, 1), (shares / shares.sum(-1, keepdim=True)).flatten(0, 1)
        )
        logits, wanted = self.attributes(tokens), batch.fields.long()
        of_fields = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
        rows = torch.arange(len(FIELDS), device=wanted.device)
        weights = self.get_buffer("weights")[rows, wanted]
        right = logits.argmax(-1) == wanted
        of_all = ((of_fields * weights).mean(0) * self.get_buffer("emphasis")).sum()
        return of_all * 0.25 + of_parts, right
