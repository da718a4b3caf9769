"""A search on the terminal: the dialogue in lines, the ranking as a table."""

from typing import TYPE_CHECKING, Any

from ctgi.cli.console import print_json, to_terminal
from ctgi.cli.terminal import markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctgi.records import Found, SearchRecord

_TEXT_WIDTH = 120


def print_result(result: "SearchRecord", as_json: bool) -> None:
    """Print a search, or its JSON."""
    if as_json:
        print_json(result.to_json())
        return
    console = to_terminal(_TEXT_WIDTH)
    for line in _summary(result):
        console.print(line, highlight=False)
    console.print(_table(result))


def print_ranking(ranking: "Sequence[Found]", as_json: bool) -> None:
    """Print the images that a conversation has come to; on stderr where stdout is for JSON."""
    from rich.table import Table

    table = Table("rank", "score", "image", box=None)
    for rank, found in enumerate(ranking, 1):
        table.add_row(str(rank), f"{found.score:.4f}", markup(found.path))
    to_terminal(_TEXT_WIDTH, stderr=as_json).print(table)


def _summary(result: "SearchRecord") -> list[str]:
    lines = [f"query: {markup(result.query)}"]
    for turn in result.dialogue:
        fate = "" if turn.kept else f"  (dropped: {markup(str(turn.reason))})"
        lines.append(f"  {markup(turn.question)} {markup(turn.answer)}{fate}")
    if result.refined_query:
        lines.append(f"refined query: {markup(result.refined_query)}")
    for anchor in result.anchors:
        sure = "" if anchor.probability is None else f", P(yes) {anchor.probability:.2f}"
        kind = "weak anchor" if anchor.weak else "anchor"
        lines.append(f"{kind}: {markup(anchor.path)} (rank {anchor.rank}{sure})")
    if result.overruled:
        first = result.results[0]
        lines.append(
            f"rank 1 is the anchor, rank {first.rank_before} of plain retrieval, whose own best is "
            f"{markup(result.overruled)}"
        )
    if "agent" in result.calls:
        return [*lines, f"agent: {markup(result.answer)}"] if result.answer else lines
    if result.no_match:
        lines.append(f"no confident match: {markup(result.no_match)}; the ranking is that of the query alone")
    return lines


def _table(result: "SearchRecord") -> Any:
    from rich.table import Table

    anchors = {anchor.sha256 for anchor in result.anchors}
    table = Table("rank", "score", "before", "score before", "image", box=None)
    for found in result.results:
        before = "-" if found.rank_before is None else str(found.rank_before)
        mark = " (anchor)" if found.sha256 in anchors else ""
        table.add_row(
            str(found.rank),
            f"{found.score:.4f}",
            before,
            f"{found.score_before:.4f}",
            markup(found.path) + mark,
        )
    return table
