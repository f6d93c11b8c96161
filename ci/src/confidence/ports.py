"""What the runner needs from the world around it, as interfaces; ``adapters/`` has the real ones, tests bring fakes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from confidence.model.endings import LeakedProcess
from confidence.model.plan import Provenance


class Clock(Protocol):
    """Time, for people and for deadlines."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for deadlines."""
        ...

    def rest(self, seconds: float) -> None:
        """Let that much time pass; returns early when a signal comes in."""
        ...


class SuiteProcess(Protocol):
    """The processes of one suite: its command, and whatever that started."""

    def exit_status(self) -> int | None:
        """The command's exit status, negative for a signal, or nothing while it runs."""
        ...

    def note_members(self) -> None:
        """Remember who belongs to the suite now, so that one that hides later is still found."""
        ...

    def members(self) -> Sequence[LeakedProcess]:
        """The processes of the suite that are alive now, the command first."""
        ...

    def dump_stacks(self, path: Path) -> bool:
        """Ask every process that can for the stacks of its threads, and gather them in one file.

        Returns:
            Whether any process answered.
        """
        ...

    def terminate(self) -> None:
        """Ask every member to end."""
        ...

    def kill(self) -> None:
        """End every member at once."""
        ...


class Launcher(Protocol):
    """Starts the command of a suite."""

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        marker: Mapping[str, str],
    ) -> SuiteProcess:
        """Start it in a session of its own, its output going to the log.

        Args:
            command: the program and its arguments.
            folder: where it starts.
            environment: the whole environment.
            log: the file that stdout and stderr are appended to.
            marker: the members of the environment by which the suite's processes are recognised.

        Raises:
            OSError: it cannot be started.
        """
        ...


class SourceTree(Protocol):
    """The working tree that is judged."""

    def provenance(self) -> Provenance:
        """Commit, branch and machine."""
        ...

    def tracked_state(self) -> Mapping[str, str]:
        """The tracked files that differ from the commit, each with a digest of its present content."""
        ...
