"""Brings in the JUnit files of a suite that another runner executed, and judges them by the same standards."""

from datetime import datetime
from pathlib import Path

from confidence.evidence.junit_reading import UnreadableJunitError, read_junit
from confidence.model.evidence import EvidenceProblem, Flaw, SuiteEvidence
from confidence.model.plan import Plan, SuiteSpec
from confidence.model.records import CaseRecord

# File systems and network clocks are not exact; an earlier run is minutes away, not seconds.
CLOCK_TOLERANCE_SECONDS = 5.0


def read_foreign(run_dir: Path, plan: Plan, spec: SuiteSpec) -> tuple[SuiteEvidence, tuple[EvidenceProblem, ...]]:
    """All test cases of ``junit/foreign/<suite>/*.xml``; a file that is stale or not whole is named and left out."""
    cases: dict[str, CaseRecord] = {}
    problems: list[EvidenceProblem] = []
    for path in sorted((run_dir / "junit" / "foreign" / spec.name).glob("*.xml")):
        source = path.relative_to(run_dir).as_posix()
        if _is_stale(path, plan):
            problems.append(EvidenceProblem(Flaw.STALE, source, f"{source} is older than this run"))
            continue
        try:
            found = read_junit(path, spec.name)
        except UnreadableJunitError as unreadable:
            problems.append(EvidenceProblem(Flaw.CORRUPT, source, f"{source} is no evidence: {unreadable}"))
            continue
        problems.extend(_twice(case, source) for case in found if case.id in cases)
        cases.update({case.id: case for case in found if case.id not in cases})
    return SuiteEvidence(spec=spec, cases=tuple(cases.values())), tuple(problems)


def _is_stale(path: Path, plan: Plan) -> bool:
    """A file from before the plan was frozen lay there, or was copied from an earlier run."""
    created_at = datetime.fromisoformat(plan.created_at)
    return path.stat().st_mtime < created_at.timestamp() - CLOCK_TOLERANCE_SECONDS


def _twice(case: CaseRecord, source: str) -> EvidenceProblem:
    sentence = f"{case.id} is reported again in {source}, after another file of {case.suite} reported it"
    return EvidenceProblem(Flaw.DUPLICATED, source, sentence)
