"""The kinds of run whose traces can be replayed."""

from ctgi.errors import CtgiError
from ctgi.runs.replay.agents import Agents
from ctgi.runs.replay.captions import Captions
from ctgi.runs.replay.crops import Crops
from ctgi.runs.replay.evaluations import Evaluations
from ctgi.runs.replay.kind import Kind
from ctgi.runs.replay.searches import PlainSearches, Searches
from ctgi.tools.traces.format import Header

KINDS: tuple[Kind, ...] = (Captions(), Crops(), Agents(), Evaluations(), Searches(), PlainSearches())
"""The first that reads a header counts."""

_AGAIN = "which goes on with its own replies when you run the same command again"
_NOT_REPLAYED = {
    "mcp": "ctgi mcp, whose client decided what to call",
    "audit": f"ctgi data audit, {_AGAIN}",
    "witness": f"ctgi evaluate --dialogue witness, {_AGAIN}",
}
"""Graphs whose runs have no kind."""


def kind_of(header: Header) -> Kind:
    """The kind of a recorded run.

    Raises:
        CtgiError: this ctgi has no such runs.
    """
    for kind in KINDS:
        if kind.reads(header):
            return kind
    if header.graph in _NOT_REPLAYED:
        raise CtgiError(
            f"run {header.run} is of {_NOT_REPLAYED[header.graph]}: it cannot be replayed; "
            f"ctgi trace show {header.run} lists its calls"
        )
    raise CtgiError(
        f"run {header.run} is of the graph {header.graph!r}, which this ctgi lacks: use the ctgi that recorded it"
    )
