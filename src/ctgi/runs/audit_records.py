"""What an audit found, caption by caption: the lines of audit.jsonl."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from pydantic import Field

from ctgi.agents.auditor import Audit
from ctgi.appending import append_whole, set_aside
from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, is_full, own
from ctgi.reading import dump, json_lines
from ctgi.records import Record, Text
from ctgi.text import plain


class AuditedClaim(Record):
    """A part of a caption."""

    start: int
    """Where it stands in the caption, in characters."""
    end: int
    text: Text
    match: bool | None = None
    """Whether the model rather sees it than not; None where it was not asked."""
    probability: float | None = None
    """P(yes)."""


class AuditedAnswer(Record):
    """An answer of the model that contradicts a part of a caption."""

    claim: int
    """Where that part begins."""
    attribute: Text
    question: Text
    answer: Text
    confidence: float | None
    why: Text
    correction: Text | None = None
    """The part as the answer has it, where it takes its place."""


class AuditedCaption(Record):
    """One caption of a data set."""

    path: Text
    sha256: Text
    image: Text
    """Below the image folder, as the annotations have it."""
    split: Text
    pid: int
    number: int
    """Which of the image's captions, from 0."""
    caption: Text
    match: bool
    probability: float | None
    """P(yes) that the picture shows what the caption says; None where the model tells none."""
    text: Text
    """The model's verdict."""
    threshold: float
    """P(yes) above it is a match."""
    doubt: float
    """What the captions are ordered by: log odds that it is wrong, plus twice the confidence of each answer against."""
    claims: tuple[AuditedClaim, ...] = ()
    against: tuple[AuditedAnswer, ...] = ()
    bindings: dict[str, Text] = Field(default_factory=dict)
    trace: Text | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """What it is an audit of."""
        return self.sha256, self.number, self.caption

    @property
    def is_doubted(self) -> bool:
        """Whether the model says no, or something against it."""
        return not self.match or bool(self.against)

    @property
    def suggestion(self) -> str | None:
        """The caption with the colors that the model saw, where that is all it says against it.

        Its verdict on that part of the caption has to agree with its answer.
        """
        corrected = {one.claim: one.correction for one in self.against}
        denied = [claim for claim in self.claims if claim.start in corrected and claim.match is False]
        if not self.against or not len(denied) == len(corrected) == len(self.against) or None in corrected.values():
            return None
        caption = self.caption
        for claim in sorted(denied, key=lambda one: -one.start):
            caption = f"{caption[: claim.start]}{corrected[claim.start]}{caption[claim.end :]}"
        return caption


def claims_of(audit: Audit) -> tuple[AuditedClaim, ...]:
    """The claims of an audit as records."""
    return tuple(
        AuditedClaim(
            start=claim.start,
            end=claim.end,
            text=claim.text,
            match=audit.shows(claim),
            probability=verdict.probability if (verdict := audit.checked.get(claim.start)) else None,
        )
        for claim in audit.claims
    )


def against_of(audit: Audit) -> tuple[AuditedAnswer, ...]:
    """The answers against a caption as records."""
    return tuple(
        AuditedAnswer(
            claim=one.claim.start,
            attribute=one.question.attribute,
            question=one.question.question,
            answer=one.answer,
            confidence=one.confidence,
            why=one.why,
            correction=one.correction,
        )
        for one in audit.objections
    )


class AuditFile:
    """Audits on disk, open for appending by one process at a time."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file
        self.audits: dict[tuple[str, int, str], AuditedCaption] = {}
        """By what they are audits of; the last one counts."""
        for line in json_lines(path, "audits"):
            if line.is_torn:
                set_aside(path, file, line, "its caption is audited again")
                break
            try:
                self._keep(AuditedCaption.from_json(line.value))
            except CtgiError as error:
                raise CtgiError(
                    f"{plain(str(path))}, line {line.number}: {error}: delete the line, or give another --out"
                ) from None

    def append(self, audit: AuditedCaption) -> None:
        """Write one audit and hand it to the operating system before returning.

        Raises:
            CtgiError: the disk is full or the file cannot be written.
        """
        try:
            append_whole(self._file, dump(audit.to_json()) + b"\n")
        except OSError as error:
            cure = "free some space" if is_full(error) else "choose another --out"
            raise CtgiError(f"{plain(str(self._path))}: cannot write ({error.strerror}): {cure}") from None
        self._keep(audit)

    def _keep(self, audit: AuditedCaption) -> None:
        self.audits[audit.key] = audit


@contextmanager
def open_audits(path: Path, without_locks: WithoutLocks = "warn") -> Iterator[AuditFile]:
    """Open the file of an audit, made if there is none.

    without_locks: see `ctgi.files.own`.

    Raises:
        CtgiError: it cannot be written, a line is no audit, or another process is writing it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a+")
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot write here ({error.strerror}): choose another --out") from None
    with file:
        try:
            own(file.fileno(), path, without_locks)
        except BlockingIOError:
            raise CtgiError(
                f"{plain(str(path))}: another ctgi data audit is writing this file: wait for it, or give another --out"
            ) from None
        yield AuditFile(path, file)
