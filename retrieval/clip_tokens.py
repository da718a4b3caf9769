"""A CLIP whose towers also return their projected tokens, and the global token's attention to each."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctgi.bindings import Binding
from ctgi.errors import CtgiError
from ctgi.retrieval.open_clip_encoder import create_model, model_config
from ctgi.settings_tables import RetrieverSettings


@dataclass(frozen=True)
class Tokens:
    """A tower's output for a batch, in the space that images and texts share; not normalized."""

    global_: Tensor
    """[B, D]: the class token of an image, the end token of a text."""
    tokens: Tensor
    """[B, N, D]: all tokens."""
    attention: Tensor | None
    """[B, N]: attention of the global token in the last block, mean over heads, no gradient; None if not requested."""


class ClipTokens(nn.Module):
    """An open_clip model of a vision transformer and a causal text transformer, seen token by token."""

    def __init__(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        """Wrap a model.

        Args:
            model: an `open_clip.CLIP` or `CustomTextCLIP` with `visual.preprocess_cfg`.
            config: the arguments that built it, for checkpoints.

        Raises:
            CtgiError: a tower is of another kind.
        """
        super().__init__()
        _check_towers(model)
        self.model: Any = model
        self.config = _resolved(config, model)
        for name in ("logit_scale", "logit_bias"):  # the losses here have fixed temperatures
            if getattr(model, name) is not None:
                getattr(model, name).requires_grad_(False)

    @property
    def visual(self) -> Any:
        """The image tower."""
        return self.model.visual

    @property
    def text(self) -> Any:
        """The module with the parts of the text tower: the model itself, or its `text`."""
        return getattr(self.model, "text", self.model)

    @property
    def dim(self) -> int:
        """D, the width of the shared space."""
        return int(self.visual.output_dim)

    @property
    def context_length(self) -> int:
        """Number of text positions."""
        return len(self.text.positional_embedding)

    @property
    def mask_id(self) -> int:
        """Id of the mask token: the one before the start and end tokens, which close the vocabulary."""
        return int(self.text.token_embedding.num_embeddings) - 3

    def settings(self) -> dict[str, Any]:
        """What a checkpoint stores besides the weights; the input of `build_clip`."""
        cfg = self.visual.preprocess_cfg
        return {
            "name": deepcopy(self.config),
            "image_size": list(self.visual.image_size),
            "context_length": self.context_length,
            "mean": [float(value) for value in cfg["mean"]],
            "std": [float(value) for value in cfg["std"]],
            "interpolation": cfg["interpolation"],
        }

    def image_tokens(self, pixels: Tensor, attention: bool = False) -> Tokens:
        """Images [B, 3, H, W] to tokens: the class token, then the patches row by row."""
        visual = self.visual
        last_input, x = _through(visual.transformer, visual._embeds(pixels), None)
        tokens = visual.ln_post(x) @ visual.proj
        asked = None
        if attention:
            first = torch.zeros(x.shape[0], 1, dtype=torch.long, device=x.device)
            asked = mean_attention(visual.transformer.resblocks[-1], last_input, first)[:, 0]
        return Tokens(tokens[:, 0], tokens, asked)

    def text_tokens(self, ids: Tensor, attention: bool = False) -> Tokens:
        """Ids [B, L] of `CaptionTokenizer` to tokens; L may be shorter than the context: the tower is causal."""
        text, length = self.text, ids.shape[1]
        seen = torch.arange(length, device=ids.device)
        mask = text.attn_mask[seen][:, seen]  # a slice is contiguous at full length only, and a graph is for all
        x = text.token_embedding(ids) + text.positional_embedding[:length]
        last_input, x = _through(text.transformer, x, mask)
        tokens = _projected(text.ln_final(x), text.text_projection)
        end = ids.argmax(dim=1)
        asked = None
        if attention:
            asked = mean_attention(text.transformer.resblocks[-1], last_input, end[:, None], mask)[:, 0]
        return Tokens(tokens[torch.arange(ids.shape[0], device=ids.device), end], tokens, asked)

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Images [B, 3, H, W] -> [B, D]."""
        features = self.image_tokens(pixels).global_
        return F.normalize(features, dim=1) if normalize else features

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Ids [B, L] -> [B, D]."""
        features = self.text_tokens(trimmed(ids)).global_
        return F.normalize(features, dim=1) if normalize else features

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks' activations in the backward pass instead of keeping them."""
        self.model.set_grad_checkpointing(enable)


def load_clip(spec: str, settings: RetrieverSettings) -> ClipTokens:
    """The model of a binding like `open_clip:ViT-B-16,openai`, at the settings' image size and context length.

    Raises:
        CtgiError: as `ctgi.retrieval.encoder.load_encoder`, or the towers return no tokens.
    """
    provider, name, _ = Binding.parse(spec)
    if provider != "open_clip" or not name:
        raise CtgiError(f"model.clip={spec!r}: expected open_clip:MODEL,PRETRAINED, like open_clip:ViT-B-16,openai")
    model = create_model(name, settings)
    clip = ClipTokens(model, model_config(name, model))
    clip.visual.preprocess_cfg |= {"interpolation": "bilinear"}  # as IRRA and RDE resize
    return clip


def build_clip(settings: Mapping[str, Any]) -> ClipTokens:
    """The model that `ClipTokens.settings` describes, with random weights.

    Raises:
        CtgiError: `settings` does not describe an open_clip model.
    """
    try:
        config = deepcopy(dict(settings["name"]))
        kind = open_clip.model.CustomTextCLIP if config.pop("custom_text", False) else open_clip.model.CLIP
        model = kind(**config)
        preprocess = {"size": tuple(settings["image_size"]), "mean": settings["mean"], "std": settings["std"]}
        preprocess["interpolation"] = settings.get("interpolation", "bilinear")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CtgiError(f"the model's description is not an open_clip configuration: {str(error)[:200]}") from None
    cfg = open_clip.transform.PreprocessCfg(**preprocess)
    open_clip.model.set_model_preprocess_cfg(model, vars(cfg))
    return ClipTokens(model, settings["name"])


def trimmed(ids: Tensor) -> Tensor:
    """Ids [B, L] without the columns that are padding in every row; all of them in a graph, whose sizes are fixed."""
    if torch.compiler.is_compiling():
        return ids
    return ids[:, : int(ids.argmax(dim=1).max()) + 1]


def mean_attention(block: Any, x: Tensor, queries: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of chosen tokens to all tokens in a transformer block, mean over heads, without gradient.

    The block keeps its fused attention, which returns no weights; only these rows are computed again.

    Args:
        block: an open_clip residual block.
        x: [B, N, W], the block's input.
        queries: [B, M], positions of the chosen tokens.
        mask: [N, N], added to the scores.

    Returns:
        [B, M, N] float32, rows summing to 1.
    """
    attention = block.attn
    heads, width = attention.num_heads, attention.embed_dim
    with torch.no_grad():
        y = block.ln_1(x)
        asking = y.gather(1, queries[:, :, None].expand(-1, -1, width))
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)  # of query, key, value
        query, key = (
            F.linear(tokens, weight, bias)
            .view(*tokens.shape[:2], heads, -1)
            .transpose(1, 2)  # [B, heads, _, W / heads]
            for tokens, weight, bias in zip((asking, y), weights, biases, strict=False)
        )
        scores = (query @ key.transpose(2, 3)).float() * (width // heads) ** -0.5  # [B, heads, M, N]
        if mask is not None:
            scores = scores + mask[queries][:, None]
        rows: Tensor = scores.softmax(dim=3).mean(dim=1)
    return rows


def _through(transformer: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The input of the last block, and the output."""
    depth = len(transformer.resblocks)
    out, inner = transformer.forward_intermediates(x, attn_mask=mask, indices=min(2, depth))
    return [x, *inner][-2], out


def _projected(x: Tensor, projection: Tensor | nn.Module | None) -> Tensor:
    if projection is None:
        return x
    projected: Tensor = projection(x) if isinstance(projection, nn.Module) else x @ projection
    return projected


def _resolved(config: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The configuration with the sizes that the model really has."""
    text = getattr(model, "text", model)
    resolved = deepcopy(dict(config))
    resolved["vision_cfg"] = dict(resolved["vision_cfg"]) | {"image_size": list(model.visual.image_size)}
    resolved["text_cfg"] = dict(resolved["text_cfg"]) | {"context_length": len(text.positional_embedding)}
    return resolved


def _check_towers(model: Any) -> None:
    visual, text = model.visual, getattr(model, "text", model)
    if not (
        isinstance(visual, open_clip.transformer.VisionTransformer)
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and isinstance(visual.transformer.resblocks[-1].attn, nn.MultiheadAttention)
    ):
        raise CtgiError(
            f"the image tower ({type(visual).__name__}) returns no class token and patches: expected a plain vision "
            "transformer, like open_clip:ViT-B-16,openai"
        )
    pooling = getattr(model, "text_pool_type", None) or getattr(text, "pool_type", None)
    if pooling != "argmax" or getattr(text, "attn_mask", None) is None:
        raise CtgiError(
            f"the text tower ({type(text).__name__}, pooling {pooling!r}) does not end in an end token: expected "
            "CLIP's causal transformer, like open_clip:ViT-B-16,openai"
        )
