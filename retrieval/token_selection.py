"""RDE's two branches (arXiv:2308.09911): CLIP's global features, and an embedding of the tokens they attend to most."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctgi.retrieval.clip_tokens import ClipTokens, trimmed


class TokenSelection(nn.Module):
    """Token selection embedding of one modality: MLP and linear map of the chosen tokens, the maximum over them."""

    def __init__(self, dim: int, out_dim: int, *, fillers: bool = False) -> None:
        """Random weights.

        Args:
            dim: width of the tokens.
            out_dim: width of the embedding.
            fillers: batch norm also counts padding that fills up missing words, as in the released code.
        """
        super().__init__()
        self.fillers = fillers
        self.dense = nn.Linear(dim, out_dim // 2)
        self.norm = nn.BatchNorm1d(out_dim // 2)
        self.out = nn.Linear(out_dim // 2, out_dim)
        self.skip = nn.Linear(dim, out_dim)

    def forward(self, tokens: Tensor, places: Tensor, real: Tensor | None = None) -> Tensor:
        """The embedding of the tokens at `places`.

        Args:
            tokens: [B, N, D].
            places: [B, k], positions of the tokens to use.
            real: [B, k], which of them count; None counts all.

        Returns:
            [B, E], not normalized; 0 if no token counts.
        """
        chosen = tokens.float().gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))
        chosen = chosen / (chosen.norm(dim=2, keepdim=True) + 1e-8)
        if real is None or self.fillers or torch.compiler.is_compiling():  # a graph has fixed sizes
            embedded = self._embed(chosen.flatten(0, 1)).view(*chosen.shape[:2], -1)
        else:
            of_real = self._embed(chosen[real])
            embedded = of_real.new_zeros(*real.shape, of_real.shape[1]).index_put((real,), of_real)
        if real is None:
            return embedded.max(dim=1).values
        pooled = embedded.masked_fill(~real[:, :, None], -torch.inf).max(dim=1).values
        return pooled.masked_fill(~real.any(dim=1, keepdim=True), 0)

    def _embed(self, x: Tensor) -> Tensor:
        """[M, D] -> [M, E]."""
        hidden = self.dense(x)
        shared = isinstance(self.norm, nn.SyncBatchNorm)  # then all processes must take part, even one without words
        if self.training and (shared or len(x) > 1):
            hidden = self.norm(hidden)
        else:  # also in training: a single token has no variance
            norm = self.norm
            hidden = F.batch_norm(hidden, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        embedded: Tensor = self.out(hidden.relu()) + self.skip(x)
        return embedded


class TwoBranches(nn.Module):
    """A CLIP with token selection for images and texts. Similarity is the mean of the branches' cosines."""

    def __init__(
        self,
        clip: ClipTokens,
        *,
        out_dim: int = 1024,
        ratio: float = 0.3,
        max_words: int | None = 22,
        fillers: bool = False,
    ) -> None:
        """Random token selection on a CLIP.

        Args:
            clip: the model underneath.
            out_dim: width of the token selection embedding.
            ratio: share of the tokens to choose.
            max_words: limit of tokens chosen from a text; 22 is what 77 positions give. None, as released, takes 73 of
                248 positions, which is every word of most captions.
            fillers: see `TokenSelection`; texts are then read in full width in training.
        """
        super().__init__()
        self.clip = clip
        self.ratio, self.max_words, self.fillers, self.out_dim = ratio, max_words, fillers, out_dim
        self.image_selection = TokenSelection(clip.dim, out_dim)
        self.text_selection = TokenSelection(clip.dim, out_dim, fillers=fillers)

    @property
    def visual(self) -> Any:
        """CLIP's image tower, which knows the preprocessing."""
        return self.clip.visual

    def settings(self) -> dict[str, Any]:
        """What a checkpoint stores besides the weights."""
        own = {"out_dim": self.out_dim, "ratio": self.ratio, "max_words": self.max_words, "fillers": self.fillers}
        return self.clip.settings() | {"selection": own}

    def image_branches(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, H, W] -> global features [B, D], embedding of selected patches [B, E]."""
        seen = self.clip.image_tokens(pixels, attention=True)
        assert seen.attention is not None
        return seen.global_, self.image_selection(seen.tokens, image_places(seen.attention, self.ratio))

    def text_branches(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids [B, L] -> global features [B, D], embedding of selected words [B, E]."""
        if self.fillers and self.training:
            ids = F.pad(ids, (0, self.clip.context_length - ids.shape[1]))
        read = self.clip.text_tokens(ids, attention=True)
        assert read.attention is not None
        places, real = text_places(read.attention, ids, self.words)
        return read.global_, self.text_selection(read.tokens, places, real)

    @property
    def words(self) -> int:
        """Number of tokens chosen from a long text. It follows from the context length, not from the batch's width."""
        share = max(1, int((self.clip.context_length - 2) * self.ratio))
        return share if self.max_words is None else min(share, self.max_words)

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Images [B, 3, H, W] -> [B, D + E] whose inner products with texts are the mean of both cosines."""
        return _joined(*self.image_branches(pixels))

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Ids [B, L] -> [B, D + E]."""
        return _joined(*self.text_branches(trimmed(ids)))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks' activations in the backward pass instead of keeping them."""
        self.clip.set_grad_checkpointing(enable)


def build_two_branches(clip: ClipTokens, settings: Mapping[str, Any]) -> TwoBranches:
    """The model that `TwoBranches.settings` describes, on a CLIP, with random token selection."""
    return TwoBranches(clip, **settings["selection"])


def image_places(attention: Tensor, ratio: float) -> Tensor:
    """The patches [B, k] that the class token attends to most, of [B, 1 + patches]; never the class token."""
    k = max(1, int((attention.shape[1] - 1) * ratio))
    return attention[:, 1:].topk(k, dim=1).indices + 1


def text_places(attention: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The words that the end token attends to most; if there are fewer than k, padding, then start and end tokens.

    Args:
        attention: [B, L], the end token's.
        ids: [B, L].
        k: words to take, at most L.

    Returns:
        [B, k] positions, strongest first, and [B, k] whether a word is there.
    """
    place = torch.arange(ids.shape[1], device=ids.device)
    end = ids.argmax(dim=1, keepdim=True)
    word = (place > 0) & (place < end)
    padding = place > end
    score = attention.masked_fill(padding, 0).masked_fill(~word & ~padding, -1)
    places = score.topk(min(k, ids.shape[1]), dim=1).indices
    return places, word.gather(1, places)


def _joined(global_: Tensor, selected: Tensor) -> Tensor:
    halves = torch.cat([F.normalize(global_.float(), dim=1), F.normalize(selected.float(), dim=1)], dim=1)
    return halves * math.sqrt(0.5)
