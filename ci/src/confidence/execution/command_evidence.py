"""A command that runs no tests of its own is one test: it passes when it ends with 0. Its events are written here."""

from collections.abc import Sequence
from pathlib import Path

from confidence.execution.event_writer import EventWriter
from confidence.model.endings import Ending
from confidence.model.events import TestOutcome

PROCESS = "runner"
_TAIL_BYTES = 4_000
_OUTCOMES = {Ending.TIMED_OUT: TestOutcome.TIMED_OUT, Ending.IDLE: TestOutcome.TIMED_OUT}


class CommandEvidence:
    """The only test of a suite that is a command."""

    def __init__(self, suite: str, writer: EventWriter) -> None:
        self._id = f"{suite}::command"
        self._writer = writer

    def begin(self, command: Sequence[str]) -> None:
        """The command was started."""
        self._writer.begin(command, [self._id])
        self._writer.start_test(self._id)

    def end(self, ending: Ending, exit_code: int | None, seconds: float, log: Path) -> None:
        """The command is gone; one that somebody interrupted stays unfinished, and so is lost."""
        if ending is Ending.FINISHED:
            outcome = TestOutcome.PASSED if exit_code == 0 else TestOutcome.FAILED
        elif ending in _OUTCOMES:
            outcome = _OUTCOMES[ending]
        else:
            return
        passed = outcome is TestOutcome.PASSED
        output = "" if passed else _tail_of(log)
        why = "" if passed else f"the command ended with {exit_code}"
        self._writer.finish_test(self._id, outcome, seconds, why=why, output=output)
        self._writer.end(0 if passed else 1)


def _tail_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")
