"""Assembles the evidence of one run directory: the same directory always gives the same evidence."""

import dataclasses
from pathlib import Path

from confidence.evidence.artifacts import index_artifacts, required_globs
from confidence.evidence.browser_files import index_browser_files
from confidence.evidence.coverage_report import read_coverage, read_gated_files
from confidence.evidence.documents import read_document
from confidence.evidence.journal import Identity
from confidence.evidence.junit_writing import write_junit
from confidence.evidence.manifest import ManifestCheck, check_manifest
from confidence.evidence.merge_record import MERGE_FILE, MergeRecord
from confidence.evidence.suite_evidence import read_suites
from confidence.model.endings import RunEnding
from confidence.model.evidence import Evidence, EvidenceProblem, Flaw
from confidence.model.plan import Plan, Provenance

BASELINE = "baseline/tests.txt"
_UNKNOWN_PROVENANCE = Provenance(commit="", dirty=True, branch="", python="", versions={}, machine="", cores=0)


def assemble(run_dir: Path, root: Path | None = None) -> Evidence:
    """Read, check and fold a run directory; write its JUnit and coverage files.

    A flaw never raises: it becomes a problem that forbids a verdict, and the rest is still shown.

    Args:
        run_dir: the bundle.
        root: the repository whose sources the coverage speaks of; the current directory when not given.
    """
    root = root or Path.cwd()
    manifest = check_manifest(run_dir)
    plan, plan_problems = _read_plan(run_dir)
    merged, merge_problems = _read_merge(run_dir)
    identity = Identity(frozenset({plan.run_id, *merged.run_ids}), plan.plan_digest)
    suites, suite_problems = read_suites(run_dir, plan, identity)
    run, run_problems = _read_run(run_dir, identity)
    evidence = Evidence(
        run_dir=run_dir,
        plan=plan,
        suites=suites,
        run=run,
        problems=(
            *plan_problems,
            *merge_problems,
            *merged.problems,
            *run_problems,
            *suite_problems,
            *manifest.problems,
        ),
        baseline=_read_baseline(run_dir),
        where=_as_typed(run_dir, root),
        sources=merged.sources,
    )
    return _with_files(evidence, manifest, root)


def _with_files(evidence: Evidence, manifest: ManifestCheck, root: Path) -> Evidence:
    """Add coverage, browser files, JUnit and, when all of these are written, the artifact index."""
    run_dir, plan, suites = evidence.run_dir, evidence.plan, evidence.suites
    coverage = read_coverage(run_dir, plan, suites, root)
    browser_files, browser_problems = index_browser_files(run_dir, suites, evidence.where)
    write_junit(run_dir, plan.run_id, suites)
    required = required_globs(plan, suites, coverage, merged=bool(evidence.sources))
    return dataclasses.replace(
        evidence,
        coverage=coverage,
        gated_files=read_gated_files(run_dir, plan, root),
        browser_files=browser_files,
        problems=(*evidence.problems, *browser_problems),
        artifacts=index_artifacts(run_dir, required, manifest.missing),
    )


def _as_typed(run_dir: Path, root: Path) -> str:
    """The path from the repository; of a bundle that lies elsewhere only its name: its path is private."""
    inside = run_dir.absolute().is_relative_to(root.absolute())
    return run_dir.absolute().relative_to(root.absolute()).as_posix() if inside else run_dir.name


def _read_plan(run_dir: Path) -> tuple[Plan, list[EvidenceProblem]]:
    """The frozen plan; where there is none, an empty one, which nothing can satisfy."""
    plan, problem = read_document(run_dir / "plan.json", "plan.json", Plan.from_json)
    if plan is None:
        return _no_plan(run_dir), [problem] if problem else []
    if plan.computed_digest() != plan.plan_digest:
        return plan, [EvidenceProblem(Flaw.CORRUPT, "plan.json", "plan.json was changed after it was frozen")]
    return plan, []


def _no_plan(run_dir: Path) -> Plan:
    return Plan(
        run_id=run_dir.name,
        tier="unknown",
        created_at="1970-01-01T00:00:00Z",
        budget_seconds=0.0,
        suites=(),
        gates=(),
        overrides=(),
        provenance=_UNKNOWN_PROVENANCE,
        config_digest="",
    )


def _read_merge(run_dir: Path) -> tuple[MergeRecord, list[EvidenceProblem]]:
    if not (run_dir / MERGE_FILE).exists():
        return MergeRecord(), []
    record, problem = read_document(run_dir / MERGE_FILE, MERGE_FILE, MergeRecord.from_json)
    return record or MergeRecord(), [problem] if problem else []


def _read_run(run_dir: Path, identity: Identity) -> tuple[RunEnding | None, list[EvidenceProblem]]:
    run, problem = read_document(run_dir / "run.json", "run.json", RunEnding.from_json)
    if run is None:
        return None, [problem] if problem else []
    if run.run_id not in identity.run_ids:
        sentence = f"run.json belongs to run {run.run_id}, not to this one"
        return None, [EvidenceProblem(Flaw.STALE, "run.json", sentence)]
    return run, []


def _read_baseline(run_dir: Path) -> frozenset[str] | None:
    """The ids that must exist, one a line; empty lines and lines that begin with ``#`` say nothing."""
    path = run_dir / BASELINE
    if not path.is_file():
        return None
    lines = (line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))
