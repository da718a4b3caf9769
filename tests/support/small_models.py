"""A CLIP of 0.2 million random parameters and 600 tokens, and batches for it."""

import torch
from torch import Tensor

from ctgi.retrieval.clip_tokens import ClipTokens, build_clip
from ctgi.training.loader import Batch

MASK_ID, START_ID, END_ID = 597, 598, 599


def small_clip(context_length: int = 77) -> ClipTokens:
    """For images of 64 x 32 px; the same weights every time."""
    vision = {"image_size": [64, 32], "patch_size": 16, "width": 64, "layers": 2, "head_width": 32}
    text = {"context_length": context_length, "vocab_size": 600, "width": 32, "heads": 2, "layers": 2}
    name = {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_clip({"name": name, "image_size": [64, 32], "mean": [0.5] * 3, "std": [0.5] * 3})


def captions(*words: int) -> Tensor:
    """Ids of captions of so many words each, as wide as the longest."""
    ids = torch.zeros(len(words), max(words) + 2, dtype=torch.long)
    for row, count in enumerate(words):
        drawn = torch.randint(1, MASK_ID, (count,), generator=torch.Generator().manual_seed(row))
        ids[row, : count + 2] = torch.tensor([START_ID, *drawn.tolist(), END_ID])
    return ids


def batch_of(ids: Tensor, pids: tuple[int, ...] = (0, 1, 1, 2)) -> Batch:
    """These captions with random images."""
    count = len(ids)
    pixels = torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(count)
    return Batch(pixels, ids, torch.tensor(pids[:count]), rows, torch.ones(count), rows)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
