"""Records: what happened to each test, folded from events, attempt by attempt and phase by phase."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


class CaseOutcome(enum.StrEnum):
    """How a test ended; only `PASSED` is proof that what it claims holds."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    LOST = "lost"
    FLAKY = "flaky"


# A test that is not proved and was not left out on purpose.
RED_OUTCOMES = frozenset(
    {
        CaseOutcome.FAILED,
        CaseOutcome.ERROR,
        CaseOutcome.TIMED_OUT,
        CaseOutcome.XPASSED,
        CaseOutcome.LOST,
        CaseOutcome.FLAKY,
    }
)


class ProblemKind(enum.StrEnum):
    """What JUnit readers tell apart: the claim did not hold, or something around it broke."""

    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong in one phase of one attempt."""

    kind: ProblemKind
    phase: str
    text: str
    timed_out: bool = False

    @property
    def headline(self) -> str:
        """The last line of the report that says something: where pytest and Python put the reason."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        reasons = [line[1:].strip() for line in lines if line.startswith("E ")]
        return (reasons or lines[-1:] or [f"{self.phase} went wrong without a report"])[0][:500]


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """One of pytest's three phases of a test."""

    phase: str
    outcome: str
    seconds: float
    longrepr: str = ""
    stdout_tail: str = ""
    stderr_tail: str = ""
    log_tail: str = ""
    wasxfail: str | None = None

    @property
    def problem(self) -> Problem | None:
        """A failed call is a failure; anything else that breaks is an error."""
        if self.outcome not in {"failed", "timed_out"}:
            return None
        kind = ProblemKind.FAILURE if self.phase == "call" else ProblemKind.ERROR
        return Problem(kind=kind, phase=self.phase, text=self.longrepr, timed_out=self.outcome == "timed_out")


@dataclass(frozen=True)
class Attempt:
    """One execution of a test in one process."""

    number: int
    process: str
    started_at: str
    is_finished: bool
    phases: tuple[PhaseRecord, ...] = ()
    reported_outcome: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def seconds(self) -> float:
        """The time of all phases, set-up and teardown included."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """A failed call and a broken teardown of one test stay two problems of one test."""
        return tuple(problem for phase in self.phases if (problem := phase.problem))

    @cached_property
    def outcome(self) -> CaseOutcome:
        """Derived from the phases; a test that was never seen to end is lost, whatever its phases said."""
        problems = self.problems
        if any(problem.timed_out for problem in problems):
            return CaseOutcome.TIMED_OUT
        if any(problem.kind is ProblemKind.FAILURE for problem in problems):
            return CaseOutcome.FAILED
        if problems:
            return CaseOutcome.ERROR
        if not self.is_finished:
            return CaseOutcome.LOST
        return self._outcome_without_problem()

    def _outcome_without_problem(self) -> CaseOutcome:
        """Skips and expected failures; without a call that passed there is nothing that proves a pass."""
        if skipped := next((phase for phase in self.phases if phase.outcome == "skipped"), None):
            return CaseOutcome.SKIPPED if skipped.wasxfail is None else CaseOutcome.XFAILED
        call = next((phase for phase in self.phases if phase.phase == "call"), None)
        if call is None or call.outcome != "passed":
            return CaseOutcome.LOST
        if call.wasxfail is not None:
            return CaseOutcome.XPASSED
        contradicted = self.reported_outcome in {"failed", "error", "timed_out"}
        return CaseOutcome.ERROR if contradicted else CaseOutcome.PASSED


@dataclass(frozen=True)
class CaseRecord:
    """One test of one suite with all its attempts; without an attempt it was collected and never started."""

    suite: str
    id: str
    attempts: tuple[Attempt, ...] = ()

    @cached_property
    def outcome(self) -> CaseOutcome:
        """The last attempt's outcome; a pass after anything else is flaky, never a plain pass."""
        if not self.attempts:
            return CaseOutcome.LOST
        outcomes = [attempt.outcome for attempt in self.attempts]
        if outcomes[-1] is CaseOutcome.PASSED and set(outcomes) & RED_OUTCOMES:
            return CaseOutcome.FLAKY
        return outcomes[-1]

    @property
    def is_red(self) -> bool:
        """Not proved, and not left out on purpose."""
        return self.outcome in RED_OUTCOMES

    @property
    def seconds(self) -> float:
        """The time of all attempts together."""
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def last(self) -> Attempt | None:
        """The newest attempt, if the test was started at all."""
        return self.attempts[-1] if self.attempts else None

    @property
    def skip_reason(self) -> str:
        """Why it was skipped, or why it is expected to fail; empty for any other test."""
        phases = self.last.phases if self.last else ()
        skipped = next((phase for phase in phases if phase.outcome == "skipped"), None)
        return "" if skipped is None else (skipped.wasxfail or skipped.longrepr)

    @property
    def properties(self) -> Mapping[str, Any]:
        """What the newest attempt recorded about itself."""
        return self.attempts[-1].properties if self.attempts else {}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests ended how; every test is counted in exactly one class, so the classes add up to the total."""

    total: int = 0
    passed: int = 0
    failed: int = 0
    timed_out: int = 0
    flaky: int = 0
    skipped: int = 0
    lost: int = 0


_COUNTED_AS = {
    CaseOutcome.PASSED: "passed",
    CaseOutcome.FAILED: "failed",
    CaseOutcome.ERROR: "failed",
    CaseOutcome.XPASSED: "failed",
    CaseOutcome.TIMED_OUT: "timed_out",
    CaseOutcome.FLAKY: "flaky",
    CaseOutcome.SKIPPED: "skipped",
    CaseOutcome.XFAILED: "skipped",
    CaseOutcome.LOST: "lost",
}


def count(cases: "tuple[CaseRecord, ...] | list[CaseRecord]") -> Counts:
    """Count tests by outcome: errors and unexpected passes as failed, expected failures as skipped."""
    tally = dict.fromkeys(("passed", "failed", "timed_out", "flaky", "skipped", "lost"), 0)
    for case in cases:
        tally[_COUNTED_AS[case.outcome]] += 1
    return Counts(total=len(cases), **tally)
