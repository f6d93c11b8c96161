"""``summary.md``: the verdict for people, as a comment under a change or a job's summary shows it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from confidence.model.evidence import Evidence
from confidence.model.records import CaseRecord
from confidence.reports.skips import REASONS_SHOWN_MAX, SkipReason, reasons_of_skips
from confidence.reports.summary_document import Summary
from confidence.reports.wording import duration, headline, plain

FAILURES_SHOWN_MAX = 20
_MARKS = {"passed": "✅", "violated": "❌", "no_evidence": "⚪"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def render_markdown(evidence: Evidence, summary: Summary) -> str:
    """Verdict and reasons first, then suites, failures and where it all comes from."""
    document = summary.document
    blocks = [
        _heading(summary),
        *_unmet(document["gates"]),
        _suites(document["suite_results"]),
        *_failures([case for suite in evidence.suites for case in suite.red_cases]),
        _skips(reasons_of_skips(evidence)),
        *_coverage(document["coverage_summary"]),
        _passed(document["gates"]),
        _provenance(document),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line: names of tests are written by anybody."""
    return _SPECIAL.sub(r"\\\1", " ".join(plain(text).split())).replace("@", "@\u200b")


def code(text: str) -> str:
    """Text in code quotes that it cannot break out of."""
    flat = " ".join(plain(text).split())
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    inner = f" {flat} " if flat.startswith("`") or flat.endswith("`") else flat
    return f"{fence}{inner}{fence}".replace("|", "\\|")


def _heading(summary: Summary) -> str:
    document = summary.document
    counts = document["counts"]
    told = ", ".join(
        f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if name != "total" and number
    )
    seconds = document["provenance"]["seconds"]
    took = f" in {duration(seconds)}" if seconds is not None else ""
    lines = [
        f"## {headline(summary.status, summary.verdicts)} — `{escaped(document['tier'])}`",
        "",
        f"**{counts['total']} tests**{took}: {told or 'none was executed'}.",
    ]
    if summary.weakened:
        lines += ["", "> **Weakened run.** An override asks for less than the configuration; this can never be GO."]
    return "\n".join(lines)


def _unmet(gates: Iterable[Mapping[str, Any]]) -> list[str]:
    unmet = [gate for gate in gates if gate["status"] != "passed"]
    if not unmet:
        return []
    blocks = ["### Why it is not green"]
    for gate in unmet:
        status = gate["status"]
        lines = [
            f"{_MARKS[status]} **{escaped(gate['name'])}** ({_words(status)}): {escaped(gate['why'])}",
            f"- expected: {escaped(gate['expected'])}",
            f"- actual: {escaped(gate['actual'])}",
        ]
        if gate["next_command"]:
            lines.append(f"- next: {code(gate['next_command'])}")
        blocks.append("\n".join(lines))
    return blocks


def _suites(suites: list[Mapping[str, Any]]) -> str:
    if not suites:
        return ""
    rows = ["| suite | | result | tests | red | skipped | time |", "| --- | --- | --- | ---: | ---: | ---: | ---: |"]
    for suite in suites:
        counts = suite["counts"]
        red = sum(counts[name] for name in ("failed", "timed_out", "flaky", "lost"))
        rows.append(
            f"| {escaped(suite['name'])} | {suite['priority']} | {_words(suite['status'])} | {counts['total']} "
            f"| {red} | {counts['skipped']} | {duration(suite['seconds'])} |"
        )
    return "\n".join(["### Suites", "", *rows])


def _failures(red: list[CaseRecord]) -> list[str]:
    if not red:
        return []
    lines = [f"### Not proved ({len(red)})", ""]
    for case in red[:FAILURES_SHOWN_MAX]:
        problems = case.last.problems if case.last else ()
        reason = problems[0].headline if problems else ("was running" if case.last else "was never started")
        told = escaped(reason[:300])
        lines.append(f"- {_words(case.outcome)}: {code(case.id)} in {escaped(case.suite)}: {told}")
    if len(red) > FAILURES_SHOWN_MAX:
        lines.append(f"- and {len(red) - FAILURES_SHOWN_MAX} more, all in `report.html`")
    return ["\n".join(lines)]


def _skips(reasons: list[SkipReason]) -> str:
    if not reasons:
        return ""
    lines = [f"### Skipped ({sum(reason.tests for reason in reasons)})", ""]
    lines.extend(
        f"- {reason.tests} in {escaped(', '.join(reason.suites))}: {escaped(reason.text[:300])}"
        for reason in reasons[:REASONS_SHOWN_MAX]
    )
    if len(reasons) > REASONS_SHOWN_MAX:
        lines.append(f"- and {len(reasons) - REASONS_SHOWN_MAX} more reasons, all in `junit`")
    return "\n".join(lines)


def _coverage(coverage: Mapping[str, Any]) -> list[str]:
    short = [file for file in coverage["files"] if not file["is_reached"]]
    if coverage["status"] == "not_run" or not coverage["files"]:
        return []
    total = len(coverage["files"])
    head = f"### Coverage: {total - len(short)} of {total} gated files reach their floors"
    rows = ["| file | class | lines | floor | branches | floor |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    rows.extend(
        f"| {code(file['path'])} | {escaped(file['class'])} | {file['line_percent']:.2f} % | {file['line_floor']:g} % "
        f"| {file['branch_percent']:.2f} % | {file['branch_floor']:g} % |"
        for file in short
    )
    return ["\n".join([head, "", *rows]) if short else head]


def _passed(gates: Iterable[Mapping[str, Any]]) -> str:
    names = [f"{gate['name']} ({escaped(gate['actual'])})" for gate in gates if gate["status"] == "passed"]
    return f"Gates passed: {'; '.join(names)}." if names else ""


def _provenance(document: Mapping[str, Any]) -> str:
    provenance = document["provenance"]
    commit = provenance["commit"][:12] or "unknown"
    dirty = " with uncommitted changes" if provenance["dirty"] else ""
    missing = document["artifact_index"]["missing_count"]
    plan = code(provenance["plan_digest"][:12])
    return (
        f"<sub>Commit {code(commit)}{dirty}, run {code(document['run_id'])}, plan {plan}, "
        f"{missing} artifacts missing.</sub>"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
