"""RDE's best.pth, and ICL's: IRRA's layout with token selection for both modalities."""

from dataclasses import replace

from torch import Tensor

from ctgi.errors import CtgiError
from ctgi.retrieval.foreign import irra
from ctgi.retrieval.foreign.parts import Facts, Parts, State
from ctgi.text import plain

BRANCHES = (("visul_emb_layer", "image_selection", "fc"), ("texual_emb_layer", "text_selection", "linear"))
IDLE = ("mlp.bns.1.", "linear.")
"""Layers that RDE's code has and never uses; in the text branch, `linear` is the skip."""
LAYERS = {"mlp.layers.0": "dense", "mlp.bns.0": "norm", "mlp.layers.1": "out"}
RATIO = 0.3


def recognize(state: State) -> bool:
    """Whether there is token selection beside IRRA's names."""
    return irra.recognize(state) and any(name.startswith(BRANCHES[0][0]) for name in state)


def read(state: State, facts: Facts) -> Parts:
    """The CLIP and both selections.

    Raises:
        CtgiError: a selection holds weights that RDE's does not have.
    """
    renamed = {theirs: ours for theirs in state if (ours := _our_name(theirs))}
    found = irra.read(state, facts)
    of_selection = [name for name in found.left_out if name.startswith(tuple(theirs for theirs, _, _ in BRANCHES))]
    odd = [name for name in of_selection if name not in renamed and not name.partition(".")[2].startswith(IDLE)]
    if odd:
        raise CtgiError(
            f"its token selection holds weights that RDE's does not have: {plain(', '.join(odd[:6]))[:400]}; without "
            "them the vectors would be others. Bind its own code, as in docs/your-model.md"
        )
    selection: dict[str, Tensor] = {ours: state[theirs] for theirs, ours in renamed.items()}
    said = "select_ratio" in facts
    return replace(
        found,
        layout="RDE, or ICL, which has the same",
        selection=selection,
        ratio=float(facts.get("select_ratio", RATIO)),
        left_out=tuple(name for name in found.left_out if name not in of_selection),
        assumed=found.assumed if said else (*found.assumed, f"select_ratio {RATIO}, as published"),
    )


def _our_name(name: str) -> str | None:
    for theirs, ours, skip in BRANCHES:
        for layer, own in {**LAYERS, skip: "skip"}.items():
            prefix = f"{theirs}.{layer}."
            if name.startswith(prefix):
                return f"{ours}.{own}.{name.removeprefix(prefix)}"
    return None
