"""Builds run directories as the runner leaves them, so that evidence, gates and reports can be tried on any of them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from confidence.model.endings import Ending, RunEnding, SuiteEnding
from confidence.model.events import (
    Artifact,
    Collected,
    CollectError,
    Event,
    Phase,
    PhaseOutcome,
    SessionFinished,
    SessionStarted,
    TestFinished,
    TestOutcome,
    TestPhase,
    TestStarted,
    WorkerCrashed,
    event_to_line,
)
from confidence.model.plan import GateSpec, Plan, Priority, Provenance, PytestSelection, SuiteSpec

START = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


@dataclass
class ProcessLog:
    """The event file of one process, written line by line."""

    path: Path
    suite: str
    process: str
    clock: datetime = START
    seq: int = 0

    held: list[str] | None = None
    """Lines that are written later, in one go."""

    def write(self, record: type[Event], **members: Any) -> None:
        self.seq += 1
        event = record(
            at=self.clock.isoformat(timespec="microseconds"),
            seq=self.seq,
            process=self.process,
            suite=self.suite,
            **members,
        )
        if self.held is not None:
            self.held.append(event_to_line(event))
            return
        with self.path.open("a", encoding="utf-8") as out:
            out.write(event_to_line(event))

    def collected(
        self, *ids: str, deselected: tuple[str, ...] = (), scenarios: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.write(Collected, ids=ids, deselected=deselected, scenarios=scenarios or {})

    def cannot_collect(self, file_id: str) -> None:
        self.write(CollectError, id=file_id, longrepr=f"ImportError while importing {file_id}")

    def started(self, case_id: str, attempt: int = 1) -> None:
        self.write(TestStarted, id=case_id, attempt=attempt)

    def phase(self, case_id: str, phase: Phase, outcome: PhaseOutcome, attempt: int = 1, **members: Any) -> None:
        seconds = members.pop("seconds", 0.01)
        self.clock += timedelta(seconds=seconds)
        self.write(TestPhase, id=case_id, attempt=attempt, phase=phase, outcome=outcome, seconds=seconds, **members)

    def finished(
        self, case_id: str, outcome: TestOutcome, attempt: int = 1, properties: Mapping[str, Any] | None = None
    ) -> None:
        self.write(
            TestFinished, id=case_id, attempt=attempt, outcome=outcome, seconds=0.03, properties=properties or {}
        )

    def passed(
        self, case_id: str, *, attempt: int = 1, seconds: float = 0.01, properties: Mapping[str, Any] | None = None
    ) -> None:
        self.started(case_id, attempt)
        self.phase(case_id, Phase.SETUP, PhaseOutcome.PASSED, attempt)
        self.phase(case_id, Phase.CALL, PhaseOutcome.PASSED, attempt, seconds=seconds)
        self.phase(case_id, Phase.TEARDOWN, PhaseOutcome.PASSED, attempt)
        self.finished(case_id, TestOutcome.PASSED, attempt, properties)

    def all_passed(self, ids: Iterable[str]) -> None:
        lines: list[str] = []
        self.held = lines
        for case_id in ids:
            self.passed(case_id)
        self.held = None
        with self.path.open("a", encoding="utf-8") as out:
            out.writelines(lines)

    def failed(
        self,
        case_id: str,
        *,
        attempt: int = 1,
        longrepr: str = "E   assert 1 == 2",
        teardown: str = "",
        outcome: PhaseOutcome = PhaseOutcome.FAILED,
        **members: Any,
    ) -> None:
        self.started(case_id, attempt)
        self.phase(case_id, Phase.SETUP, PhaseOutcome.PASSED, attempt)
        self.phase(case_id, Phase.CALL, outcome, attempt, longrepr=longrepr, **members)
        last = PhaseOutcome.FAILED if teardown else PhaseOutcome.PASSED
        self.phase(case_id, Phase.TEARDOWN, last, attempt, longrepr=teardown or None)
        self.finished(case_id, TestOutcome.FAILED, attempt)

    def skipped(self, case_id: str, reason: str = "not here", wasxfail: str | None = None) -> None:
        self.started(case_id)
        self.phase(case_id, Phase.SETUP, PhaseOutcome.SKIPPED, longrepr=reason, wasxfail=wasxfail)
        self.phase(case_id, Phase.TEARDOWN, PhaseOutcome.PASSED)
        self.finished(case_id, TestOutcome.SKIPPED if wasxfail is None else TestOutcome.XFAILED)

    def attached(self, case_id: str, kind: str, path: str) -> None:
        self.write(Artifact, id=case_id, attempt=1, kind=kind, path=path)

    def crashed(self, worker: str, *ids_running: str) -> None:
        self.write(WorkerCrashed, worker=worker, ids_running=ids_running)

    def end(self, exit_status: int = 0) -> None:
        self.write(SessionFinished, exit_status=exit_status, counts={})


@dataclass
class Bundle:
    """A run directory in the making; the plan is frozen when the first file is written."""

    path: Path
    plan: Plan
    logs: dict[tuple[str, str], ProcessLog] = field(default_factory=dict)

    def process(self, suite: str = "rules", process: str = "main", *, pid: int = 4711, **identity: Any) -> ProcessLog:
        """Open the event file of one process with its session."""
        path = self.path / "events" / suite / f"{process}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = ProcessLog(path, suite, process)
        members: dict[str, Any] = {
            "run_id": self.plan.run_id,
            "plan_digest": self.plan.plan_digest,
            "commit": self.plan.provenance.commit,
            "pid": pid,
            "argv": ("pytest",),
            "worker": process.startswith("gw"),
        }
        log.write(SessionStarted, **{**members, **identity})
        self.logs[suite, process] = log
        return log

    def ending(
        self, suite: str = "rules", ending: Ending = Ending.FINISHED, exit_code: int | None = 0, **members: Any
    ) -> None:
        """Say how a suite ended."""
        (self.path / "logs").mkdir(exist_ok=True)
        (self.path / "logs" / f"{suite}.log").write_text("1 passed\n", encoding="utf-8")
        record = SuiteEnding(
            suite=suite,
            priority=self.plan.suite(suite).priority
            if suite in {spec.name for spec in self.plan.suites}
            else Priority.P1,
            command=("python", "-m", "pytest"),
            started_at=START.isoformat(),
            finished_at=(START + timedelta(seconds=3)).isoformat(),
            seconds=3.0,
            exit_code=exit_code,
            signal=None,
            ending=ending,
            sentence=f"ended with exit code {exit_code}",
            log=f"logs/{suite}.log",
            plan_digest=self.plan.plan_digest,
        )
        self.write_json(f"suites/{suite}.json", replace(record, **members).to_json())

    def finish(self, **members: Any) -> Path:
        """Say how the run ended; the run directory is complete then."""
        record = RunEnding(
            run_id=self.plan.run_id,
            started_at=START.isoformat(),
            finished_at=(START + timedelta(seconds=4)).isoformat(),
            seconds=4.0,
            interrupted=False,
            sentence="all suites ended",
            tracked_digest=self.plan.tracked_digest,
        )
        self.write_json("run.json", replace(record, **members).to_json())
        return self.path

    def healthy_suite(self, suite: str = "rules", *names: str, properties: Mapping[str, Any] | None = None) -> None:
        """One suite with passing tests and a good end."""
        log = self.process(suite)
        ids = tuple(f"tests/{suite}.py::{name}" for name in names or ("test_a", "test_b"))
        log.collected(*ids)
        for case_id in ids:
            log.passed(case_id, properties=properties)
        log.end()
        self.ending(suite)

    def write_json(self, relative: str, value: Any) -> None:
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")


def a_suite(name: str = "rules", **members: Any) -> SuiteSpec:
    """The plan of one suite."""
    spec = SuiteSpec(name=name, priority=Priority.P0, pytest=PytestSelection(("tests",)))
    return replace(spec, **members)


def a_plan(
    *suites: SuiteSpec, gates: Sequence[GateSpec] = (), run_id: str = "20260115T083000Z-pr-fast-ab12cd", **members: Any
) -> Plan:
    """A frozen plan."""
    plan = Plan(
        run_id=run_id,
        tier="pr-fast",
        created_at=START.isoformat(),
        budget_seconds=90.0,
        suites=suites or (a_suite(),),
        gates=tuple(gates),
        overrides=(),
        provenance=Provenance(
            commit="0123456789abcdef0123456789abcdef01234567",
            dirty=False,
            branch="main",
            python="3.11.9",
            versions={"pytest": "9.2.0"},
            machine="two cores",
            cores=2,
        ),
        config_digest="c0ffee",
        tracked_digest="7ac7",
    )
    return replace(plan, **members).sealed()


@pytest.fixture
def suite_spec() -> Callable[..., SuiteSpec]:
    """Plans one suite."""
    return a_suite


@pytest.fixture(scope="session")
def bundle_at() -> Callable[..., Bundle]:
    """Opens a run directory with a frozen plan at some path."""

    def make(path: Path, *suites: SuiteSpec, **members: Any) -> Bundle:
        bundle = Bundle(path, a_plan(*suites, **members))
        bundle.write_json("plan.json", bundle.plan.to_json())
        return bundle

    return make


@pytest.fixture
def new_bundle(tmp_path: Path, bundle_at: Callable[..., Bundle]) -> Callable[..., Bundle]:
    """Opens a run directory below the test's own folder; ``name`` keeps several apart."""
    return lambda *suites, name="run", **members: bundle_at(tmp_path / name, *suites, **members)
