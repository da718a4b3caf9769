"""`ctgi trace`: every run can be looked at, replayed offline, replayed with one binding swapped, and compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, notice
from ctgi.cli.options import AsJson, Bind, Config, MovedImages, Quiet
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.tools.traces.reader import Trace
    from ctgi.tools.traces.selection import Selection

trace = typer.Typer(
    help="Inspect recorded runs, replay them offline, and see what another model would change.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run or its beginning, a trace file, or last.")]
Items = Annotated[
    list[str] | None,
    typer.Option(
        "--item",
        metavar="TEXT",
        help="Only items with this number or hash, or with this text in path or query. Repeatable.",
    ),
]
Latest = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="Runs to show, latest last.")]
Tool = Annotated[str | None, typer.Option("--tool", metavar="TOOL", help="Only calls of this tool.")]
Node = Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only calls of this node of the graph.")]
Slow = Annotated[float | None, typer.Option("--slow", metavar="MS", min=0, help="Only calls that took longer, in ms.")]
Failed = Annotated[bool, typer.Option("--failed", help="Only calls and items that failed.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Page to write instead, with images inside.")]
OnMiss = Annotated[
    str, typer.Option("--on-miss", metavar="error|live", help="A call that was never recorded: fail, or make it now.")
]
FromNode = Annotated[
    str | None, typer.Option("--from", metavar="NODE", help="Make all calls anew from this node of the graph on.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="New file for the captions or searches.")]
Gallery = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", metavar="FOLDER", help="Image folder or gallery now (default: the recorded one)."),
]
AcceptChanges = Annotated[
    bool, typer.Option("--accept-changes", help="Use recorded answers even if their prompts have changed since.")
]
Before = Annotated[str, typer.Argument(metavar="A", help="A run, named as for ctgi trace show.")]
After = Annotated[str, typer.Argument(metavar="B", help="The run to compare with it.")]
Truth = Annotated[
    list[str] | None,
    typer.Option(
        "--truth",
        metavar="GLOB|FILE",
        help="File names that show the right person, or a JSON file {query: [names]}. Repeatable.",
    ),
]
To = Annotated[
    str, typer.Option("--to", metavar="sft", help="Format: sft, dialogues with images to fine-tune a model with.")
]
Recorded = Annotated[
    bool, typer.Option("--recorded", help="Take the model's own verdicts for right, to teach another model.")
]
NewFile = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="New file of JSON lines.")]
WhereImages = Annotated[
    Path | None,
    typer.Option("--images", metavar="FOLDER", help="Where the images are now (default: where they were)."),
]
DiffHtml = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Page to write as well, with both runs side by side.")
]
_TOLD = 5


@trace.command("list")
def list_runs(limit: Latest = 20, config: Config = None, as_json: AsJson = False) -> None:
    """List the recorded runs: items, calls, tokens, times and failures.

    Example: ctgi trace list
    """
    from ctgi.cli.trace.listing import print_runs
    from ctgi.config import load_settings
    from ctgi.reports.trace_json import summaries
    from ctgi.tools.traces.reader import trace_files

    folder = load_settings(config=config).traces
    print_runs(summaries(trace_files(folder)[-limit:]), folder, as_json)


@trace.command("show")
def show_run(
    run: Run = "last",
    tool: Tool = None,
    node: Node = None,
    item: Items = None,
    slow: Slow = None,
    failed: Failed = False,
    html: Html = None,
    images: MovedImages = None,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show one run as a tree: items, nodes of the graph, and calls with answers and times.

    The exit code is 1 if the trace is damaged; the readable part is shown.

    Example: ctgi trace show last --tool answer_question --html run.html
    """
    from ctgi.cli.arguments import refuse_idle
    from ctgi.tools.traces.selection import Selection

    if html:
        refuse_idle({"--json": as_json}, "with --html: leave one of them out")
    _check_page(html, images)
    opened = _open(run, config)
    selection = Selection(tool, node, tuple(item or ()), slow, failed)
    _check_items(opened, selection)
    if html:
        from ctgi.reports.trace_page import write_page

        write_page(opened, selection, html, images)
        notice(f"wrote {html}", quiet=quiet)
    else:
        from ctgi.cli.trace.tree import print_json, print_tree

        (print_json if as_json else print_tree)(opened, selection)
    _tell_problems(opened)
    if opened.problems:
        raise typer.Exit(1)


