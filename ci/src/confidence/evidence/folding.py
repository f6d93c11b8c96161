"""Folds the events of a suite's processes into one record per test; cost grows with the number of events, no faster."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field

from confidence.evidence.journal import Journal
from confidence.model.events import (
    Artifact,
    Collected,
    CollectError,
    Event,
    SessionFinished,
    SessionStarted,
    TestFinished,
    TestPhase,
    TestStarted,
    WorkerCrashed,
)
from confidence.model.evidence import (
    AttachedFile,
    CollectFailure,
    Crash,
    EvidenceProblem,
    Flaw,
    SessionRecord,
    SuiteEvidence,
)
from confidence.model.plan import SuiteSpec
from confidence.model.records import Attempt, CaseRecord, PhaseRecord


@dataclass(slots=True)
class _OpenAttempt:
    """An attempt while its lines are being read."""

    number: int
    process: str
    source: str
    started_at: str
    phases: list[PhaseRecord] = field(default_factory=list)
    finished: TestFinished | None = None

    def closed(self) -> Attempt:
        return Attempt(
            number=self.number,
            process=self.process,
            started_at=self.started_at,
            is_finished=self.finished is not None,
            phases=tuple(self.phases),
            reported_outcome=self.finished.outcome.value if self.finished else None,
            properties=self.finished.properties if self.finished else {},
        )


@dataclass(slots=True)
class _Fold:
    """All that is known about a suite so far."""

    attempts: dict[str, list[_OpenAttempt]] = field(default_factory=dict)
    open: dict[tuple[str, str, int], _OpenAttempt] = field(default_factory=dict)
    collected: dict[str, None] = field(default_factory=dict)
    deselected: dict[str, None] = field(default_factory=dict)
    scenarios: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    collect_failures: dict[str, CollectFailure] = field(default_factory=dict)
    crashes: list[Crash] = field(default_factory=list)
    attachments: list[AttachedFile] = field(default_factory=list)
    problems: list[EvidenceProblem] = field(default_factory=list)

    def take(self, event: Event, source: str) -> None:
        """Take in one event of one file."""
        match event:
            case TestPhase():
                self._phase(event, source)
            case TestStarted():
                self._start(event, source)
            case TestFinished():
                self._finish(event, source)
            case Collected():
                self.collected.update(dict.fromkeys(event.ids))
                self.deselected.update(dict.fromkeys(event.deselected))
                self.scenarios.update(event.scenarios)
            case Artifact():
                self.attachments.append(AttachedFile(event.id, event.attempt, event.kind, event.path))
            case _:
                self._process(event, source)

    def _process(self, event: Event, source: str) -> None:
        """What a process says about itself rather than about a test."""
        match event:
            case SessionStarted():
                self._session(event, source)
            case SessionFinished():
                self._end_session(event, source)
            case CollectError():
                self.collect_failures.setdefault(event.id, CollectFailure(event.id, event.longrepr))
            case WorkerCrashed():
                self.crashes.append(Crash(event.worker, event.ids_running))
            case _:
                raise AssertionError(f"an event that nobody folds: {event}")

    def _session(self, event: SessionStarted, source: str) -> None:
        if source in self.sessions:
            self.problems.append(
                EvidenceProblem(Flaw.DUPLICATED, source, f"{source} holds two sessions: two processes wrote one file")
            )
        self.sessions[source] = SessionRecord(event.process, event.pid, event.worker, event.at)

    def _end_session(self, event: SessionFinished, source: str) -> None:
        session = self.sessions[source]
        self.sessions[source] = dataclasses.replace(session, finished_at=event.at, exit_status=event.exit_status)

    def _start(self, event: TestStarted, source: str) -> None:
        attempt = _OpenAttempt(event.attempt, event.process, source, event.at)
        self.open[source, event.id, event.attempt] = attempt
        self.attempts.setdefault(event.id, []).append(attempt)

    def _phase(self, event: TestPhase, source: str) -> None:
        attempt = self.open.get((source, event.id, event.attempt))
        if attempt is None:
            self._orphan(source, event.id)
            return
        attempt.phases.append(
            PhaseRecord(
                phase=event.phase.value,
                outcome=event.outcome.value,
                seconds=event.seconds,
                longrepr=event.longrepr or "",
                stdout_tail=event.stdout_tail or "",
                stderr_tail=event.stderr_tail or "",
                log_tail=event.log_tail or "",
                wasxfail=event.wasxfail,
            )
        )

    def _finish(self, event: TestFinished, source: str) -> None:
        attempt = self.open.pop((source, event.id, event.attempt), None)
        if attempt is None:
            self._orphan(source, event.id)
            return
        attempt.finished = event

    def _orphan(self, source: str, case_id: str) -> None:
        sentence = f"{source} speaks of {case_id} as running, but never said that it started"
        self.problems.append(EvidenceProblem(Flaw.CORRUPT, source, sentence))


def fold(spec: SuiteSpec, journals: Iterable[Journal]) -> tuple[SuiteEvidence, tuple[EvidenceProblem, ...]]:
    """One suite's records. A test that was collected and never started stays in the list, without an attempt."""
    state = _Fold()
    for journal in journals:
        for event in journal.events:
            state.take(event, journal.path)
    cases = [_record(spec.name, case_id, state) for case_id in {**state.collected, **dict.fromkeys(state.attempts)}]
    evidence = SuiteEvidence(
        spec=spec,
        cases=tuple(cases),
        deselected=tuple(state.deselected),
        sessions=tuple(state.sessions.values()),
        collect_failures=tuple(state.collect_failures.values()),
        crashes=tuple(state.crashes),
        attachments=tuple(state.attachments),
        scenarios=state.scenarios,
    )
    return evidence, tuple(state.problems)


def _record(suite: str, case_id: str, state: _Fold) -> CaseRecord:
    """The attempts in the order in which they were made; one number in two processes is one attempt too many."""
    attempts = sorted(state.attempts.get(case_id, ()), key=lambda attempt: (attempt.number, attempt.started_at))
    numbers = [attempt.number for attempt in attempts]
    if len(set(numbers)) < len(numbers):
        sources = " and ".join(dict.fromkeys(attempt.source for attempt in attempts))
        sentence = f"{case_id} was executed more than once as the same attempt, in {sources}"
        state.problems.append(EvidenceProblem(Flaw.DUPLICATED, sources, sentence))
    return CaseRecord(suite, case_id, tuple(attempt.closed() for attempt in attempts))
