"""What `ctgi trace replay` has to say."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ctgi.cli.console import print_json
from ctgi.cli.terminal import plain

if TYPE_CHECKING:
    from ctgi.runs.replay.run import ReplayReport


def print_report(report: "ReplayReport", as_json: bool) -> None:
    """Numbers and what came out differently, on stdout."""
    if as_json:
        failed = [{"what": item, "reason": reason} for item, reason in report.failed]
        print_json(asdict(report) | {"failed": failed})
        return
    sys.stdout.write(
        f"{report.items} items of {report.of} replayed: {report.identical} identical, {len(report.changed)} "
        f"changed, {len(report.failed)} failed\n"
        f"calls: {report.served} from the recording, {report.live} live, {report.unused} unused\n"
    )
    for one in report.changed[:20]:
        sys.stdout.write(f"  {plain(one.what)}: {', '.join(one.fields)}\n")
    if len(report.changed) > 20:
        sys.stdout.write(f"  and {len(report.changed) - 20} more\n")
    if report.out:
        sys.stdout.write(f"{plain(report.out)}\n")
    if report.changed:
        sys.stdout.write(f"compare: ctgi trace diff {report.of} {report.trace}\n")