@trace.command("replay")
def replay(
    run: Run,
    bind: Bind = None,
    on_miss: OnMiss = "error",
    from_node: FromNode = None,
    item: Items = None,
    out: Out = None,
    gallery: Gallery = None,
    accept_changes: AcceptChanges = False,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Replay a run from its recorded calls: no model, no network, the same outputs.

    Tools named with --bind are called anew; everything else comes from the recording. A replay whose outcome can differ
    records a trace of its own, for ctgi trace diff. The exit code is 1 if items could not be replayed.

    Example: ctgi trace replay last --bind answer_question=openai:gpt-4o --on-miss live
    """
    import asyncio

    from ctgi.cli.trace.replaying import print_report
    from ctgi.runs.replay.plan import Plan, replay_settings
    from ctgi.runs.replay.run import replay_run
    from ctgi.tools.traces.selection import Selection

    if on_miss not in ("error", "live"):
        raise CtgiError(f"--on-miss {on_miss!r}: expected error or live")
    opened = _open(run, config)
    _tell_problems(opened)
    selection = Selection(items=tuple(item or ()))
    _check_items(opened, selection)
    plan = Plan(
        tuple(bind or ()), "live" if on_miss == "live" else "error", from_node,
        lambda one: selection.wants(one, opened.values), accept_changes, gallery,
    )  # fmt: skip
    settings = replay_settings(opened, plan, config)
    report = asyncio.run(replay_run(opened, settings, plan, Terminal(quiet), out=out))
    print_report(report, as_json)
    if report.failed or opened.problems:
        raise typer.Exit(1)


@trace.command("diff")
def diff_runs(
    before: Before,
    after: After,
    truth: Truth = None,
    item: Items = None,
    html: DiffHtml = None,
    images: MovedImages = None,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare two runs: the first difference of each item, changed answers, captions and ranks, and the cost.

    Example: ctgi trace diff 20261121-101530 last --html diff.html
    """
    from ctgi.cli.trace.comparing import print_diff
    from ctgi.tools.traces.diff import diff_traces
    from ctgi.tools.traces.selection import Selection
    from ctgi.tools.traces.truth import load_truth

    _check_page(html, images)
    one, other = _open(before, config), _open(after, config)
    selection = Selection(items=tuple(item or ()))
    _check_items(one, selection)
    found = diff_traces(one, other, wanted=lambda i: selection.wants(i, one.values), right=load_truth(truth or []))
    if html:
        from ctgi.reports.trace_page import write_diff

        write_diff(found, one, other, html, images)
        notice(f"wrote {html}", quiet=quiet)
    print_diff(found, as_json)
    for damaged in (one, other):
        _tell_problems(damaged)
    if one.problems or other.problems:
        raise typer.Exit(1)


@trace.command("export")
def export_run(
    run: Run = "last",
    to: To = "sft",
    truth: Truth = None,
    recorded: Recorded = False,
    item: Items = None,
    images: WhereImages = None,
    out: NewFile = Path("verdicts.jsonl"),
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the verdicts of a run as data to fine-tune a model with: a prompt, its image, and the right yes or no.

    An evaluation knows the right images; for other runs, --truth names them. The exit code is 1 if the trace is
    damaged; the readable part is written.

    Example: ctgi trace export last --to sft --truth 'anna_*.png' --out verdicts.jsonl
    """
    from ctgi.cli.arguments import expect_file_place, refuse_idle
    from ctgi.cli.trace.exporting import print_examples
    from ctgi.runs.finetuning import export_verdicts
    from ctgi.tools.traces.selection import Selection
    from ctgi.tools.traces.truth import load_truth

    if to != "sft":
        raise CtgiError(f"--to {to!r}: expected sft")
    if recorded:
        refuse_idle({"--truth": truth}, "with --recorded: leave one of them out")
    expect_file_place("--out", out)
    opened, selection = _open(run, config), Selection(items=tuple(item or ()))
    _check_items(opened, selection)
    label = None if recorded else load_truth(truth or [])
    made = export_verdicts(opened, selection, out, right=label, folder=images)
    print_examples(made, as_json, quiet)
    _tell_problems(opened)
    if opened.problems:
        raise typer.Exit(1)


def _check_page(html: Path | None, images: Path | None) -> None:
    from ctgi.cli.arguments import expect_file_place, refuse_idle

    expect_file_place("--html", html)
    if not html:
        refuse_idle({"--images": images}, "without --html")


def _open(run: str, config: Path | None) -> "Trace":
    from ctgi.config import load_settings
    from ctgi.tools.traces.reader import find_trace, open_trace

    return open_trace(find_trace(run, load_settings(config=config).traces))


def _check_items(opened: "Trace", selection: "Selection") -> None:
    if selection.items and not any(selection.wants(index.item, opened.values) for index in opened.items.values()):
        raise CtgiError(
            f"run {opened.header.run} has no item like {' or '.join(selection.items)}: ctgi trace show lists its "
            f"{len(opened.items)} items"
        )


def _tell_problems(opened: "Trace") -> None:
    for problem in opened.problems[:_TOLD]:
        about = f" (item {problem.item})" if problem.item else ""
        notice(f"{opened.path}, line {problem.line}{about}: {problem.what}")
    if len(opened.problems) > _TOLD:
        notice(f"{opened.path}: and {len(opened.problems) - _TOLD} more lines like that")
