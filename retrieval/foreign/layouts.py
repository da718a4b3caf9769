"""Which layout a checkpoint of others has, and the model in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from ctgi.errors import CtgiError
from ctgi.retrieval.foreign import hugging_face_clip, irra, openai, rde, tbps_clip
from ctgi.retrieval.foreign.clip_description import described
from ctgi.retrieval.foreign.parts import Facts, Parts, State
from ctgi.text import plain

LAYOUTS: tuple[ModuleType, ...] = (rde, irra, tbps_clip, hugging_face_clip, openai)
"""Each has `recognize(state)` and `read(state, facts)`; the first that recognizes a checkpoint reads it."""
_WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
_PREFIXES = ("module.", "_orig_mod.")
_SHOWN = 6


@dataclass(frozen=True)
class Foreign:
    """A checkpoint of others, as `build_encoder` and `load_state_dict` take it."""

    kind: str
    """irra: a CLIP; rde: a CLIP with token selection."""
    described: dict[str, Any]
    state: dict[str, Tensor]
    layout: str
    """Whose layout it is, in words."""
    assumed: tuple[str, ...]
    """What nothing says, and what is taken instead."""
    left_out: tuple[str, ...]
    """Modules that make no vectors: heads of losses."""


class UntoldActivationError(CtgiError):
    """Nothing in a checkpoint tells its activation."""


def parts_of(content: Any, facts: Facts) -> Parts:
    """The parts of what a checkpoint file holds.

    Raises:
        CtgiError: no weights, or in no layout that is known.
    """
    state = _bare(content)
    if (layout := _layout(state)) is not None:
        parts: Parts = layout.read(state, facts)
        return parts
    raise CtgiError(
        f"its weights ({shown(list(state))}) have no known layout: expected those of IRRA, RDE, ICL, TBPS-CLIP, "
        "Long-CLIP, OpenAI, Hugging Face or ctgi train; bind other models as in docs/your-model.md"
    )


def is_foreign(content: Any) -> bool:
    """Whether a checkpoint file holds weights in one of the layouts."""
    return isinstance(content, dict) and _layout(_bare(content)) is not None


def foreign(file: Path, parts: Parts, quick_gelu: bool | None, image_size: tuple[int, int] | None) -> Foreign:
    """The model that the parts make.

    Args:
        file: where they are from, for messages.
        parts: what `parts_of` found.
        quick_gelu: the activation, where the parts do not tell it.
        image_size: (height, width), where they do not tell it.

    Raises:
        UntoldActivationError: neither the parts nor the caller tell it.
        CtgiError: the image size is not known, or the sizes of the weights make no CLIP.
    """
    gelu = quick_gelu if parts.quick_gelu is None else parts.quick_gelu
    if gelu is None:
        raise UntoldActivationError(
            f"{plain(str(file))}: {parts.layout}; nothing in it says which activation it was trained with. "
            "Run ctgi import on it with --activation quickgelu if it descends from OpenAI's weights, else with "
            "--activation gelu"
        )
    model, assumed = described(parts, gelu, image_size)
    taken, unused = (*parts.assumed, *assumed), tuple(modules_of(parts.left_out))
    prefix = "clip.model." if parts.selection else "model."
    state = {f"{prefix}{name}": value.float() for name, value in parts.clip.items()}
    if not parts.selection:
        return Foreign("irra", model, state, parts.layout, taken, unused)
    chosen = {name: value.float() if value.is_floating_point() else value for name, value in parts.selection.items()}
    width = len(parts.selection["image_selection.skip.bias"])
    model["selection"] = {"out_dim": width, "ratio": parts.ratio, "max_words": None, "fillers": True}
    return Foreign("rde", model, state | chosen, parts.layout, taken, unused)


def load_strictly(file: Path, load: Callable[..., Any], state: Mapping[str, Tensor]) -> None:
    """Load weights into a model by its `load_state_dict`, all of them.

    Raises:
        CtgiError: some are missing, left over, or of other shapes; it lists them.
    """
    try:
        missing, extra = load(dict(state), strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CtgiError(f"{plain(str(file))}: weights of other shapes: {plain('; '.join(lines[:3]))[:400]}") from None
    missing = [name for name in missing if not name.endswith(("logit_scale", "num_batches_tracked"))]
    if missing:
        raise CtgiError(f"{plain(str(file))}: weights that vectors depend on are missing: {shown(missing)}")
    if extra:
        raise CtgiError(
            f"{plain(str(file))}: its towers hold weights that CLIP has no place for: {shown(extra)}; without them the "
            "vectors would be others. Bind its own code, as in docs/your-model.md"
        )


def shown(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return plain(", ".join(names[:_SHOWN]))[:400] + more if names else "none"


def modules_of(names: tuple[str, ...]) -> list[str]:
    """The modules that these weights belong to, in their order: mlm_head, classifier."""
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _layout(state: State) -> ModuleType | None:
    return next((layout for layout in LAYOUTS if layout.recognize(state)), None)


def _bare(content: Any) -> State:
    """The weights without the containers and prefixes of training loops."""
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise CtgiError(f"it holds no weights by name, but {type(content).__name__}: save model.state_dict()")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
