"""The lines of the append-only event log: what a pytest process says while it works, and nothing that it concludes.

Each line is one JSON object. Its ``event`` names the class, the other members are the fields. What was started and
never finished was lost, whatever the process's exit code said.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confidence.model.shapes import MalformedRecordError, from_json, to_json


class Phase(enum.StrEnum):
    """The three parts of a test."""

    SETUP = "setup"
    CALL = "call"
    TEARDOWN = "teardown"


class PhaseOutcome(enum.StrEnum):
    """How one part ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"


class TestOutcome(enum.StrEnum):
    """How one attempt of a test ended, as its own process saw it; lost and flaky are concluded later."""

    __test__ = False

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every line says: when, in which order within its process, and where."""

    at: str
    """UTC, ISO 8601 with microseconds and ``+00:00``."""
    seq: int
    """1, 2, 3 … within one file; a gap means a lost line."""
    process: str
    """``main``, ``controller``, ``gw0`` … or ``runner`` for a command that is judged by its exit code."""
    suite: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """The first line of every file: whose evidence this is."""

    run_id: str
    plan_digest: str
    commit: str
    pid: int
    argv: tuple[str, ...]
    worker: bool
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected(Event):
    """The ids that this process means to run (under xdist each worker collects all of them), and those set aside."""

    ids: tuple[str, ...]
    deselected: tuple[str, ...] = ()
    scenarios: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By id the names of its marks ``scenario``; an id without such a mark is left out, and so is the controller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectError(Event):
    """A file or class whose tests could not be collected."""

    id: str
    longrepr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStarted(Event):
    """A test begins."""

    __test__ = False

    id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPhase(Event):
    """One part of a test is over. The tails are the last 4 000 characters and only given when it did not pass."""

    __test__ = False

    id: str
    attempt: int
    phase: Phase
    outcome: PhaseOutcome
    seconds: float
    longrepr: str | None = None
    stdout_tail: str | None = None
    stderr_tail: str | None = None
    log_tail: str | None = None
    wasxfail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFinished(Event):
    """A test is over, with all its parts."""

    __test__ = False

    id: str
    attempt: int
    outcome: TestOutcome
    seconds: float
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Event):
    """A file that belongs to a test; the path is relative to the run directory."""

    id: str
    attempt: int
    kind: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCrashed(Event):
    """The controller saw a worker die, with these tests at work."""

    worker: str
    ids_running: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFinished(Event):
    """The last line of a file whose process ended in an orderly way; counts are of this process alone."""

    exit_status: int
    counts: Mapping[str, int]


EVENTS: Mapping[str, type[Event]] = {
    "session_started": SessionStarted,
    "collected": Collected,
    "collect_error": CollectError,
    "test_started": TestStarted,
    "test_phase": TestPhase,
    "test_finished": TestFinished,
    "artifact": Artifact,
    "worker_crashed": WorkerCrashed,
    "session_finished": SessionFinished,
}
_NAMES = {record: name for name, record in EVENTS.items()}


def event_to_line(event: Event) -> str:
    """One line of the log, with its line feed."""
    body = {"event": _NAMES[type(event)], **to_json(event)}
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")) + "\n"


def event_from_line(line: str) -> Event:
    """Read one line.

    Raises:
        MalformedRecordError: the line is no JSON object, names no known event, or lacks a member.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as unreadable:
        raise MalformedRecordError(f"no JSON object: {line[:60]!r}") from unreadable
    return event_from_json(value)


def event_from_json(value: Any) -> Event:
    """Read one event.

    Raises:
        MalformedRecordError: no known event, or a member is missing or has another type.
    """
    name = value.get("event") if isinstance(value, Mapping) else None
    record = EVENTS.get(name) if isinstance(name, str) else None
    if record is None:
        raise MalformedRecordError(f"no known event: {str(value)[:60]}")
    return from_json(record, value, str(name))
