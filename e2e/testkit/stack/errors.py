"""Why a stack is not there.

StackError
├── ProcessDiedError    a process ended although it was to stay
├── NotReadyError       a process did not become ready in time
└── CommandFailedError  a command of the product ended with a failure
"""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do what is asked; the sentence says why, with the end of the log where there is one."""


class ProcessDiedError(StackError):
    """A process ended although it was to stay."""

    def __init__(self, name: str, status: int, log_tail: str) -> None:
        super().__init__(f"{name} ended with status {status}. The end of its log:\n{log_tail or '(nothing)'}")


class NotReadyError(StackError):
    """A process did not become ready in time."""

    def __init__(self, name: str, seconds: float, reason: str, log_tail: str) -> None:
        super().__init__(
            f"{name} was not ready within {seconds:g} s: {reason}. The end of its log:\n{log_tail or '(nothing)'}"
        )


class CommandFailedError(StackError):
    """A command of the product ended with a failure."""

    def __init__(self, command: str, status: int, output: str) -> None:
        super().__init__(f"`{command}` ended with status {status}:\n{output.strip() or '(nothing said)'}")
