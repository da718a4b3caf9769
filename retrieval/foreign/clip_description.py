"""The sizes of a CLIP from the shapes of its weights, as an open_clip configuration."""

import math
import re
from typing import Any

from ctgi.errors import CtgiError
from ctgi.retrieval.foreign.parts import Parts, State

HEAD = 64
"""Channels of an attention head in OpenAI's models and all that start from them."""
_BLOCK = re.compile(r"^(visual\.)?transformer\.resblocks\.(\d+)\.")


def described(
    parts: Parts, quick_gelu: bool, image_size: tuple[int, int] | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The description that `build_clip` takes, and what had to be assumed.

    Raises:
        CtgiError: the weights lack what tells their sizes, or the patches make no image of a usual form.
    """
    state = parts.clip
    try:
        width, _, _, patch = state["visual.conv1.weight"].shape
        patches = len(state["visual.positional_embedding"]) - 1
        vocabulary, text_width = state["token_embedding.weight"].shape
        positions, dim = len(state["positional_embedding"]), state["text_projection"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise CtgiError(f"the weights of a CLIP with a vision transformer are missing: {error}") from None
    size, assumed = _image_size(patches, patch, parts.image_size or image_size)
    image_heads, text_heads = parts.heads or (_heads(width), _heads(text_width))
    vision = {"image_size": list(size), "patch_size": patch, "width": width, "head_width": width // image_heads}
    text = {"context_length": positions, "vocab_size": vocabulary, "width": text_width, "heads": text_heads}
    config = {
        "embed_dim": dim,
        "quick_gelu": quick_gelu,
        "vision_cfg": vision | {"layers": _layers(state, "visual.")},
        "text_cfg": text | {"layers": _layers(state, None)},
    }
    look = {name: list(getattr(parts.look, name)) for name in ("mean", "std")}
    return {
        "name": config,
        "image_size": list(size),
        "context_length": positions,
        "interpolation": parts.look.interpolation,
        **look,
    }, assumed


def _image_size(patches: int, patch: int, said: tuple[int, int] | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    if said:
        if said[0] // patch * (said[1] // patch) == patches:
            return said, ()
        raise CtgiError(f"its {patches} positions are not those of images of {said[0]} x {said[1]} px")
    for ratio in (1, 3, 2):  # squares, and the forms of person crops; no number of patches fits two of them
        columns = math.isqrt(patches // ratio)
        if columns * columns * ratio == patches:
            size = columns * ratio * patch, columns * patch
            return size, (f"images of {size[0]} x {size[1]} px",) if ratio > 1 else ()
    raise CtgiError(f"{patches} positions tell no image size: set image_size = [HEIGHT, WIDTH] under [retriever]")


def _heads(width: int) -> int:
    if width % HEAD:
        raise CtgiError(f"a tower of {width} channels: expected a multiple of {HEAD}, as in OpenAI's models")
    return width // HEAD


def _layers(state: State, tower: str | None) -> int:
    found = (_BLOCK.match(name) for name in state)
    return 1 + max((int(match[2]) for match in found if match and match[1] == tower), default=-1)
