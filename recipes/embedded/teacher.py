"""What the multimodal model's vision tower makes of the retriever's pictures: a lesson for each of their patches."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration

from recipes.embedded.clip import GRID
from recipes.embedded.pairs import Pictures
from recipes.embedded.sight import Sight

CHANNELS = 64
"""Of the features that are kept: the first principal components."""
SIZE = (336, 140)
"""Height and width at which the tower sees every picture: 60 image tokens."""
_BATCH = 32
_SAMPLE = 1000
"""Pictures of which the principal components are."""


@dataclass(frozen=True)
class Taught:
    """Features of some pictures."""

    rows: NDArray[np.int64]
    """[M], which pictures."""
    features: NDArray[np.float16]
    """[M, CHANNELS, *GRID], each channel of variance 1."""


class Teacher:
    """The vision tower of a multimodal model, as `recipes.embedded.teach` makes it."""

    def __init__(self, folder: Path) -> None:
        model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self._visual = model.model.visual.eval().requires_grad_(False)
        self._sight = Sight(self._visual)

    def tokens(self, pictures: NDArray[np.uint8]) -> Tensor:
        """[B, *SIZE, 3] -> [B, 256, *GRID]: image tokens, one for each patch of the retriever."""
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            tokens = self._sight(torch.from_numpy(pictures))[1].float()
        rows, columns = SIZE[0] // 28, SIZE[1] // 28
        grid = tokens.view(len(tokens), rows, columns, -1).permute(0, 3, 1, 2)
        return F.interpolate(grid, GRID, mode="bilinear", antialias=True)


def taught_of(folder: Path, people: Path, pictures: Pictures) -> Taught:
    """Features by the multimodal model in `folder`, of three in five pictures."""
    teacher = Teacher(folder)
    rows = np.array([row for row in range(len(pictures.names)) if row % 5 % 2 == 0])
    tokens = [
        teacher.tokens(np.stack([_picture(people / "imgs" / pictures.names[row]) for row in part])).half()
        for part in np.array_split(rows, -(-len(rows) // _BATCH))
    ]
    return Taught(rows, principal(torch.cat(tokens)).numpy())


def principal(tokens: Tensor) -> Tensor:
    """[M, C, rows, columns] -> [M, CHANNELS, rows, columns]: the first principal components, of variance 1."""
    some = tokens[:: -(-len(tokens) // _SAMPLE)].float().transpose(0, 1).flatten(1)
    mean = some.mean(1, keepdim=True)
    variance, axes = torch.linalg.eigh((some - mean) @ (some - mean).T / some.shape[1])
    scaled = axes[:, -CHANNELS:] / variance[-CHANNELS:].sqrt()
    return torch.cat(
        [
            torch.einsum("bchw,cd->bdhw", part.float() - mean[:, :, None], scaled).half()
            for part in tokens.chunk(-(-len(tokens) // _SAMPLE))
        ]
    )


def _picture(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB").resize(SIZE[::-1], Image.Resampling.BICUBIC))
