"""What a suite is started with: one command line, and an environment in which nothing of the caller's can weaken it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confidence.execution.run_directory import RunDirectory
from confidence.model.plan import EvidenceKind, Plan, SuiteSpec

# `PYTEST_ADDOPTS=-k nothing` would empty every suite, `PYTHONOPTIMIZE=1` every assert outside of test files; a coverage
# or a run around this one must not leak into it.
_NOT_HANDED_DOWN = ("CONFIDENCE_", "PYTEST_", "COVERAGE_", "PYTHONOPTIMIZE")


@dataclass(frozen=True, slots=True)
class SuiteHome:
    """The folders that a suite works in."""

    tree: Path
    directory: RunDirectory
    temporary: Path
    python: str
    coverage_rcfile: Path


def command_of(spec: SuiteSpec, home: SuiteHome) -> tuple[str, ...]:
    """The program and its arguments."""
    if spec.pytest is None:
        return tuple(home.python if part == "{python}" else part for part in spec.command)
    return (
        *(home.python, "-m", "pytest", *spec.pytest.paths, *spec.pytest.args),
        *("-p", "confidence.pytest_plugin"),
        *("-n", str(spec.workers), "--dist", spec.dist if spec.workers else "no", "--max-worker-restart=0"),
        *(f"--timeout={spec.timeout_test_seconds:g}", "--timeout-method=signal"),
        *("-o", "xfail_strict=true", "-p", "no:cacheprovider"),
        f"--basetemp={home.temporary / 'pytest'}",
    )


def marker_of(plan: Plan, spec: SuiteSpec, home: SuiteHome) -> dict[str, str]:
    """The part of the environment by which a process of the suite is recognised.

    The folder belongs to it: a run of the same name in another tree is somebody else's.
    """
    return {
        "CONFIDENCE_RUN_ID": plan.run_id,
        "CONFIDENCE_SUITE": spec.name,
        "CONFIDENCE_RUN_DIR": str(home.directory.path),
    }


def environment_of(plan: Plan, spec: SuiteSpec, home: SuiteHome, inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of the suite's processes."""
    path = home.directory.path
    kept = {name: value for name, value in inherited.items() if not name.startswith(_NOT_HANDED_DOWN)}
    return {
        **kept,
        **marker_of(plan, spec, home),
        "CONFIDENCE_PLAN_DIGEST": plan.plan_digest,
        "CONFIDENCE_COMMIT": plan.provenance.commit,
        "CONFIDENCE_EVENTS_DIR": str(path / "events" / spec.name),
        "CONFIDENCE_JUNIT_DIR": str(path / "junit" / "foreign" / spec.name),
        "CONFIDENCE_TRACES_DIR": str(path / "traces" / spec.name),
        "CONFIDENCE_SCREENSHOTS_DIR": str(path / "screenshots" / spec.name),
        "CONFIDENCE_SERVER_DIR": str(path / "server" / spec.name),
        "CONFIDENCE_STACKS_DIR": str(home.temporary / "stacks"),
        "CONFIDENCE_TMP_DIR": str(home.temporary),
        "PYTHONUNBUFFERED": "1",
        **_coverage_of(spec, home),
        **spec.environment,
    }


def make_folders(spec: SuiteSpec, home: SuiteHome) -> None:
    """Make the folders that the environment names."""
    path = home.directory.path
    folders = ["events", "traces", "screenshots", "server"]
    if spec.evidence is EvidenceKind.JUNIT:
        folders.append("junit/foreign")
    for folder in folders:
        (path / folder / spec.name).mkdir(parents=True, exist_ok=True)
    (home.temporary / "stacks").mkdir(parents=True, exist_ok=True)


def _coverage_of(spec: SuiteSpec, home: SuiteHome) -> dict[str, str]:
    """Every Python process of the suite measures itself, servers and workers too, each into a file of its own."""
    if not spec.coverage:
        return {}
    return {
        "COVERAGE_FILE": os.fspath(home.directory.path / "coverage" / "data" / f".coverage.{spec.name}"),
        "COVERAGE_PROCESS_START": os.fspath(home.coverage_rcfile),
    }
