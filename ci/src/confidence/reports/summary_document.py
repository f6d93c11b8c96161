"""The content of ``summary.json``: what a machine reads to know the verdict and its reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidence.model.endings import Ending
from confidence.model.evidence import ArtifactEntry, Evidence, SuiteEvidence
from confidence.model.floors import COVERAGE_GATE, file_floors
from confidence.model.plan import GateSpec
from confidence.model.records import CaseOutcome, Counts
from confidence.model.shapes import to_json
from confidence.model.verdicts import OverallStatus, Verdict, causes, overall_status

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """The verdict of a run as the command line needs it, and the document that was written."""

    run_id: str
    run_dir: Path
    status: OverallStatus
    causes: tuple[OverallStatus, ...]
    counts: Counts
    verdicts: tuple[Verdict, ...]
    weakened: bool
    document: Mapping[str, Any]


def summarise(evidence: Evidence, verdicts: Sequence[Verdict], artifacts: Sequence[ArtifactEntry]) -> Summary:
    """Bring evidence and verdicts together. The same evidence always gives the same document."""
    plan = evidence.plan
    found = causes(
        verdicts,
        interrupted=evidence.is_interrupted,
        infrastructure=evidence.is_infrastructure,
        dry_run=plan.dry_run,
    )
    status = overall_status(found)
    weakened = plan.weakened or any(verdict.weakened for verdict in verdicts)
    document = {
        "schema_version": SCHEMA_VERSION,
        "run_id": plan.run_id,
        "timestamp": evidence.run.finished_at if evidence.run else plan.created_at,
        "tier": plan.tier,
        "overall_status": status.value,
        "causes": [cause.value for cause in found],
        "counts": to_json(evidence.counts),
        "suite_results": [_suite(suite) for suite in evidence.suites],
        "gates": [_gate(verdict) for verdict in verdicts],
        "coverage_summary": coverage_summary(evidence),
        "flake_summary": _flakes(evidence),
        "drill_summary": {"status": "not_run"},
        "mutation_summary": {"status": "not_run"},
        "artifact_index": {
            "missing_count": sum(entry.required and not entry.exists for entry in artifacts),
            "entries": to_json(list(artifacts)),
        },
        "evidence_problems": to_json(list(evidence.problems)),
        "provenance": _provenance(evidence, weakened=weakened),
    }
    return Summary(plan.run_id, evidence.run_dir, status, found, evidence.counts, tuple(verdicts), weakened, document)


def suite_status(suite: SuiteEvidence) -> str:
    """One word for one suite."""
    endings = {ending.ending for ending in suite.endings}
    for ending, word in (
        (Ending.INTERRUPTED, "interrupted"),
        (Ending.INFRASTRUCTURE, "infrastructure"),
        (Ending.TIMED_OUT, "timed_out"),
        (Ending.IDLE, "timed_out"),
    ):
        if ending in endings:
            return word
    if not endings or Ending.NOT_STARTED in endings:
        return "not_run"
    if suite.is_green:
        return "pass"
    return "fail" if suite.red_cases or suite.collect_failures or suite.executed else "no_evidence"


def _suite(suite: SuiteEvidence) -> dict[str, Any]:
    last = suite.endings[-1] if suite.endings else None
    return {
        "name": suite.name,
        "priority": suite.spec.priority.value,
        "status": suite_status(suite),
        "counts": to_json(suite.counts),
        "min_tests": suite.spec.min_tests,
        "seconds": round(suite.seconds, 3),
        "started_at": suite.endings[0].started_at if suite.endings else None,
        "finished_at": last.finished_at if last else None,
        "ending": last.ending.value if last else None,
        "exit_code": last.exit_code if last else None,
        "signal": last.signal if last else None,
        "sentence": last.sentence if last else "left no report",
        "command": list(last.command) if last else list(suite.spec.command),
        "log": last.log if last else "",
        "stacks": last.stacks if last else "",
        "crashed_workers": [crash.worker for crash in suite.crashes],
        "leaked_processes": to_json(last.leaked_processes) if last else [],
        "workers": suite.spec.workers,
        "round": suite.spec.round,
        "repeats": suite.spec.repeats,
        "coverage": suite.spec.coverage,
    }


def _gate(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "status": verdict.outcome.value,
        "expected": verdict.expected,
        "actual": verdict.actual,
        "why": verdict.why,
        "next_command": verdict.next_command,
        "weakened": verdict.weakened,
    }


def coverage_summary(evidence: Evidence) -> dict[str, Any]:
    """Statements and branches, in total and file by file; the totals decide nothing."""
    coverage = evidence.coverage
    if coverage is None:
        return {"status": "not_run", "files": []}
    files = list(coverage.files.values())
    spec = next((gate for gate in evidence.plan.gates if gate.name == COVERAGE_GATE), GateSpec(COVERAGE_GATE))
    return {
        "status": "measured" if coverage.is_complete else "no_evidence",
        "suites": list(coverage.suites),
        "data_files": len(coverage.data_files),
        "json": coverage.json_path,
        "totals": {
            "files": len(files),
            "statements": sum(file.statements for file in files),
            "statements_covered": sum(file.statements_covered for file in files),
            "branches": sum(file.branches for file in files),
            "branches_covered": sum(file.branches_covered for file in files),
        },
        "files": [
            {
                "path": floor.path,
                "class": floor.class_name,
                "line_percent": floor.measured.line_percent if floor.measured else 0.0,
                "line_floor": floor.line_floor,
                "branch_percent": floor.measured.branch_percent if floor.measured else 0.0,
                "branch_floor": floor.branch_floor,
                "is_measured": floor.measured is not None,
                "is_reached": not floor.shortfalls,
                "missing_lines": list(floor.measured.missing_lines) if floor.measured else [],
            }
            for floor in (file_floors(evidence, spec) if coverage.is_complete else ())
        ],
        "problems": to_json(coverage.problems),
    }


def _flakes(evidence: Evidence) -> dict[str, Any]:
    """Counted per test execution, so that the rate has its denominator."""
    cases = [case for suite in evidence.suites for case in suite.cases]
    flaky = [case.id for case in cases if case.outcome is CaseOutcome.FLAKY]
    executions = sum(len(case.attempts) for case in cases)
    return {"status": "no_history", "flaky": len(flaky), "executions": executions, "tests": flaky}


def _provenance(evidence: Evidence, *, weakened: bool) -> dict[str, Any]:
    plan, run = evidence.plan, evidence.run
    return {
        "commit": plan.provenance.commit,
        "dirty": plan.provenance.dirty,
        "branch": plan.provenance.branch,
        "base": None,
        "python": plan.provenance.python,
        "versions": dict(plan.provenance.versions),
        "machine": plan.provenance.machine,
        "cores": plan.provenance.cores,
        "flags": {"dry_run": plan.dry_run, "weakened": weakened, "merged_from": list(evidence.sources)},
        "overrides": to_json(plan.overrides),
        "plan_digest": plan.plan_digest,
        "config_digest": plan.config_digest,
        "started_at": run.started_at if run else None,
        "finished_at": run.finished_at if run else None,
        "seconds": round(run.seconds, 3) if run else None,
    }
