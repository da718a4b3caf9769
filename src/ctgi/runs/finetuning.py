"""Verdicts of a recorded run as data to fine-tune a model with: dialogues with images, as trainers read them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from ctgi.agents.prompts import Wording, quoted, worded
from ctgi.errors import CtgiError, ImageError
from ctgi.faults import first_fault
from ctgi.files import write_whole
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef
from ctgi.settings_tables import PromptSettings
from ctgi.text import plain
from ctgi.tools.traces.diff import Right
from ctgi.tools.traces.format import Call, Item
from ctgi.tools.traces.found_images import FoundImages
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.selection import Selection, chosen
from ctgi.tools.types import Verdict

IMAGE = "<image>"
"""Where the picture stands in a prompt, as ms-swift and LLaMA-Factory read it."""


@dataclass
class Examples:
    """What was written, and what was not."""

    of: str
    out: str
    yes: int = 0
    no: int = 0
    unlabeled: int = 0
    """Verdicts for which nobody says whether they are right."""
    repeated: int = 0
    """Verdicts about the same image and description as another one."""
    failed: int = 0
    """Calls without a verdict."""
    missing: list[Json] = field(default_factory=list)
    """Images that are gone or were replaced, with the reason."""

    @property
    def written(self) -> int:
        """Examples in the file."""
        return self.yes + self.no

    def to_json(self) -> Json:
        """The counts, for `--json`."""
        return asdict(self) | {"written": self.written}


def export_verdicts(
    trace: Trace, selection: Selection, out: Path, *, right: Right | None, folder: Path | None = None
) -> Examples:
    """Write each verdict of a run as a dialogue of one turn, whose reply is what is right.

    Args:
        trace: of a search, an evaluation, or an agent.
        selection: which items.
        out: a new file of JSON lines: `messages` and `images`.
        right: which images show the right person; None takes the model's own verdicts, to teach another model.
        folder: where the images lie now, if they were moved.

    Raises:
        CtgiError: the file is there, or there is nothing to write.
    """
    if out.exists():
        raise CtgiError(f"{plain(str(out))} exists already: give another --out")
    made = Examples(trace.header.run, str(out))
    lines = list(_lines(_judged(trace, selection), trace, made, right, FoundImages(folder)))
    if not lines:
        raise CtgiError(_nothing(made))
    write_whole(out, lines)
    return made


_NO_ITEM = Item(item=0, input={}, at=0.0)


def _lines(
    judged: Iterable[tuple[Item, Call]], trace: Trace, made: Examples, right: Right | None, found: FoundImages
) -> Iterator[bytes]:
    wording = _wording(trace)
    known: set[str] = set()
    gone: dict[str, str] = {}
    for item, call in judged:
        read = _read(call, trace)
        if read is None:
            made.failed += 1
            continue
        image, description, match = read
        if call.key in known:
            made.repeated += 1
            continue
        says = right(description, item, image.path, image.sha256) if right else match
        if says is None:
            made.unlabeled += 1
            continue
        known.add(call.key)
        try:
            place = found.find(image.path, image.sha256)
        except ImageError as error:
            gone[image.path] = error.reason
            continue
        made.yes, made.no = made.yes + says, made.no + (not says)
        yield _line(wording, description, place, says)
    made.missing = [{"path": path, "reason": reason} for path, reason in gone.items()]


def _judged(trace: Trace, selection: Selection) -> Iterator[tuple[Item, Call]]:
    for number, calls, _ in chosen(trace, replace(selection, tool="verify_match")):
        yield from ((trace.items[number].item, call) for call in calls)
    if not selection.items:  # of an MCP client, whose calls belong to no item
        yield from ((_NO_ITEM, call) for call in trace.loose_calls() if call.tool == "verify_match")


def _wording(trace: Trace) -> Wording:
    try:
        return worded(PromptSettings.model_validate(trace.header.settings.get("prompts") or {}))
    except ValidationError as error:
        raise CtgiError(f"run {trace.header.run}: its prompts cannot be used ({first_fault(error)})") from None


def _read(call: Call, trace: Trace) -> tuple[ImageRef, str, bool] | None:
    """The image, the description, and whether the model took it for a match; None where there is no verdict."""
    try:
        image, description = trace.values.images(call.args.get("image")), call.args.get("description")
        verdict = trace.values.result(call.tool, call.out)
    except ValueError:  # of a line that was edited, too
        return None
    if not (isinstance(image, ImageRef) and isinstance(description, str) and isinstance(verdict, Verdict)):
        return None
    return image, description, verdict.match


def _line(wording: Wording, description: str, place: str, says: bool) -> bytes:
    """One example. Words of a description that stand for a picture would need another picture."""
    told = wording("verify").format(description=quoted(description)).replace(IMAGE, "< image>")
    system = [{"role": "system", "content": wording("system")}] if wording("system") else []
    asked = {"role": "user", "content": f"{IMAGE}{told}"}
    messages = [*system, asked, {"role": "assistant", "content": "yes" if says else "no"}]
    line = {"messages": messages, "images": [str(Path(place).absolute())]}
    return json.dumps(line, ensure_ascii=False).encode(errors="surrogateescape") + b"\n"


def _nothing(made: Examples) -> str:
    if made.unlabeled:
        return (
            f"run {made.of}: nobody says which images show the right person, of {made.unlabeled} verdicts: add --truth "
            "'anna_*.png', or --recorded to take the model's own verdicts"
        )
    if made.missing:
        return f"run {made.of}: none of its images is where it was: add --images FOLDER"
    if made.failed:
        return (
            f"run {made.of}: all {made.failed} calls for a verdict failed: ctgi trace show {made.of} --failed says why"
        )
    return f"run {made.of} has no verdicts: expected one of ctgi search or ctgi evaluate --mti"
