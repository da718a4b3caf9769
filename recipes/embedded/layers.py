"""The layers of both parts in few passes over memory: the same result as transformers' own, in less time on a GPU.

What counts there is not the products but how often the states are read and written: norms stay in the working type,
queries and keys are turned together, projections of one input are one product, and the gate of the vision part,
x * sigmoid(1.702 x), is a plain SiLU of weights that are 1.702 times as large.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.embedded.qwen2vl import EPS

GATE = 1.702
HEAD = 64
"""Width of a head in both parts."""
Weights = list[Tensor]
Angles = tuple[Tensor, Tensor]
"""Cosines and signed sines, [..., 1, head width]: see `angles_of`."""


def working_type(device: torch.device, weights: Tensor) -> torch.dtype:
    """What products are computed in: autocast's type, or that of the weights."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else weights.dtype


def angles_of(cos: Tensor, sin: Tensor, kind: torch.dtype) -> Angles:
    """Ready for `turned`: the sines of the first half negated, so that turning is one roll and two products."""
    first, second = sin.chunk(2, -1)
    return cos.to(kind), torch.cat([-first, second], -1).to(kind)


def turned(x: Tensor, angles: Angles) -> Tensor:
    """[..., heads, head width], turned by its place."""
    cos, sin = angles
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def weights_of_sight(block: Any, kind: torch.dtype) -> Weights:
    """Those of a block of the vision part, as `before_sight` (4) and `after_sight` (8) take them."""
    attention, mlp = block.attn, block.mlp
    both = [block.norm1.weight, block.norm1.bias, attention.qkv.weight, attention.qkv.bias]
    both += [attention.proj.weight, attention.proj.bias, block.norm2.weight, block.norm2.bias]
    both += [mlp.fc1.weight * GATE, mlp.fc1.bias * GATE, mlp.fc2.weight / GATE, mlp.fc2.bias]
    return [weight.to(kind) for weight in both]


def before_sight(x: Tensor, angles: Angles, weights: Weights) -> Tensor:
    """[B, P, D] -> queries, keys and values side by side [B, P, 3 D]."""
    gain, bias, qkv, qkv_bias = weights
    width = x.shape[-1]
    rows = F.linear(F.layer_norm(x, (width,), gain, bias, EPS), qkv, qkv_bias)
    seeking, values = torch.split(rows, [2 * width, width], -1)
    seeking = turned(seeking.view(*x.shape[:2], -1, HEAD), angles)
    return torch.cat([seeking.flatten(2), values], -1)


def after_sight(x: Tensor, mixed: Tensor, weights: Weights) -> Tensor:
    """What attention mixed [B, P, D], and the feed-forward part, added to x."""
    proj, proj_bias, gain, bias, fc1, fc1_bias, fc2, fc2_bias = weights
    x = x + F.linear(mixed, proj, proj_bias)
    normed = F.layer_norm(x, (x.shape[-1],), gain, bias, EPS)
    return x + F.linear(F.silu(F.linear(normed, fc1, fc1_bias)), fc2, fc2_bias)


def weights_of_reading(layer: Any, kind: torch.dtype) -> Weights:
    """Those of a layer of the text part, as `before_reading` (3) and `after_reading` (4) take them."""
    attention, mlp = layer.self_attn, layer.mlp
    seeking = [attention.q_proj, attention.k_proj, attention.v_proj]
    both = [layer.input_layernorm.weight, torch.cat([part.weight for part in seeking])]
    both += [torch.cat([part.bias for part in seeking]), attention.o_proj.weight]
    both += [layer.post_attention_layernorm.weight, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])]
    both += [mlp.down_proj.weight]
    return [weight.to(kind) for weight in both]


def before_reading(x: Tensor, angles: Angles, weights: Weights) -> Tensor:
    """[B, L, D] -> queries, keys and values side by side [B, L, 3 D], the keys repeated for their queries."""
    gain, qkv, qkv_bias = weights
    asking = x.shape[-1] // HEAD
    asked = (qkv.shape[0] // HEAD - asking) // 2
    rows = F.linear(F.rms_norm(x, (x.shape[-1],), gain, EPS), qkv, qkv_bias)
    rows = rows.view(*x.shape[:2], -1, HEAD)
    seeking, values = torch.split(rows, [asking + asked, asked], 2)
    queries, keys = torch.split(turned(seeking, angles), [asking, asked], 2)
    keys, values = (part.repeat_interleave(asking // asked, dim=2) for part in (keys, values))
    return torch.cat([queries, keys, values], 2).flatten(2)


def after_reading(x: Tensor, mixed: Tensor, weights: Weights) -> Tensor:
    """What attention mixed [B, L, D], and the feed-forward part, added to x."""
    out, gain, gate_up, down = weights
    x = x + F.linear(mixed, out)
    gate, up = F.linear(F.rms_norm(x, (x.shape[-1],), gain, EPS), gate_up).chunk(2, -1)
    return x + F.linear(F.silu(gate) * up, down)
