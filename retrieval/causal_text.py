"""The text tower of an open_clip model without the padding: a short text takes the time of a short text."""

from typing import Any

import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import text_global_pool
from torch import Tensor, nn


def encode_text(model: Any, tokens: Tensor) -> Tensor:
    """Ids [B, L] -> [B, D], L2-normalized.

    A causal tower reads each token after those before it, so what follows the last end token changes nothing and is
    left out. Other towers get all of it.
    """
    if not _is_causal(model):
        features: Tensor = model.encode_text(tokens, normalize=True)
        return features
    tokens = tokens[:, : int(tokens.argmax(dim=1).max()) + 1]  # the end token has the highest id
    length = tokens.shape[1]
    kind = model.transformer.get_cast_dtype()
    x = model.token_embedding(tokens).to(kind) + model.positional_embedding[:length].to(kind)
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = text_global_pool(x, tokens, "argmax")
    projection = model.text_projection
    if projection is not None:
        x = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return F.normalize(x, dim=-1)


def _is_causal(model: Any) -> bool:
    return type(model) is CLIP and model.text_pool_type == "argmax" and model.attn_mask is not None
