"""First lesson, for the vision tower alone: which part of the person each patch shows, and every attribute at once.

A picture has thirty attributes and 192 patches to name, where a dialogue has a few words: the tower learns to see
much faster. The heads are thrown away afterwards.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctgi.synth import person as tables
from ctgi.synth.colors import COLORS
from recipes.embedded.answers import Scene
from recipes.embedded.batches import Batch
from recipes.embedded.pictures import PARTS
from recipes.embedded.sight import in_patch_order

UNSEEN = "unseen"
_COLORS = (*COLORS, "blond", tables.NONE)
_PATTERNS = tuple(tables.PATTERNS)
FIELDS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "gender": (None, ("man", "woman")),
    "hair_length": ("hair", ("bald", "short", "shoulder-length", "long")),
    "hair_style": ("hair", ("loose", "ponytail", "bun", tables.NONE)),
    "hair_color": ("hair", _COLORS),
    "upper_type": ("upper", (*tables.UPPERS, "dress")),
    "upper_color": ("upper", _COLORS),
    "upper_pattern": ("pattern", _PATTERNS),
    "pattern_color": ("pattern", _COLORS),
    "sleeves": ("upper", ("long", "short", tables.NONE)),
    "inner_color": ("inner", _COLORS),
    "lower_type": ("lower", tuple(tables.LOWERS)),
    "lower_color": ("lower", _COLORS),
    "lower_length": ("lower", ("long", "knee-length", "short")),
    "lower_pattern": ("lower", _PATTERNS),
    "shoes_type": ("shoes", tuple(tables.SHOES)),
    "shoes_color": ("shoes", _COLORS),
    "socks_color": ("socks", _COLORS),
    "bag": ("bag", tuple(tables.BAGS)),
    "bag_color": ("bag", _COLORS),
    "hat": ("hat", tuple(tables.HATS)),
    "hat_color": ("hat", _COLORS),
    "glasses": ("glasses", tuple(tables.GLASSES)),
    "scarf_color": ("scarf", _COLORS),
    "belt_color": ("belt", _COLORS),
    "held": ("held", tuple(tables.HELD)),
    "held_color": ("held", _COLORS),
    "side": (None, tuple(tables.SIDES)),
    "action": (None, tuple(tables.ACTIONS)),
    "scene": (None, tuple(tables.SCENES)),
    "others": (None, ("False", "True")),
}
"""Field of Person or View: the part that must be seen for it to be told (None: always), and its values."""
_CLASSES = [(UNSEEN, *values) for _, values in FIELDS.values()]
_WIDEST = max(map(len, _CLASSES))


def truth(scene: Scene) -> list[int]:
    """The class of each field; 0 where its part is not seen."""
    told = vars(scene.person) | vars(scene.view)
    return [
        classes.index(str(told[field])) if part is None or scene.sees(part) else 0
        for (field, (part, _)), classes in zip(FIELDS.items(), _CLASSES, strict=True)
    ]


class Heads(nn.Module):
    """One query per field looks over the image tokens; one linear layer names the patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(FIELDS), width) * 0.5)
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, width)
        self.classify = nn.Parameter(torch.randn(len(FIELDS), width, _WIDEST) * width**-0.5)
        self.parts = nn.Linear(width, PARTS)
        sizes = torch.tensor([len(classes) for classes in _CLASSES])
        self.register_buffer("absent", torch.arange(_WIDEST) >= sizes[:, None])  # [fields, widest]

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
            patches: features of the patches [B, P, D].
            tokens: of the image tokens [B, P / 4, D].
            batch: the pictures' truth.

        Returns:
            The loss, and right answers [B, fields].
        """
        shares = in_patch_order(batch.parts).float()
        of_parts = F.cross_entropy(
            self.parts(patches).float().flatten(0, 1), (shares / shares.sum(-1, keepdim=True)).flatten(0, 1)
        )
        logits = self.attributes(tokens)
        wanted = torch.tensor([truth(scene) for scene in batch.scenes])
        of_fields = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
        right = logits.argmax(-1) == wanted
        return of_fields.mean(0).sum() * 0.25 + of_parts, right
