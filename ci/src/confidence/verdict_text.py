"""What a run says at its end to a person: the verdict, why it is not green first, and where to read on."""

from collections.abc import Iterator
from pathlib import Path

from confidence.model.verdicts import Outcome, Verdict
from confidence.reports import Summary
from confidence.reports.wording import headline


def verdict_lines(summary: Summary, report: Path) -> Iterator[str]:
    """The lines before the last one."""
    unmet = [verdict for verdict in summary.verdicts if verdict.outcome is not Outcome.PASSED]
    yield ""
    yield f"verdict: {headline(summary.status, summary.verdicts)} ({summary.run_id})"
    if summary.weakened:
        yield "  weakened: an override asks for less than the configuration; this can never be GO"
    for verdict in unmet:
        yield from _unmet_lines(verdict)
    met = [verdict.name for verdict in summary.verdicts if verdict.outcome is Outcome.PASSED]
    yield f"  {len(met)} of {len(summary.verdicts)} gates passed: {', '.join(met) or 'none'}"
    yield f"report: {report}"


def count_line(summary: Summary) -> str:
    """The last line, which scripts read: whatever neither passed nor was skipped counts as failed."""
    counts = summary.counts
    return f"{counts.passed} passed, {counts.total - counts.passed - counts.skipped} failed, {counts.skipped} skipped"


def _unmet_lines(verdict: Verdict) -> Iterator[str]:
    word = "not met" if verdict.outcome is Outcome.VIOLATED else "no evidence"
    yield f"  {word}: {verdict.name}: {verdict.why}"
    if verdict.expected or verdict.actual:
        yield f"    expected {verdict.expected}; actual {verdict.actual}"
    if verdict.next_command:
        yield f"    next: {verdict.next_command}"
