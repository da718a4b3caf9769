"""IRRA's best.pth: a CLIP under `base_model.`, with the heads of its losses beside it."""

from torch import tensor

from ctgi.retrieval.foreign.official_config import image_size_of, refuse_stride
from ctgi.retrieval.foreign.parts import Facts, Parts, State, clip_of, under

TEMPERATURE = 0.02


def recognize(state: State) -> bool:
    """Whether these are IRRA's names, or those of its followers without token selection."""
    return "base_model.visual.conv1.weight" in state


def read(state: State, facts: Facts) -> Parts:
    """The CLIP; IRRA's code gives it QuickGELU and a constant temperature."""
    refuse_stride(facts, state["base_model.visual.conv1.weight"].shape[-1])
    clip, odd = clip_of(under(state, "base_model."))
    scale = tensor(1 / float(facts.get("temperature", TEMPERATURE))).log()
    heads = [name for name in state if not name.startswith("base_model.")]
    return Parts(
        layout="IRRA",
        clip={"logit_scale": scale, **clip},
        quick_gelu=True,
        image_size=image_size_of(facts),
        left_out=(*heads, *(f"base_model.{name}" for name in odd)),
    )
