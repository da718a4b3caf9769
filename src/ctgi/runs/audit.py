"""A data set's human captions held against their pictures: which of them the model contradicts, worst first."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctgi.agents.abilities import NOT_JUDGED, askable
from ctgi.agents.assemble import open_tools
from ctgi.agents.auditor import Auditor, questions_of
from ctgi.agents.claims import claims
from ctgi.agents.pool import QuestionPool, load_pool
from ctgi.config import Settings
from ctgi.errors import ToolError
from ctgi.files import write_whole
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.sampling import spread_queries
from ctgi.retrieval.images import ImageRef, digest
from ctgi.runs.annotation_patch import corrections, make_patch
from ctgi.runs.audit_records import AuditedCaption, AuditFile, against_of, claims_of, open_audits
from ctgi.runs.batch import run_many
from ctgi.runs.events import Events, Update
from ctgi.runs.human_captions import Described
from ctgi.runs.recording import Act, recording
from ctgi.tools.traces.interceptor import Interceptor

TOOLS = ("verify_match", "answer_question")
FILE = "audit.jsonl"


@dataclass
class AuditReport:
    """What an audit found."""

    data: str
    out: str
    images: int
    """Audited, now and before."""
    captions: tuple[AuditedCaption, ...] = ()
    """Worst first."""
    already: int = 0
    """Captions that were audited before."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of the images without an audit."""
    not_judged: int = 0
    """Captions in words that the model never learned; they are not among `captions`."""
    calls: int = 0
    cached: int = 0
    trace: str | None = None

    @property
    def denied(self) -> int:
        """Captions that the model says no to."""
        return sum(not one.match for one in self.captions)

    @property
    def doubted(self) -> int:
        """Those, and captions that an answer contradicts."""
        return sum(one.is_doubted for one in self.captions)

    def to_json(self) -> Json:
        """What `ctgi data audit --json` prints."""
        return {
            "data": self.data,
            "out": self.out,
            "images": self.images,
            "captions": len(self.captions),
            "already": self.already,
            "denied": self.denied,
            "doubted": self.doubted,
            "not_judged": self.not_judged,
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "calls": self.calls,
            "cached": self.cached,
            "trace": self.trace,
            "worst": [{**one.to_json(), "suggestion": one.suggestion} for one in self.captions if one.is_doubted],
        }


def chosen(described: Sequence[Described], limit: int | None) -> list[Described]:
    """All images, or `limit` of them over all people."""
    if limit is None or limit >= len(described):
        return [*described]
    return [described[row] for row in spread_queries([one.pid for one in described], limit, seed=0)]


def estimate(images: Sequence[Described], settings: Settings) -> Json:
    """The calls that an audit of these images makes; no model is called.

    `calls` are verdicts and answers, `calls_most` also a verdict on each part of every caption.
    """
    pool = load_pool(settings.mtg.question_pool)
    able = askable(pool, settings)
    verdicts = answers = parts = 0
    for image in images:
        found = [claims(caption, pool) for caption in image.captions]
        asked = [question for caption in found for _, question in questions_of(caption, able)]
        verdicts += len(found)
        answers += len({question.attribute for question in asked})
        parts += sum(map(len, found))
    calls = verdicts + answers
    return {"images": len(images), "captions": verdicts, "calls": calls, "calls_most": calls + parts}


async def audit(
    data: str, described: Sequence[Described], out: Path, settings: Settings, events: Events, *, trace: bool = True
) -> AuditReport:
    """Audit the captions that `out` does not hold yet.

    Args:
        data: the name of the data set.
        described: its images and captions.
        out: folder of the results; every audit is in its audit.jsonl as soon as it is made.
        settings: bindings of verify_match and answer_question.
        events: hears how far it is, and what failed.
        trace: record every call.

    Raises:
        CtgiError: set-up, a full disk, or a server that is gone (EndpointDownError); what is finished is in `out`.
    """
    pool = load_pool(settings.mtg.question_pool)
    act = Act("audit", "audit", TOOLS, {"data": data})
    with open_audits(out / FILE, settings.without_locks) as file, recording(act, settings, events, trace=trace) as run:
        async with open_tools(settings, TOOLS, pool, cache=run.cache, interceptor=run.interceptor) as tools:
            bindings = {tool: str(settings.binding(tool)) for tool in TOOLS}
            work = _Auditing(tools, (pool, askable(pool, settings)), run.interceptor, file, bindings)
            with events.progress("audit", len(described)) as update:
                await work.all(described, in_flight(settings), update)
        report = work.report(data, out, len(described))
        report.calls, report.cached, report.trace = run.cache.made, run.cache.reused, run.interceptor.run
    for path, reason in report.failed:
        events.warn(f"failed: {path}: {reason}")
    return report


