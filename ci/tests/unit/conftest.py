"""Fakes of the runner's own interfaces: a clock that only moves when told, and suites that do as they are told."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from confidence.execution.run_directory import RunDirectory
from confidence.execution.suite_run import Workshop
from confidence.model.endings import LeakedProcess
from confidence.model.plan import Plan, Priority, Provenance, PytestSelection, SuiteSpec

NOWHERE = Provenance(commit="none", dirty=False, branch="none", python="3.11", versions={}, machine="fake", cores=2)


@dataclass
class FakeClock:
    """Time that passes only while somebody rests; something may happen meanwhile."""

    seconds: float = 0.0
    meanwhile: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 8, 30, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def rest(self, seconds: float) -> None:
        self.seconds += seconds
        self.meanwhile()


@dataclass
class FakeProcess:
    """A suite's processes, which end when their time has come, or when they are told to and listen."""

    clock: FakeClock
    ends_at: float = 1.0
    status: int = 0
    heeds_sigterm: bool = True
    leaves_behind: bool = False
    calls: list[str] = field(default_factory=list)
    ended_with: int | None = None
    orphan_lives: bool = False

    def exit_status(self) -> int | None:
        if self.ended_with is None and self.clock.seconds >= self.ends_at:
            self.ended_with = self.status
            self.orphan_lives = self.leaves_behind
        return self.ended_with

    def note_members(self) -> None:
        self.calls.append("note")

    def members(self) -> Sequence[LeakedProcess]:
        alive = [] if self.exit_status() is not None else [LeakedProcess(1, "command")]
        return [*alive, LeakedProcess(2, "orphan")] if self.orphan_lives else alive

    def dump_stacks(self, path: Path) -> bool:
        self.calls.append("stacks")
        path.write_text("stacks", encoding="utf-8")
        return True

    def terminate(self) -> None:
        self.calls.append("terminate")
        if self.heeds_sigterm:
            self._end(-15)

    def kill(self) -> None:
        self.calls.append("kill")
        self._end(-9)

    def _end(self, status: int) -> None:
        self.ended_with = status if self.ended_with is None else self.ended_with
        self.orphan_lives = False


@dataclass
class FakeLauncher:
    """Hands out prepared processes by suite, and remembers with what they were started."""

    clock: FakeClock
    prepared: dict[str, FakeProcess] = field(default_factory=dict)
    environments: dict[str, Mapping[str, str]] = field(default_factory=dict)
    started_at: dict[str, float] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        marker: Mapping[str, str],
    ) -> FakeProcess:
        assert folder.is_dir()
        suite = marker["CONFIDENCE_SUITE"]
        if suite in self.refuses:
            raise FileNotFoundError(2, "No such file or directory", command[0])
        log.touch()
        self.environments[suite] = environment
        self.started_at[suite] = self.clock.seconds
        return self.prepared.setdefault(suite, FakeProcess(self.clock, ends_at=self.clock.seconds + 1))


MakeSpec = Callable[..., SuiteSpec]
MakePlan = Callable[..., Plan]
MakeShop = Callable[..., Workshop]


@pytest.fixture
def clock() -> FakeClock:
    """A clock that tests move."""
    return FakeClock()


@pytest.fixture
def launcher(clock: FakeClock) -> FakeLauncher:
    """A launcher whose suites do as they are told."""
    return FakeLauncher(clock)


@pytest.fixture
def make_spec() -> MakeSpec:
    """Makes a suite of pytest, with any setting changed."""

    def make(name: str = "till", **changes: Any) -> SuiteSpec:
        spec = SuiteSpec(name=name, priority=Priority.P0, pytest=PytestSelection(("tests",)))
        return dataclasses.replace(spec, **changes)

    return make


@pytest.fixture
def make_plan() -> MakePlan:
    """Makes a sealed plan of these suites."""

    def make(*suites: SuiteSpec, **changes: Any) -> Plan:
        plan = Plan(
            run_id="run",
            tier="quick",
            created_at="2026-11-21T08:30:00Z",
            budget_seconds=60.0,
            suites=suites,
            gates=(),
            overrides=(),
            provenance=NOWHERE,
            config_digest="c",
            selected=tuple(spec.name for spec in suites),
        )
        return dataclasses.replace(plan, **changes).sealed()

    return make


@pytest.fixture
def make_shop(tmp_path: Path, clock: FakeClock, launcher: FakeLauncher, make_plan: MakePlan) -> MakeShop:
    """Makes what suites are run with."""

    def make(*suites: SuiteSpec, inherited: Mapping[str, str] | None = None) -> Workshop:
        return Workshop(
            tree=tmp_path,
            plan=make_plan(*suites),
            directory=RunDirectory.create(tmp_path / "artifacts", "run"),
            launcher=launcher,
            clock=clock,
            python="python",
            coverage_rcfile=tmp_path / "pyproject.toml",
            stop_grace_seconds=5.0,
            inherited=inherited or {},
        )

    return make
