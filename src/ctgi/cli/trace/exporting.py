"""What `ctgi trace export` has to say."""

import sys
from typing import TYPE_CHECKING

from ctgi.cli.console import notice, print_json
from ctgi.cli.terminal import plain

if TYPE_CHECKING:
    from ctgi.runs.finetuning import Examples

_TOLD = 5


def print_examples(made: "Examples", as_json: bool, quiet: bool) -> None:
    """Counts on stdout, and what was left out on stderr."""
    if as_json:
        print_json(made.to_json())
        return
    sys.stdout.write(f"{made.written} verdicts of {made.of}, {made.yes} yes and {made.no} no: {plain(made.out)}\n")
    for count, why in (
        (made.repeated, "the same image and description as another"),
        (made.unlabeled, "nobody says whether the image is right"),
        (made.failed, "the call failed"),
    ):
        if count:
            notice(f"left out: {count}, because {why}", quiet=quiet)
    for one in made.missing[:_TOLD]:
        notice(f"left out: {one['path']}: {one['reason']}", quiet=quiet)
    if len(made.missing) > _TOLD:
        notice(f"and {len(made.missing) - _TOLD} more images that are gone", quiet=quiet)
