"""The exit codes of the command: an interface that scripts rely on, so a number never changes its meaning."""

import enum

from confidence.model.verdicts import OverallStatus


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

_OF_STATUS = {
    OverallStatus.PASS: ExitCode.GREEN,
    OverallStatus.FAIL: ExitCode.GATE_VIOLATED,
    OverallStatus.NO_EVIDENCE: ExitCode.NO_EVIDENCE,
    OverallStatus.NOT_RUN: ExitCode.NO_EVIDENCE,
    OverallStatus.INFRASTRUCTURE: ExitCode.INFRASTRUCTURE,
    OverallStatus.INTERRUPTED: ExitCode.INTERRUPTED,
}


def exit_code_of(status: OverallStatus) -> ExitCode:
    """The code that a run of this status ends with; of several causes the status is the gravest."""
    return _OF_STATUS[status]
