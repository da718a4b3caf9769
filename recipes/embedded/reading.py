"""The text part over packed dialogues: the same result as transformers' own with a mask, in less time.

The mask of a packed sequence is mostly empty: here each branch attends to the shared part and to itself alone.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb

from recipes.embedded.packing import Packed


def read(text: Any, embedded: Tensor, packed: Packed) -> list[Tensor]:
    """[B, L, D] -> the input of every layer and, last, the normed output of all, [B, L, D] each."""
    angles = text.rotary_emb(embedded, packed.positions)
    states = [embedded]
    for layer in text.layers:
        x = states[-1]
        x = x + _attend(layer.self_attn, layer.input_layernorm(x), angles, packed)
        states.append(x + layer.mlp(layer.post_attention_layernorm(x)))
    return [*states[:-1], text.norm(states[-1])]


def _attend(attention: Any, x: Tensor, angles: tuple[Tensor, Tensor], packed: Packed) -> Tensor:
    batch, length, width = x.shape
    flat = _project(attention, x, angles)
    shared = flat.view(batch, length, -1)[:, : packed.shared]
    mixed = flat.new_zeros(batch * length, width)
    for group in packed.groups:
        own = F.embedding(group.places, flat)  # as indexing does, with a faster way back
        out = _causal(own, torch.cat([shared.index_select(0, group.rows), own], 1), attention.head_dim)
        mixed = mixed.index_copy(0, group.put, out.flatten(0, 1).index_select(0, group.taken))
    start = _causal(shared, shared, attention.head_dim)
    whole = torch.cat([start, mixed.view(batch, length, width)[:, packed.shared :]], 1)
    return attention.o_proj(whole)  # type: ignore[no-any-return]


def _project(attention: Any, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """[B, L, D] -> queries, keys and values side by side, [B * L, 3 D]."""
    q, k, v = (
        project(x).view(*x.shape[:2], -1, attention.head_dim)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    q, k = apply_rotary_pos_emb(q, k, *(part.to(q.dtype) for part in angles), unsqueeze_dim=2)
    k, v = (part.repeat_interleave(attention.num_key_value_groups, dim=2) for part in (k, v))
    return torch.cat([q, k, v], 2).flatten(2).flatten(0, 1)


def _causal(asking: Tensor, asked: Tensor, head_width: int) -> Tensor:
    """[N, Q, 3 D] over [N, K, 3 D], of which the last Q are the asking tokens themselves -> [N, Q, D]."""

    def by_head(part: Tensor) -> Tensor:
        return part.view(*part.shape[:2], -1, head_width).transpose(1, 2)

    q = by_head(asking.chunk(3, -1)[0])
    k, v = (by_head(part) for part in asked.chunk(3, -1)[1:])
    seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(k.shape[2] - q.shape[2])
    if q.is_cuda:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    else:  # on a processor the fused form is slower, the way back above all
        scores = (q @ k.transpose(-1, -2)).masked_fill(~seen, -1e4) * head_width**-0.5
        mixed = scores.softmax(-1, dtype=v.dtype) @ v
    return mixed.transpose(1, 2).flatten(2)
