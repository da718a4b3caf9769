"""Our models in the layouts of IRRA, RDE and open_clip."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.foreign import irra, rde
from ctgi.retrieval.foreign.clip_description import HEAD
from ctgi.retrieval.foreign.parts import Look
from ctgi.retrieval.token_selection import TokenSelection, TwoBranches

State = dict[str, Tensor]
Encoder = ClipTokens | TwoBranches


@dataclass(frozen=True)
class Converted:
    """The content of the files to write."""

    weights: State
    options: Mapping[str, Any]
    """What stands beside the weights: the run's options of the official code, or open_clip's configuration."""


def to_irra(encoder: Encoder, heads: Mapping[str, Tensor]) -> Converted:
    """The names of IRRA's best.pth.

    Args:
        encoder: a CLIP.
        heads: other weights of training, in our names; they may be left out.

    Raises:
        CtgiError: IRRA's code would make other vectors of these weights.
    """
    clip = _only_clip(encoder, "IRRA")
    theirs = {name.removeprefix("interaction."): value for name, value in heads.items()}
    return Converted(_base(clip) | theirs, _options(clip) | {"loss_names": _losses(theirs)})


def to_rde(encoder: Encoder, heads: Mapping[str, Tensor]) -> Converted:
    """The names of RDE's best.pth, with the layers that its code has and never uses.

    Raises:
        CtgiError: RDE's code would make other vectors of these weights.
    """
    if not isinstance(encoder, TwoBranches):
        raise CtgiError("this model has no token selection: expected one of ctgi train rde")
    chosen = int((encoder.clip.context_length - 2) * encoder.ratio)
    if encoder.words != chosen:
        raise CtgiError(
            f"this model selects {encoder.words} words, but RDE's code {chosen}: train with --set rde.max_words=null"
        )
    state = _base(encoder.clip)
    for theirs, ours, skip in rde.BRANCHES:
        selection = encoder.get_submodule(ours)
        assert isinstance(selection, TokenSelection)
        state |= {
            f"{theirs}.{layer}.{name}": value
            for layer, own in {**rde.LAYERS, skip: "skip"}.items()
            for name, value in selection.get_submodule(own).state_dict().items()
        }
        state |= {f"{theirs}.{name}": value for name, value in _idle(selection, skip).items()}
    return Converted(state, _options(encoder.clip) | {"loss_names": "TAL", "select_ratio": encoder.ratio})


def to_open_clip(encoder: Encoder, heads: Mapping[str, Tensor]) -> Converted:
    """open_clip's names, and the configuration of a folder that it loads.

    Raises:
        CtgiError: the model has token selection.
    """
    clip = _only_clip(encoder, "open_clip")
    cfg = clip.visual.preprocess_cfg
    look = {name: cfg[name] for name in ("mean", "std", "interpolation")} | {"resize_mode": "squash"}
    return Converted(dict(clip.model.state_dict()), {"model_cfg": clip.config, "preprocess_cfg": look})


def _only_clip(encoder: Encoder, where: str) -> ClipTokens:
    if isinstance(encoder, TwoBranches):
        raise CtgiError(f"this model has token selection, which {where} has not: export it with --to rde")
    return encoder


def _base(clip: ClipTokens) -> State:
    """The CLIP under `base_model.`, without a temperature."""
    if hasattr(clip.model, "text"):
        raise CtgiError("the text tower of this model has other names than CLIP's: export it with --to open_clip")
    if other := _other_than_official(clip):
        raise CtgiError(f"this model {other}: its vectors would be others")
    return {f"base_model.{name}": v for name, v in clip.model.state_dict().items() if name != "logit_scale"}


def _other_than_official(clip: ClipTokens) -> str:
    """What differs from the models of IRRA's and RDE's code, though the weights would fit; empty if nothing does."""
    if not clip.config.get("quick_gelu"):
        return "has GELU, but the code of IRRA and RDE has QuickGELU"
    channels = {int(tower.transformer.resblocks[0].attn.head_dim) for tower in (clip.visual, clip.text)} - {HEAD}
    if channels:
        return f"has heads of {channels.pop()} channels, but the code of IRRA and RDE of {HEAD}"
    cfg, official = clip.visual.preprocess_cfg, Look()
    if Look(tuple(cfg["mean"]), tuple(cfg["std"]), cfg["interpolation"]) != official:
        return "prepares images in another way than the code of IRRA and RDE"
    return ""


def _options(clip: ClipTokens) -> dict[str, Any]:
    """What the official test.py reads: of the model as it is, of the data set as the official code has it."""
    visual = clip.visual
    patch = int(visual.patch_size[0])
    known = _PRETRAINED.get((visual.conv1.out_channels, patch))
    return {
        **({"pretrain_choice": known} if known else {}),
        "img_size": list(visual.image_size),
        "stride_size": patch,
        "text_length": clip.context_length,
        "vocab_size": int(clip.text.token_embedding.num_embeddings),
        "temperature": irra.TEMPERATURE,
        "dataset_name": "CUHK-PEDES",
        "root_dir": "./data",
        "test_batch_size": 512,
        "num_workers": 8,
    }


_PRETRAINED = {(768, 16): "ViT-B/16", (768, 32): "ViT-B/32", (1024, 14): "ViT-L/14"}
"""OpenAI's names of its models, by width and patch."""


def _losses(heads: State) -> str:
    """The losses whose heads are there."""
    of = {"id": "classifier.", "mlm": "mlm_head."}
    return "+".join(["sdm", *(loss for loss, head in of.items() if any(name.startswith(head) for name in heads))])


def _idle(selection: TokenSelection, skip: str) -> State:
    out, dim = selection.skip.weight.shape
    norm = torch.nn.BatchNorm1d(out).state_dict()
    idle = {f"mlp.bns.1.{name}": value for name, value in norm.items()}
    if skip != "linear":
        idle |= {"linear.weight": torch.zeros(out, dim), "linear.bias": torch.zeros(out)}
    return idle
