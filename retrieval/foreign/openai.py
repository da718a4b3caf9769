"""CLIP in OpenAI's names: its own files, Long-CLIP with two tables of positions, and plain state dicts."""

import torch

from ctgi.errors import CtgiError
from ctgi.retrieval.foreign.parts import Facts, Look, Parts, State, clip_of
from ctgi.retrieval.long_text import KEPT

OWN = "OpenAI's CLIP"
_SIZES = ("input_resolution", "context_length", "vocab_size")
_SECOND = "positional_embedding_res"
_LOOK = Look(interpolation="bicubic")


def recognize(state: State) -> bool:
    """Whether this is a CLIP in OpenAI's names."""
    return "visual.conv1.weight" in state and "token_embedding.weight" in state


def read(state: State, facts: Facts) -> Parts:
    """The CLIP. OpenAI's files hold three sizes besides weights; without them, nothing tells the activation."""
    clip, rest = clip_of(state)
    if _SECOND in rest:
        second = rest.pop(_SECOND)
        clip["positional_embedding"] = _joined(clip["positional_embedding"], second)
        return Parts("Long-CLIP", clip, quick_gelu=True, look=_LOOK, left_out=tuple(rest))
    if all(name in rest for name in _SIZES):
        side = int(rest["input_resolution"])
        heads = tuple(name for name in rest if name not in _SIZES)
        return Parts(OWN, clip, quick_gelu=True, look=_LOOK, image_size=(side, side), left_out=heads)
    return Parts("a CLIP in OpenAI's names", clip, quick_gelu=None, look=_LOOK, left_out=tuple(rest))


def _joined(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Long-CLIP reads the first rows from the table that it keeps, and the others from the one that it trains."""
    if first.shape != second.shape or len(first) <= KEPT:
        raise CtgiError(f"Long-CLIP's two tables of positions differ: {tuple(first.shape)} and {tuple(second.shape)}")
    return torch.cat([first[:KEPT], second[KEPT:]])
