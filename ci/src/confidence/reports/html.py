"""``report.html``: one self-contained page. Every name and log is text; nothing is loaded from anywhere."""

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from confidence.evidence.browser_files import is_inside
from confidence.model.evidence import AttachedFile, Evidence, SuiteEvidence
from confidence.model.records import CaseOutcome, CaseRecord, Counts, PhaseRecord
from confidence.reports.skips import REASONS_SHOWN_MAX, reasons_of_skips
from confidence.reports.summary_document import Summary
from confidence.reports.timeline import lanes
from confidence.reports.wording import duration, headline, plain, ranges, size

FAILURES_SHOWN_MAX = 300
SLOWEST_SHOWN = 20
ARTIFACTS_SHOWN_MAX = 400
LOG_CHARS_MAX = 12_000


def render_html(evidence: Evidence, summary: Summary) -> str:
    """The whole page. Its only script is named by its digest in the content policy, so no other can run."""
    environment = Environment(
        loader=PackageLoader("confidence.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(plain=plain, duration=duration, size=size, ranges=ranges, href=_href)
    script = _own_text("report.js")
    red = [(suite, case) for suite in evidence.suites for case in suite.red_cases]
    slowest = _slowest(evidence)
    return environment.get_template(
        "report.html.j2"
    ).render(
        summary=summary,
        document=summary.document,
        headline=headline(summary.status, summary.verdicts),
        style=Markup(_own_text("report.css")),  # noqa: S704 - our own file, not input
        script=Markup(script),  # noqa: S704 - our own file, not input
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        unmet=sorted(
            (gate for gate in summary.document["gates"] if gate["status"] != "passed"),
            key=lambda gate: gate["status"] != "violated",
        ),
        met=[gate for gate in summary.document["gates"] if gate["status"] == "passed"],
        lanes=lanes(evidence),
        failures=[_failure(case, suite) for suite, case in red[:FAILURES_SHOWN_MAX]],
        failures_total=len(red),
        collect_failures=[(suite.name, found) for suite in evidence.suites for found in suite.collect_failures],
        skips=reasons_of_skips(evidence)[:REASONS_SHOWN_MAX],
        slowest=slowest,
        slowest_max=max((case["seconds"] for case in slowest), default=1) or 1,
        tests=list(_rows(evidence)),
        suite_names=[suite.name for suite in evidence.suites],
        browser_files=evidence.browser_files,
        artifacts=summary.document["artifact_index"]["entries"][:ARTIFACTS_SHOWN_MAX],
        parts=_parts(evidence.counts),
    )


def _own_text(name: str) -> str:
    return files("confidence.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _href(relative: str) -> str:
    """A link into the bundle; a path that would leave it leads nowhere."""
    return quote(relative) if is_inside(relative) else "#"


def _parts(counts: Counts) -> list[tuple[str, int]]:
    parts = [
        ("passed", counts.passed),
        ("failed", counts.failed),
        ("timed_out", counts.timed_out),
        ("lost", counts.lost),
        ("flaky", counts.flaky),
        ("skipped", counts.skipped),
    ]
    return [(name, number) for name, number in parts if number]


def _failure(case: CaseRecord, suite: SuiteEvidence) -> dict[str, Any]:
    last = case.last
    problems = [problem for attempt in case.attempts for problem in attempt.problems]
    return {
        "id": case.id,
        "suite": case.suite,
        "outcome": case.outcome.value,
        "process": last.process if last else "",
        "seconds": case.seconds,
        "attempts": len(case.attempts),
        "headline": problems[0].headline if problems else _without_report(case),
        "problems": [(problem.phase, problem.kind.value, problem.text[-LOG_CHARS_MAX:]) for problem in problems],
        "tails": list(_tails(last.phases if last else ())),
        "files": [_attached(item) for item in suite.attachments if item.case_id == case.id],
        "stacks": next((ending.stacks for ending in suite.endings if ending.stacks), ""),
        "log": next((ending.log for ending in suite.endings if ending.log), ""),
    }


def _without_report(case: CaseRecord) -> str:
    if case.outcome is CaseOutcome.XPASSED:
        return "It was expected to fail and passed: the expectation is out of date."
    if case.last is None:
        return "It was collected and never started."
    return "It was running when its process ended."


def _tails(phases: tuple[PhaseRecord, ...]) -> Iterator[tuple[str, str]]:
    for phase in phases:
        for kind, text in (("log", phase.log_tail), ("output", phase.stdout_tail), ("errors", phase.stderr_tail)):
            if text.strip():
                yield f"{kind} during {phase.phase}", text[-LOG_CHARS_MAX:]


def _attached(item: AttachedFile) -> dict[str, str]:
    return {"kind": item.kind, "path": item.path, "attempt": str(item.attempt)}


def _slowest(evidence: Evidence) -> list[dict[str, Any]]:
    cases = sorted((case for suite in evidence.suites for case in suite.cases), key=lambda case: -case.seconds)
    return [
        {"id": case.id, "suite": case.suite, "seconds": case.seconds} for case in cases[:SLOWEST_SHOWN] if case.seconds
    ]


def _rows(evidence: Evidence) -> Iterator[list[Any]]:
    """[id, number of the suite, outcome, seconds, process] of each test: short, because there may be many."""
    for number, suite in enumerate(evidence.suites):
        for case in suite.cases:
            process = case.last.process if case.last else ""
            yield [plain(case.id), number, case.outcome.value, round(case.seconds, 3), process]
