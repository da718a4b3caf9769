"""Each kind of run knows its own traces."""

from dataclasses import replace

import pytest

from ctgi.errors import CtgiError
from ctgi.runs.replay.kinds import kind_of
from ctgi.tools.traces.format import Header

HEADER = Header(
    run="20261126-002937-532380", command="caption", graph="mtg", started="", root="", bindings={},
    settings={}, versions={}, commit=None, digests={}, input={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "graph", "kind", "node"),
    [
        ("caption", "mtg", "Captions", "relevance"),
        ("search", "mti", "Searches", "verify"),
        ("evaluate", "mti", "Evaluations", "verify"),
        ("search", "plain", "PlainSearches", None),
    ],
)
def test_a_header_is_read_by_its_kind(command: str, graph: str, kind: str, node: str | None) -> None:
    found = kind_of(replace(HEADER, command=command, graph=graph))
    assert type(found).__name__ == kind
    assert node in found.nodes() if node else found.nodes() == []


@pytest.mark.parametrize("graph", ["mcp", "audit", "witness"])
def test_a_run_without_a_kind_says_what_to_do_instead(graph: str) -> None:
    with pytest.raises(CtgiError, match="it cannot be replayed; ctgi trace show"):
        kind_of(replace(HEADER, command="evaluate", graph=graph))


def test_a_graph_of_somebody_else_is_named() -> None:
    with pytest.raises(CtgiError, match="of the graph 'mine', which this ctgi lacks"):
        kind_of(replace(HEADER, command="mine", graph="mine"))
