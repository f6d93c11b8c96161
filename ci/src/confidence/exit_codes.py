"""The exit codes of the command: an interface that scripts rely on, so a number never changes its meaning."""

import enum
from collections.abc import Iterable


class ExitCode(enum.IntEnum):
    """What a command ended with. ``nox`` and ``make`` flatten these; whoever needs the cause reads ``summary.json``."""

    GREEN = 0
    GATE_VIOLATED = 1
    USAGE = 2
    NO_EVIDENCE = 3
    INFRASTRUCTURE = 4
    INTERRUPTED = 5


MEANINGS: dict[ExitCode, str] = {
    ExitCode.GREEN: "Every planned suite ran, and every gate passed on complete evidence of this run.",
    ExitCode.GATE_VIOLATED: "A gate is violated: the evidence is there, and it says no.",
    ExitCode.USAGE: "The command line or the configuration cannot be understood; nothing was started.",
    ExitCode.NO_EVIDENCE: (
        "There is no evidence: nothing was executed, or a file of the run is missing, corrupt, stale or foreign."
    ),
    ExitCode.INFRASTRUCTURE: "The machine failed, not the product: a process did not start, or the disk is full.",
    ExitCode.INTERRUPTED: "Somebody ended the run; what was there until then is kept and says so.",
}

_GRAVEST_FIRST = (
    ExitCode.USAGE,
    ExitCode.INTERRUPTED,
    ExitCode.INFRASTRUCTURE,
    ExitCode.GATE_VIOLATED,
    ExitCode.NO_EVIDENCE,
)


def gravest(codes: Iterable[ExitCode]) -> ExitCode:
    """The one code that stands for several; green only when nothing else is among them."""
    found = frozenset(codes)
    return next((code for code in _GRAVEST_FIRST if code in found), ExitCode.GREEN)
