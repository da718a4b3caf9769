"""A graph as JSON, as ASCII and as a PNG: drawn here, laid out by grandalf; nothing is sent to a drawing service."""

import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.reading import Json

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph

_POINTS_PER_LETTER, _BOX_HEIGHT, _PADDING = 8.0, 26.0, 22.0
_ACROSS, _DOWN, _MARGIN = 34.0, 48.0, 24.0
"""Space between boxes and around them, in points."""
_INK, _BOX, _BOX_EDGE, _END = "#5d626d", "#eef1ff", "#3450c8", "#d9dcf7"
_DPI = 144


def drawing(name: str) -> "Graph":
    """The nodes and edges of mtg, mti or agent."""
    if name == "agent":
        from ctgi.graphs.agent import build_agent

        return build_agent().get_graph()
    if name == "mtg":
        from ctgi.graphs.mtg import build_mtg

        return build_mtg().get_graph()
    from ctgi.graphs.mti import build_mti

    return build_mti().get_graph()


def draw_json(graph: "Graph") -> Json:
    """Names of the nodes, and the edges."""
    edges = [{"from": edge.source, "to": edge.target, "conditional": edge.conditional} for edge in graph.edges]
    return {"nodes": list(graph.nodes), "edges": edges}


def draw_ascii(graph: "Graph") -> str:
    """The graph in characters, top to bottom; dotted edges depend on a condition, self-loops are named.

    Raises:
        CtgiError: the `draw` extra is not installed.
    """
    _need("grandalf")
    from langchain_core.runnables.graph_ascii import draw_ascii as draw

    loops = {edge.source for edge in graph.edges if edge.source == edge.target}
    names = {name: _label(name) + (" (repeats)" if name in loops else "") for name in graph.nodes}
    return draw(names, [edge for edge in graph.edges if edge.source != edge.target])


def write_png(graph: "Graph", out: Path) -> None:
    """The graph as a picture; dashed edges depend on a condition.

    Raises:
        CtgiError: the `draw` extra is not installed, or `out` cannot be written.
    """
    _need("grandalf", "matplotlib")
    buffer = io.BytesIO()
    _figure(*_layout(graph), loops=[e.source for e in graph.edges if e.source == e.target]).savefig(buffer, dpi=_DPI)
    write_whole(out, buffer.getvalue())


def _need(*packages: str) -> None:
    for package in packages:
        try:
            import_module(package)
        except ModuleNotFoundError:
            raise CtgiError(
                f"drawing this needs {package}, which is not installed: pip install 'ctgi[draw]', or leave out "
                "--ascii and --png for Mermaid text, which needs nothing"
            ) from None


def _label(name: str) -> str:
    return name.strip("_")


class _Box:
    """What grandalf places: the size of a node, and its center once laid out."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.w = len(_label(name)) * _POINTS_PER_LETTER + _PADDING
        self.h = _BOX_HEIGHT
        self.xy = (0.0, 0.0)


class _Line:
    """What grandalf routes: the bends of an edge."""

    def __init__(self, conditional: bool) -> None:
        self.conditional = conditional
        self.points: list[tuple[float, float]] = []

    def setpath(self, points: list[tuple[float, float]]) -> None:
        self.points = points


def _layout(graph: "Graph") -> tuple[list[_Box], list[_Line]]:
    """Boxes and lines in points, y downwards; self-loops are left out, as layers cannot hold them."""
    from grandalf.graphs import Edge, Vertex
    from grandalf.graphs import Graph as Drawn
    from grandalf.layouts import SugiyamaLayout
    from grandalf.routing import route_with_lines

    vertices = {name: Vertex(name) for name in graph.nodes}
    for name, vertex in vertices.items():
        vertex.view = _Box(name)
    edges = []
    for edge in graph.edges:
        if edge.source != edge.target:
            edges.append(Edge(vertices[edge.source], vertices[edge.target]))
            edges[-1].view = _Line(edge.conditional)
    steps = _steps(graph)
    back = [edge for edge in edges if steps[edge.v[1].data] < steps[edge.v[0].data]]
    layers = SugiyamaLayout(Drawn(list(vertices.values()), edges).C[0])
    layers.xspace, layers.yspace, layers.route_edge = _ACROSS, _DOWN, route_with_lines
    layers.init_all(roots=[vertices["__start__"]], inverted_edges=back)
    layers.draw()
    return [vertex.view for vertex in vertices.values()], [edge.view for edge in edges]


def _steps(graph: "Graph") -> dict[str, int]:
    """Fewest edges from the start to each node; the end is after all others."""
    steps, reached = {"__start__": 0}, ["__start__"]
    for name in reached:
        for edge in graph.edges:
            if edge.source == name and edge.target not in steps:
                steps[edge.target] = steps[name] + 1
                reached.append(edge.target)
    return steps | {"__end__": len(steps)}


def _figure(boxes: list[_Box], lines: list[_Line], *, loops: list[str]) -> Any:
    from matplotlib.figure import Figure

    xs = [x for box in boxes for x in (box.xy[0] - box.w / 2, box.xy[0] + box.w / 2)]
    xs += [x for line in lines for x, _ in line.points]
    ys = [y for box in boxes for y in (box.xy[1] - box.h / 2, box.xy[1] + box.h / 2)]
    left, right, top, bottom = min(xs) - _MARGIN, max(xs) + _MARGIN, min(ys) - _MARGIN, max(ys) + _MARGIN
    figure = Figure(figsize=((right - left) / 72, (bottom - top) / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)  # y downwards, as the layout has it
    for line in lines:
        _draw_line(axes, line)
    for box in boxes:
        _draw_box(axes, box, repeats=box.name in loops)
    return figure


def _draw_line(axes: Any, line: _Line) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Bends

    style = "dashed" if line.conditional else "solid"
    axes.add_patch(
        FancyArrowPatch(
            path=Bends(line.points), arrowstyle="-|>", mutation_scale=11, linestyle=style, color=_INK, linewidth=1.1
        )
    )


def _draw_box(axes: Any, box: _Box, *, repeats: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, pad = *box.xy, 5
    corner, size = (x - box.w / 2 + pad, y - box.h / 2 + pad), (box.w - 2 * pad, box.h - 2 * pad)
    fill = _END if box.name.startswith("__") else _BOX
    shape = f"round,pad={pad}"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, facecolor=fill, edgecolor=_BOX_EDGE, zorder=3))
    axes.text(x, y, _label(box.name), ha="center", va="center", fontsize=11, zorder=4)
    if repeats:
        side = {"xy": (x + box.w / 2, y + 6), "xytext": (x + box.w / 2, y - 6)}
        arrow = {"arrowstyle": "-|>", "linestyle": "dashed", "color": _INK, "connectionstyle": "arc3,rad=-1.6"}
        axes.annotate("", **side, arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})
