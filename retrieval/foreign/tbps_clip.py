"""TBPS-CLIP's checkpoints: the text tower under `encode_text.`, square images, ImageNet's normalization."""

from ctgi.retrieval.foreign.parts import Facts, Look, Parts, State, clip_of

_TEXT = "encode_text."
_LOOK = Look((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic")


def recognize(state: State) -> bool:
    """Whether these are TBPS-CLIP's names."""
    return "encode_text.token_embedding.weight" in state and "visual.conv1.weight" in state


def read(state: State, facts: Facts) -> Parts:
    """The CLIP; its code uses QuickGELU."""
    clip, heads = clip_of({name.removeprefix(_TEXT): value for name, value in state.items()})
    return Parts("TBPS-CLIP", clip, quick_gelu=True, look=_LOOK, left_out=tuple(heads))