def in_flight(settings: Settings) -> int:
    """Images at once: as many as the endpoints take calls, and a few more whose image is being read."""
    return 4 + max(settings.endpoint(settings.binding(tool)).at_once for tool in TOOLS)


class _Auditing:
    """Audits images; a caption that was audited with the same bindings is not audited again."""

    def __init__(
        self, tools: Mapping[str, Any], pools: tuple[QuestionPool, QuestionPool], interceptor: Interceptor,
        file: AuditFile, bindings: dict[str, str],
    ) -> None:  # fmt: skip
        self._tools, self._pools, self._interceptor = tools, pools, interceptor
        self._file, self._bindings = file, bindings
        self._found: list[AuditedCaption] = []
        self._failed: list[tuple[str, str]] = []
        self._already = 0

    async def all(self, described: Sequence[Described], at_once: int, update: Update) -> None:
        """Audit these images, so many at once."""
        done = 0
        async for one, result in run_many(described, self._image, in_flight=at_once):
            if isinstance(result, ToolError):
                self._failed.append((one.path, getattr(result, "reason", str(result))))
            else:
                self._found += result
            done += 1
            update(done, note=f"doubted {sum(audited.is_doubted for audited in self._found)}")

    async def _image(self, one: Described) -> list[AuditedCaption]:
        image = ImageRef(one.path, await asyncio.to_thread(digest, one.path))
        known = {number: self._known(image.sha256, number, text) for number, text in enumerate(one.captions)}
        self._already += sum(audited is not None for audited in known.values())
        if all(known.values()):
            return [audited for audited in known.values() if audited]
        auditor = Auditor(self._tools["verify_match"], self._tools["answer_question"], *self._pools, image)
        with self._interceptor.item({"image": image}) as done:
            found = [known[number] or await self._caption(one, number, auditor) for number in known]
            done({"captions": [audited.to_json() for audited in found]})
        return found

    def _known(self, sha256: str, number: int, caption: str) -> AuditedCaption | None:
        found = self._file.audits.get((sha256, number, caption))
        return found if found and found.bindings == self._bindings else None

    async def _caption(self, one: Described, number: int, auditor: Auditor) -> AuditedCaption:
        found = await auditor(one.captions[number])
        audited = AuditedCaption(
            path=one.path,
            sha256=auditor.image.sha256,
            image=one.name,
            split=one.split,
            pid=one.pid,
            number=number,
            caption=one.captions[number],
            match=found.verdict.match,
            probability=found.verdict.probability,
            text=found.verdict.text,
            threshold=found.verdict.threshold,
            doubt=round(found.doubt, 4),
            claims=claims_of(found),
            against=against_of(found),
            bindings=self._bindings,
            trace=self._interceptor.run,
        )
        self._file.append(audited)
        return audited

    def report(self, data: str, out: Path, images: int) -> AuditReport:
        """What was found, worst first; captions that the model cannot read are counted apart."""
        judged = [one for one in self._found if not one.text.startswith(NOT_JUDGED)]
        worst = sorted(judged, key=lambda one: (-one.doubt, one.image, one.number))
        return AuditReport(
            data, str(out), images - len(self._failed), tuple(worst), self._already, self._failed,
            len(self._found) - len(judged),
        )  # fmt: skip


def write_corrections(report: AuditReport, files: Sequence[Path], folder: Path) -> tuple[list[Path], int]:
    """Write what the audit suggests as a JSON Patch of each annotation file.

    Returns the patches, and how many corrections are of captions that stand in none of the files.

    Raises:
        CtgiError: the annotations cannot be read, or `folder` cannot be written.
    """
    wanted, written = corrections(report.captions), []
    for file in files:
        operations, wanted = make_patch(file, wanted)
        written.append(folder / ("corrections.json" if len(files) == 1 else f"corrections-{file.stem}.json"))
        write_whole(written[-1], json.dumps(operations, indent=1, ensure_ascii=False).encode(errors="surrogatepass"))
    return written, len(wanted)
