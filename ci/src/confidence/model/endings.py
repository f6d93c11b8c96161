"""How suites and the run itself ended, as the process that watched them from outside saw it."""

import enum
from dataclasses import dataclass
from typing import Any

from confidence.model.plan import Priority
from confidence.model.shapes import from_json, to_json


class Ending(enum.StrEnum):
    """Why a suite's processes are gone."""

    FINISHED = "finished"
    """The command ended by itself; its exit code says nothing about the tests yet."""
    TIMED_OUT = "timed_out"
    """The suite's deadline passed and the watchdog ended it."""
    IDLE = "idle"
    """No event came for the idle timeout and the watchdog ended it."""
    NOT_STARTED = "not_started"
    """Nothing was started: a dry run, or the run ended before its turn."""
    INTERRUPTED = "interrupted"
    """Somebody ended the run while the suite was at work."""
    INFRASTRUCTURE = "infrastructure"
    """The command could not be started, or the machine failed it (disk full)."""


@dataclass(frozen=True, slots=True)
class LeakedProcess:
    """A process of the suite that outlived the suite's command and was ended by the watchdog."""

    pid: int
    command: str
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SuiteEnding:
    """``suites/<suite>.json``: written once, whole, when nothing of the suite is alive any more."""

    suite: str
    priority: Priority
    command: tuple[str, ...]
    started_at: str
    finished_at: str
    seconds: float
    exit_code: int | None
    """The command's own exit code; nothing when a signal ended it or nothing was started."""
    signal: str | None
    ending: Ending
    sentence: str
    leaked_processes: tuple[LeakedProcess, ...] = ()
    log: str = ""
    """Path of the log relative to the run directory; empty when nothing was started."""
    stacks: str = ""
    attempt: int = 1
    plan_digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the file."""
        written: dict[str, Any] = to_json(self)
        return written

    @staticmethod
    def from_json(value: Any) -> "SuiteEnding":
        """Read it back.

        Raises:
            MalformedRecordError: a member is missing or has another type.
        """
        return from_json(SuiteEnding, value, "suite ending")


@dataclass(frozen=True, slots=True)
class RunEnding:
    """``run.json``: written when the last suite has ended, before anything is judged.

    A run directory without it belongs to a run that was cut off (``kill -9``, power): it is incomplete.
    """

    run_id: str
    started_at: str
    finished_at: str
    seconds: float
    interrupted: bool
    sentence: str
    tracked_digest: str
    """Digest of the tracked files' state after the last suite; the plan has the one before."""
    tracked_changes: tuple[str, ...] = ()
    """Tracked files that were changed meanwhile, by name."""
    infrastructure: bool = False

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the file."""
        written: dict[str, Any] = to_json(self)
        return written

    @staticmethod
    def from_json(value: Any) -> "RunEnding":
        """Read it back.

        Raises:
            MalformedRecordError: a member is missing or has another type.
        """
        return from_json(RunEnding, value, "run.json")
