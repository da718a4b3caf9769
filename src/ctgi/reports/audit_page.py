"""An audit as one self-contained HTML page: the captions that contradict their picture, worst first."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctgi.files import write_whole
from ctgi.reports.pages import template
from ctgi.reports.pictures import Pictures
from ctgi.runs.audit import AuditReport
from ctgi.runs.audit_records import AuditedAnswer, AuditedCaption

MAX_CAPTIONS = 200
"""On one page."""


@dataclass(frozen=True)
class ClaimView:
    """A part of a caption with what the model says to it."""

    text: str
    percent: str
    """P(yes), or its yes or no."""
    against: tuple[AuditedAnswer, ...]

    wrong: bool
    """Whether the model says no to it, or something against it."""


@dataclass(frozen=True)
class AuditView:
    """One caption."""

    caption: AuditedCaption
    percent: str
    pieces: tuple[tuple[str, bool], ...]
    """The caption in pieces, each with whether it is contradicted."""
    claims: tuple[ClaimView, ...]


def write_audit_page(report: AuditReport, out: Path) -> int:
    """Write the page to `out`: no script, images embedded as JPEG. Returns how many doubted captions are not on it.

    Raises:
        CtgiError: `out` cannot be written.
    """
    doubted = [one for one in report.captions if one.is_doubted]
    page = template("audit.html.j2", {}, Pictures(None).embed).render(
        report=report, views=[audit_view(one) for one in doubted[:MAX_CAPTIONS]],
        left_out=max(0, len(doubted) - MAX_CAPTIONS),
    )  # fmt: skip
    write_whole(out, page.encode())
    return max(0, len(doubted) - MAX_CAPTIONS)


def audit_view(one: AuditedCaption) -> AuditView:
    """A caption as the page shows it."""
    claims = []
    for claim in one.claims:
        against = tuple(answer for answer in one.against if answer.claim == claim.start)
        wrong = claim.match is False or bool(against)
        percent = "" if claim.match is None else _percent(claim.match, claim.probability)
        claims.append(ClaimView(claim.text, percent, against, wrong))
    return AuditView(one, _percent(one.match, one.probability), tuple(_pieces(one, claims)), tuple(claims))


def _pieces(one: AuditedCaption, claims: list[ClaimView]) -> Iterator[tuple[str, bool]]:
    at = 0
    for claim, view in zip(one.claims, claims, strict=True):
        if view.wrong and claim.start >= at:
            yield one.caption[at : claim.start], False
            yield one.caption[claim.start : claim.end], True
            at = claim.end
    yield one.caption[at:], False


def _percent(match: bool, probability: float | None) -> str:
    if probability is None:
        return "yes" if match else "no"
    return f"{100 * probability:.0f} %"
