"""Writes events for whatever is no pytest session: a command that is one test, or the guard's own cases."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from confidence.execution.run_identity import RunIdentity
from confidence.model.events import (
    Collected,
    Event,
    Phase,
    PhaseOutcome,
    SessionFinished,
    SessionStarted,
    TestFinished,
    TestOutcome,
    TestPhase,
    TestStarted,
    event_to_line,
)

_PHASES = {TestOutcome.PASSED: PhaseOutcome.PASSED, TestOutcome.TIMED_OUT: PhaseOutcome.TIMED_OUT}


class EventWriter:
    """The log of one process that runs tests which pytest knows nothing of."""

    def __init__(self, identity: RunIdentity, process: str, now: Callable[[], datetime]) -> None:
        self._identity = identity
        self._process = process
        self._path = identity.events_dir / f"{process}.jsonl"
        self._now = now
        self._seq = 0
        self._counts: dict[str, int] = {}

    def begin(self, argv: Sequence[str], ids: Sequence[str]) -> None:
        """Say whose evidence this is, and which tests there are."""
        identity = self._identity
        origin = {"run_id": identity.run_id, "plan_digest": identity.plan_digest, "commit": identity.commit}
        self._tell(SessionStarted, **origin, pid=os.getpid(), argv=tuple(argv), worker=False)
        self._tell(Collected, ids=tuple(ids))

    def start_test(self, test: str) -> None:
        """A test begins."""
        self._tell(TestStarted, id=test, attempt=1)

    def finish_test(self, test: str, outcome: TestOutcome, seconds: float, *, why: str = "", output: str = "") -> None:
        """A test is over."""
        phase = _PHASES.get(outcome, PhaseOutcome.FAILED)
        about: dict[str, Any] = {"id": test, "attempt": 1, "seconds": round(seconds, 6)}
        details = {"longrepr": why or None, "stdout_tail": output or None}
        self._tell(TestPhase, **about, phase=Phase.CALL, outcome=phase, **details)
        self._tell(TestFinished, **about, outcome=outcome)
        self._counts[outcome.value] = self._counts.get(outcome.value, 0) + 1

    def end(self, exit_status: int) -> None:
        """The process ends in an orderly way."""
        self._tell(SessionFinished, exit_status=exit_status, counts=self._counts)

    def _tell(self, event: Callable[..., Event], **members: Any) -> None:
        self._seq += 1
        at = self._now().isoformat(timespec="microseconds")
        suite = self._identity.suite
        line = event_to_line(event(at=at, seq=self._seq, process=self._process, suite=suite, **members))
        with self._path.open("a", encoding="ascii") as log:
            log.write(line)
