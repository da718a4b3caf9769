"""CLIP as `transformers` saves it: separate query, key and value, and other names."""

from typing import Any

import torch
from torch import Tensor

from ctgi.errors import CtgiError
from ctgi.retrieval.foreign.parts import Facts, Look, Parts, State

_TABLES = {
    "logit_scale": "logit_scale",
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
}
_NORMS = {
    "vision_model.pre_layrnorm.": "visual.ln_pre.",  # spelled so
    "vision_model.post_layernorm.": "visual.ln_post.",
    "text_model.final_layer_norm.": "ln_final.",
}
_TOWERS = {"vision_model.encoder.layers.": "visual.transformer.", "text_model.encoder.layers.": "transformer."}
_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
PREPROCESSOR = "preprocessor_config.json"
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}


def recognize(state: State) -> bool:
    """Whether these are the names of `CLIPModel`."""
    return "vision_model.embeddings.class_embedding" in state and "text_projection.weight" in state


def read(state: State, facts: Facts) -> Parts:
    """The CLIP in OpenAI's names.

    Raises:
        CtgiError: the configuration is missing, or names another activation.
    """
    vision, text = _tables(facts)
    acts = {table.get("hidden_act", "quick_gelu") for table in (vision, text)}
    if len(acts) != 1 or not acts <= _ACTIVATIONS.keys():
        raise CtgiError(f"config.json names the activation {' and '.join(map(str, sorted(acts)))}: not supported")
    clip: dict[str, Tensor] = {}
    left_out = [name for name, value in state.items() if not _move(name, value, clip)]
    _join_attention(state, clip)
    side = vision.get("image_size", 224)
    return Parts(
        layout="CLIP of Hugging Face",
        clip=clip,
        quick_gelu=_ACTIVATIONS[acts.pop()],
        look=_look(facts.get(PREPROCESSOR, {})),
        image_size=(side, side) if isinstance(side, int) else (side[0], side[1]),
        heads=(vision.get("num_attention_heads", 12), text.get("num_attention_heads", 8)),
        left_out=tuple(name for name in left_out if not name.endswith("position_ids")),
    )


def _look(preprocessor: dict[str, Any]) -> Look:
    usual = Look()
    mean, std = preprocessor.get("image_mean", usual.mean), preprocessor.get("image_std", usual.std)
    return Look((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), "bicubic")


def _tables(facts: Facts) -> tuple[dict[str, Any], dict[str, Any]]:
    vision, text = facts.get("vision_config"), facts.get("text_config")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise CtgiError("a CLIP of Hugging Face without its config.json: name the folder that holds both")
    return vision, text


def _move(name: str, value: Tensor, clip: dict[str, Tensor]) -> bool:
    """Put one weight in its place; False if it has none."""
    if ours := _TABLES.get(name):
        clip[ours] = value.T if name.endswith("projection.weight") else value
        return True
    for theirs, ours in _NORMS.items():
        if name.startswith(theirs):
            clip[ours + name.removeprefix(theirs)] = value
            return True
    for theirs, ours in _TOWERS.items():
        if name.startswith(theirs):
            number, _, inner = name.removeprefix(theirs).partition(".")
            part, _, kind = inner.rpartition(".")
            if part in _BLOCK:
                clip[f"{ours}resblocks.{number}.{_BLOCK[part]}.{kind}"] = value
                return True
            return part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    return False


def _join_attention(state: State, clip: dict[str, Tensor]) -> None:
    """One matrix for query, key and value, as OpenAI has it; a block that lacks one is found missing later."""
    for theirs, ours in _TOWERS.items():
        for name in [name for name in state if name.startswith(theirs) and ".self_attn.q_proj." in name]:
            number = name.removeprefix(theirs).partition(".")[0]
            kind = name.rpartition(".")[2]
            rows = [state.get(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
            present = [row for row in rows if row is not None]
            if len(present) == len(rows):
                clip[f"{ours}resblocks.{number}.attn.in_proj_{kind}"] = torch.cat(present)
